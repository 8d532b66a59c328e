"""Small SRGANs for docs/healthy_curves.md: one that goes well, and three that do not.

python -m scripts.healthy_curves --photos PHOTOS --out runs/healthy_curves

This command trains them all, in half an hour on two shared CPU cores. The networks have half the paper's width and a
quarter of its depth; they learn from MSE as content, on crops of 64 pixels.
"""

import ml_collections

from srgan_jax.configs import base

# All but "no_pretraining" start from "pretraining". Each of the last three differs from "healthy" in one thing.
RUNS = ("pretraining", "healthy", "no_pretraining", "content_weight", "discriminator_rate")


def get_config(run: str = "healthy") -> ml_collections.ConfigDict:
    if run not in RUNS:
        raise ValueError(f"healthy_curves.py: no run {run!r}; choose from {', '.join(RUNS)}.")
    config = base.get_config()
    config.batch_size = 8
    config.generator.features = 32
    config.generator.num_blocks = 4
    config.data.crop_size = 64
    config.data.source = "folder"
    config.data.sampling = "area"
    config.data.holdout = 0.02
    config.eval_images = 4
    config.log_every = 10
    if run == "pretraining":
        config.num_steps = 2_000
        config.optimizer.learning_rate = 1e-3
        config.optimizer.schedule = "cosine"
        config.optimizer.warmup_steps = 50
        config.eval_every = config.save_every = 500
        return config
    config.stage = "adversarial"
    config.num_steps = 800
    config.losses.adversarial = 1e-3
    config.discriminator.features = 32
    config.discriminator.hidden = 256
    config.eval_every = config.save_every = 200
    if run == "content_weight":
        config.losses.mse = 0.1
    if run == "discriminator_rate":
        config.optimizer.discriminator_rate = 10.0
    return config
