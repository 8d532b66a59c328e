"""SRGAN-VGG54, the paper's SRGAN: content on φ_{5,4} and the adversarial loss, from SRResNet-MSE (Table 1).

python train.py --config configs/srgan_vgg54.py --workdir runs/srgan_vgg54 \
    --config.init_from=runs/srresnet_mse --config.vgg_weights=VGG19 \
    --config.data.source=tfds --config.data.path=TFDS_DIR

The paper makes 1e5 updates at 1e-4, then 1e5 at 1e-5. Its PSNR is 29.40 dB on Set5, 26.02 on Set14 and 25.16 on BSD100.
A shorter run of ours is configs/release.py:cpu_srgan_vgg54.
"""

import ml_collections

from srgan_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.stage = "adversarial"
    config.num_steps = 200_000
    config.optimizer.decay_at = (100_000,)
    config.losses.mse = 0.0
    config.losses.vgg54 = 1.0
    config.losses.adversarial = 1e-3  # eq. 3
    return config
