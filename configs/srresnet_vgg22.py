"""SRResNet-VGG22: the content loss on φ_{2,2} with a little total variation, without a discriminator (Table 1).

python train.py --config configs/srresnet_vgg22.py --workdir runs/srresnet_vgg22 \
    --config.init_from=runs/srresnet_mse --config.vgg_weights=VGG19 \
    --config.data.source=tfds --config.data.path=TFDS_DIR

The paper's PSNR is 30.51 dB on Set5 and 27.19 on Set14. We have not trained this variant yet.
"""

import ml_collections

from srgan_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.losses.mse = 0.0
    config.losses.vgg22 = 1.0
    config.losses.tv = 2e-8  # section 3.4
    return config
