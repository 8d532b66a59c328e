"""SRGAN-MSE: SRGAN with the pixel-wise error as its content loss (Table 1). It needs no VGG19.

python train.py --config configs/srgan_mse.py --workdir runs/srgan_mse \
    --config.init_from=runs/srresnet_mse --config.data.source=tfds --config.data.path=TFDS_DIR

The paper's PSNR is 30.64 dB on Set5 and 26.92 on Set14. We have not trained this variant yet.
"""

import ml_collections

from srgan_jax.configs import srgan_vgg54


def get_config() -> ml_collections.ConfigDict:
    config = srgan_vgg54.get_config()
    config.losses.vgg54 = 0.0
    config.losses.mse = 1.0
    return config
