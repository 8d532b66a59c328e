"""A light generator that learns from a larger one: for videos, and wherever a second is too long.

python train.py --config configs/fast.py --workdir runs/fast --config.data.source=folder --config.data.path=PHOTOS
python train.py --config configs/fast.py:mobile --workdir runs/mobile --config.data.source=folder \
    --config.data.path=PHOTOS

The network is "ecbsr", plain 3×3 convolutions that learn with branches, or "mobile", depthwise and pointwise
convolutions. It is taught by HR and by a teacher, here the shipped SRResNet: by its pictures, and by how much any two
pixels are alike to it. `srgan-weights release` folds the branches into plain convolutions.
"""

import ml_collections

from srgan_jax.configs import base

NETWORKS = {
    "ecbsr": {"features": 32, "num_blocks": 10, "branches": True},
    "mobile": {"features": 48, "num_blocks": 16, "expansion": 2},
}


def get_config(network: str = "ecbsr") -> ml_collections.ConfigDict:
    if network not in NETWORKS:
        raise ValueError(f"fast.py: no network {network!r}; choose from {', '.join(NETWORKS)}.")
    config = base.get_config()
    config.generator = ml_collections.ConfigDict({"network": network} | NETWORKS[network])
    config.num_steps = 20_000
    config.batch_size = 16
    config.teacher = "srresnet-x4"
    config.losses.mse = 0.0
    config.losses.l1 = 1.0
    config.losses.teacher_l1 = 1.0
    config.losses.teacher_affinity = 0.1
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100
    config.data.sampling = "area"
    config.eval_every = 1_000
    config.save_every = 500
    return config
