"""SRResNet for photos: the paper's generator, trained on by the mean absolute error with BatchNorm held still.

python train.py --config configs/srresnet_l1.py --workdir runs/srresnet_l1 --config.init_from=runs/srresnet_mse \
    --config.data.source=folder --config.data.path=PHOTOS

The run starts from an SRResNet that has learned with the paper's recipe (configs/srresnet_mse.py). It differs from that
recipe as follows:

- The loss is L1, which gains PSNR even though MSE is what PSNR measures (Lim et al., EDSR, CVPRW 2017, section 3.3).
- BatchNorm uses its running averages in training, too. So the network learns the very function that enlarges pictures
  later, and not one that also depends on what else is in the batch. Its scales and offsets still learn.
- A batch has 8 crops, for twice as many updates in the same time. The learning rate rises to 5e-4, and then falls to 0
  along a cosine.

14,000 updates (configs/release.py:cpu_srresnet_l1) took 1.5 hours on two cores of an AMD EPYC with AVX-512. They began
at 30.30 dB on Set5 (protocol matlab) and ended at 31.16, on Set14 at 27.86, and on BSD100 at 27.21.
"""

import ml_collections

from srgan_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.num_steps = 100_000
    config.batch_size = 8
    config.hold_batch_norm = True
    config.losses.mse = 0.0
    config.losses.l1 = 1.0
    config.optimizer.learning_rate = 5e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100
    return config
