"""`make demo`: a small SRResNet, then a small SRGAN from it, on the built-in photographs.

python train.py --config configs/demo.py --workdir runs/demo/srresnet
python train.py --config configs/demo.py:srgan --workdir runs/demo/srgan --config.init_from=runs/demo/srresnet

Both take minutes on a laptop's CPU. Unlike the paper's networks, these add to the bicubic enlargement, start as that
enlargement, and learn at a high rate.
"""

import ml_collections

from srgan_jax.configs import base


def get_config(stage: str = "srresnet") -> ml_collections.ConfigDict:
    config = base.get_config()
    config.num_steps = 500
    config.batch_size = 8
    config.generator.features = 32
    config.generator.num_blocks = 4
    config.generator.global_skip = "bicubic"
    config.generator.zero_init_output = True
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 20
    config.data.crop_size = 64
    config.data.holdout = 0.3  # two of the six photographs
    config.log_every = 10
    config.eval_every = 250
    config.save_every = 250
    if stage == "srgan":
        config.stage = "adversarial"
        config.num_steps = 150
        config.losses.adversarial = 1e-3
        config.discriminator.features = 16
        config.discriminator.hidden = 64
        config.optimizer.learning_rate = 2e-4
        config.eval_every = 150
        config.save_every = 150
    return config
