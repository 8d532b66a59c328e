"""The networks that the paper and its field compare with, each by its own paper's recipe and all by a common one.

python train.py --config configs/baselines.py:vdsr_paper --workdir runs/vdsr --config.data.path=PHOTOS
python train.py --config configs/baselines.py:vdsr_common --workdir runs/vdsr --config.data.path=PHOTOS
python -m scripts.train_baselines --help    # trains all by the common recipe, and writes docs/baselines.md

A name is NETWORK_RECIPE. The networks are srcnn, espcn, vdsr, drcn and edsr; the common recipe also has srresnet.

The papers' recipes have the numbers of updates, rates and sizes that the papers give, rounded to whole LR pixels. Their
learning rates belong to losses that Caffe and MatConvNet sum over the pixels of a crop and halve. Here the losses are
means; the weight of the term makes up for it. What a paper leaves open is named beside the recipe. None of these long
runs has been made here.

The common recipe differs from network to network in nothing but the network and what its loss looks at: luma for the
networks of luma alone, RGB for EDSR and SRResNet. It has few pixels in a batch, since most of these networks compute on
HR pixels. DRCN has 64 feature maps in it and not 256, which would take sixteen times the computing.
"""

import ml_collections

from srgan_jax.configs import base

# Each network with the fields that its paper gives, and the term of its loss.
NETWORKS = {
    "srcnn": ({"network": "srcnn", "features": 64, "mapping_features": 32, "mapping_size": 5}, "luma_mse"),
    "espcn": ({"network": "espcn", "features": 64, "mapping_features": 32}, "luma_mse"),
    "vdsr": ({"network": "vdsr", "features": 64, "num_layers": 20, "use_bias": True}, "luma_mse"),
    "drcn": ({"network": "drcn", "features": 256, "recursions": 16}, "recursive_supervision"),
    "edsr": ({"network": "edsr", "features": 64, "num_blocks": 16, "residual_scale": 1.0}, "l1"),
    "srresnet": ({"network": "srresnet"}, "mse"),  # its fields are those of the base
}
COMMON = {"drcn": {"features": 64}}  # fields that differ in the common recipe

SGD = {"name": "sgd", "momentum": 0.9}


def summed(crop_size: int) -> float:
    """Return the weight with which a mean over the pixels of a crop becomes half their sum."""
    return crop_size**2 / 2


# Where each network's own recipe differs from the base.
PAPERS = {
    # Sections 3.3 and 4: crops of 33 pixels (here 32), rates of 1e-4 and for the last layer 1e-5, 8e8 crops. The batch
    # of 128 is that of the authors' published training code.
    "srcnn": {
        "batch_size": 128,
        "num_steps": 6_250_000,
        "data": {"crop_size": 32},
        "optimizer": SGD | {"learning_rate": 1e-4, "output_rate": 0.1},
        "loss": summed(32),
    },
    # Section 3.2: crops of 17 LR pixels, a rate that falls from 0.01 to 1e-4 where the loss does not, and a tenth of it
    # for the last layer. The optimizer, the batch, the length and so the steps at which the rate falls are left open.
    "espcn": {
        "batch_size": 16,
        "num_steps": 1_000_000,
        "data": {"crop_size": 68},
        "optimizer": SGD | {"learning_rate": 1e-2, "output_rate": 0.1, "decay_at": (400_000, 700_000)},
        "loss": 1.0,
    },
    # Section 5.2: crops of 41 pixels (here 40), batches of 64, 80 epochs; a rate of 0.1, divided by 10 every 20 epochs.
    # An epoch is taken as 1,500 updates. The paper does not give the bound of the clipping.
    "vdsr": {
        "batch_size": 64,
        "num_steps": 120_000,
        "data": {"crop_size": 40},
        "optimizer": SGD
        | {"learning_rate": 0.1, "decay_at": (30_000, 60_000, 90_000), "weight_decay": 1e-4, "clip": 0.01},
        "loss": summed(40),
    },
    # Section 4: crops of 41 pixels (here 40), batches of 64; a rate of 0.01, divided by 10 where the error does not
    # fall, until it is below 1e-6. The steps at which it falls are left open.
    "drcn": {
        "batch_size": 64,
        "num_steps": 150_000,
        "data": {"crop_size": 40},
        "optimizer": SGD
        | {"learning_rate": 0.01, "decay_at": (40_000, 80_000, 110_000, 130_000), "weight_decay": 1e-4},
        "loss": summed(40),
    },
    # Section 4.2: crops of 48 LR pixels, batches of 16, a rate of 1e-4 that is halved every 200,000 updates. The
    # authors' code makes 300,000 updates.
    "edsr": {
        "batch_size": 16,
        "num_steps": 300_000,
        "data": {"crop_size": 192},
        "optimizer": {"learning_rate": 1e-4, "decay_at": (200_000,), "decay_factor": 0.5},
        "loss": 1.0,
    },
}


def get_config(name: str) -> ml_collections.ConfigDict:
    known = [f"{name}_paper" for name in PAPERS] + [f"{name}_common" for name in NETWORKS]
    if name not in known:
        raise ValueError(f"baselines.py: no recipe {name!r}; choose from {', '.join(known)}.")
    network, _, recipe = name.partition("_")
    architecture, term = NETWORKS[network]
    config = base.get_config()
    config.data.source = "folder"
    config.data.sampling = "area"
    config.data.holdout = 0.02
    if network != "srresnet":
        with config.unlocked():
            config.generator = ml_collections.ConfigDict(architecture)
    if recipe == "paper":
        changes = dict(PAPERS[network])
        weight = changes.pop("loss")
        config.update(changes)
    else:
        weight, term = 1.0, "mse" if term == "l1" else term
        config.update({"batch_size": 8, "num_steps": 20_000, "eval_images": 4, "log_every": 20})
        config.update({"data": {"crop_size": 64}})
        config.update({"optimizer": {"learning_rate": 5e-4, "schedule": "cosine", "warmup_steps": 100}})
        with config.unlocked():
            config.generator.update(COMMON.get(network, {}))
    config.losses.mse = 0.0
    with config.unlocked():
        config.losses[term] = weight
    return config
