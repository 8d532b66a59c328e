"""SRGAN for photos: the paper's networks, with losses that hold SR to what the LR picture says.

python train.py --config configs/srgan_consistent.py --workdir runs/srgan --config.init_from=srresnet-x4 \
    --config.vgg_weights=VGG19 --config.data.source=folder --config.data.path=PHOTOS

The paper's recipe (configs/srgan_vgg54.py), started from a young SRResNet, made pictures that lose contrast and show
the grid of the pixel shuffle (docs/results.md). This recipe differs from it as follows:

- Features before the activation, of five depths and each relative to HR's, take the place of φ_{5,4}.
- L1, the distance from LR after reduction, and the means of the 16 phases hold brightness and contrast, and prevent the
  grid.
- Features and D see the crops shifted at random, so that their strides meet every phase of the pixel shuffle.
- D is half as wide, and averages its features over the picture instead of flattening them. It learns alone at first;
  then G's rate rises slowly.
- G's BatchNorm uses its running averages in training.

On two cores of an AMD EPYC with AVX-512 its 5,000 updates took 1.7 hours from srresnet-x4. The running average is
shipped as srgan-x4. Made consistent, it has an LPIPS-alex of .092 at 29.38 dB on Set5, .158 at 26.37 on Set14, and .199
at 25.66 on BSD100 (protocol matlab); docs/results.md has the trials and the course of the run.
"""

import ml_collections

from srgan_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.stage = "adversarial"
    config.num_steps = 5_000
    config.batch_size = 8
    config.ema_decay = 0.998
    config.jitter = 15
    config.hold_batch_norm = True
    config.discriminator_first = 100
    config.discriminator.features = 32
    config.discriminator.head = "pool"
    config.losses.mse = 0.0
    config.losses.l1 = 0.02
    config.losses.lr_l1 = 1.0
    config.losses.phase = 100.0
    config.losses.pre12 = 0.05
    config.losses.pre22 = 0.05
    config.losses.pre34 = 0.5
    config.losses.pre44 = 0.5
    config.losses.pre54 = 0.5
    config.losses.adversarial = 2e-2
    config.optimizer.learning_rate = 3e-4
    config.optimizer.b2 = 0.99
    config.optimizer.generator_warmup_steps = 100
    config.optimizer.decay_at = (2_600, 4_000)
    config.optimizer.decay_factor = 0.5
    config.eval_metrics = "psnr,ssim,lr_psnr,contrast,grid"
    config.eval_every = 500
    config.save_every = 100
    return config
