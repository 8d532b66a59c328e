"""SRResNet-MSE: the paper's generator trained on the pixel-wise error alone (Table 1, first column).

python train.py --config configs/srresnet_mse.py --workdir runs/srresnet_mse \
    --config.data.source=tfds --config.data.path=TFDS_DIR

The paper makes 1e6 updates on 350,000 ImageNet pictures. Its PSNR is 32.05 dB on Set5, 28.49 on Set14 and 27.58 on
BSD100. A shorter run of ours is configs/release.py:cpu_srresnet_mse.
"""

import ml_collections

from srgan_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    return base.get_config()
