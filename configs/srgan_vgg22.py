"""SRGAN-VGG22: SRGAN with the content loss on φ_{2,2} (Table 1).

python train.py --config configs/srgan_vgg22.py --workdir runs/srgan_vgg22 \
    --config.init_from=runs/srresnet_mse --config.vgg_weights=VGG19 \
    --config.data.source=tfds --config.data.path=TFDS_DIR

The paper's PSNR is 29.84 dB on Set5 and 26.44 on Set14. We have not trained this variant yet.
"""

import ml_collections

from srgan_jax.configs import srgan_vgg54


def get_config() -> ml_collections.ConfigDict:
    config = srgan_vgg54.get_config()
    config.losses.vgg54 = 0.0
    config.losses.vgg22 = 1.0
    return config
