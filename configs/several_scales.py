"""One network for enlargements of 2, 3 and 4 times: MDSR, with one trunk and a head for each scale.

python train.py --config configs/several_scales.py --workdir runs/mdsr --config.data.source=folder \
    --config.data.path=PHOTOS
srgan-upscale photo.jpg --ckpt runs/mdsr --scale 3

Every update is for one of the scales, drawn at random, on crops of as many LR pixels. Rates and sizes are those of
EDSR's paper (section 5.2): crops of 48 LR pixels, a rate of 1e-4 that is halved after 2e5 updates. This long run has
not been made here.
"""

import ml_collections

from srgan_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.generator = ml_collections.ConfigDict(
        {"network": "mdsr", "scales": "2,3,4", "features": 64, "num_blocks": 16, "residual_scale": 1.0}
    )
    config.num_steps = 300_000
    config.scale = 4
    config.data.crop_size = 192
    config.losses.mse = 0.0
    config.losses.l1 = 1.0
    config.optimizer.decay_at = (200_000,)
    config.optimizer.decay_factor = 0.5
    return config
