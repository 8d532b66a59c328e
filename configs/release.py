"""The runs behind the released weights. scripts/train_release.py trains them one after another.

python train.py --config configs/release.py:cpu_srresnet_mse --workdir runs/release/srresnet_mse \
    --config.data.path=PHOTOS
python train.py --config configs/release.py:gpu_srgan_vgg54 --workdir runs/release/srgan_vgg54 \
    --config.data.path=PHOTOS --config.init_from=runs/release/srresnet_mse --config.vgg_weights=VGG19

Each run is the paper's configuration of that name with fewer updates, on a folder of photographs. Its schedule is made
for its length, since short runs want a higher rate than the paper's. Measured on Set5 (protocol paper), on two shared
cores of an Intel Xeon at 2.5 GHz:

cpu_srresnet_mse    30.23 dB after 4.9 hours
cpu_srgan_vgg54     22.08 dB after 2.2 more, with pale pictures

and on two cores of an AMD EPYC with AVX-512:

cpu_srresnet_l1         31.13 dB after 1.5 hours, from cpu_srresnet_mse; shipped as srresnet-x4
cpu_srgan_consistent    29.38 dB after 1.6 hours, from cpu_srresnet_l1, made consistent; shipped as srgan-x4

The recipes for GPUs have not been run yet. docs/results.md has all results.
"""

import importlib

import ml_collections

SHORT = {"schedule": "cosine", "warmup_steps": 100}

# Where each run differs from the paper's configuration.
RECIPES = {
    "cpu_srresnet_mse": {"num_steps": 6_000, "optimizer": SHORT | {"learning_rate": 1e-3}},
    "cpu_srresnet_l1": {"num_steps": 14_000},
    "cpu_srgan_consistent": {},
    # The teacher's pictures would take three quarters of the time.
    "cpu_fast": {"num_steps": 6_000, "teacher": "", "losses": {"teacher_l1": 0.0, "teacher_affinity": 0.0}},
    "cpu_srgan_vgg54": {"num_steps": 1_000, "optimizer": {"decay_at": (700,)}},
    "gpu_srresnet_mse": {"num_steps": 100_000, "batch_size": 64, "optimizer": SHORT | {"learning_rate": 4e-4}},
    "gpu_srresnet_vgg22": {"num_steps": 50_000, "batch_size": 64, "optimizer": SHORT | {"learning_rate": 4e-4}},
    "gpu_srgan_mse": {"num_steps": 50_000, "optimizer": {"decay_at": (25_000,)}},
    "gpu_srgan_vgg22": {"num_steps": 50_000, "optimizer": {"decay_at": (25_000,)}},
    "gpu_srgan_vgg54": {"num_steps": 50_000, "optimizer": {"decay_at": (25_000,)}},
}

# How often reports and files are written, in steps: a CPU makes a step in seconds, a GPU hundreds in one.
HARDWARE = {
    "cpu": {"log_every": 20, "eval_every": 500, "save_every": 100},
    "gpu": {"log_every": 200, "eval_every": 5_000, "save_every": 2_500, "dtype": "bfloat16"},
}


def paper_config(variant: str) -> ml_collections.ConfigDict:
    """Return the paper's own configuration: "srresnet_mse", …"""
    return importlib.import_module(f"srgan_jax.configs.{variant}").get_config()


def get_config(recipe: str) -> ml_collections.ConfigDict:
    if recipe not in RECIPES:
        raise ValueError(f"release.py: no recipe {recipe!r}; choose from {', '.join(RECIPES)}.")
    hardware, _, variant = recipe.partition("_")
    config = paper_config(variant)
    config.update(HARDWARE[hardware] | RECIPES[recipe])
    config.data.source = "folder"
    config.data.sampling = "area"
    config.data.holdout = 0.02  # 10 of the 510 photographs that the released weights learned from
    return config
