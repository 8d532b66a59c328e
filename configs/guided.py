"""Depth, heat or other measurements, enlarged beside a picture of higher resolution of the same scene.

python train.py --config configs/guided.py --workdir runs/depth --config.data.path=DEPTH --config.data.guide=COLOUR \
    "--config.data.range=(0.0,10.0)"

DEPTH holds NPY, TIFF or PNG files, and COLOUR a picture for each, of the same name and size (docs/data.md). The network
is models.GuidedSR. L1 leaves edges sharper than the squared error does where depth jumps. The sizes and the rate are
ours, and have not been tuned.
"""

import ml_collections

from srgan_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.channels = 1
    config.generator = ml_collections.ConfigDict(
        {"network": "guided", "guide_channels": 3, "features": 32, "num_blocks": 6}
    )
    config.num_steps = 20_000
    config.losses.mse = 0.0
    config.losses.l1 = 1.0
    config.optimizer.learning_rate = 5e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100
    config.data.source = "arrays"
    config.eval_every = 1_000
    config.save_every = 500
    return config
