"""SRResNet for pictures that must not show what may not be there: pixels, edges and structure, and no discriminator.

python train.py --config configs/content_first.py --workdir runs/content \
    --config.data.source=folder --config.data.path=PHOTOS
python upscale.py scan.png -o large.png --ckpt runs/content

Medicine, text and faces cannot use detail that a network has made up. The mean absolute error gives each pixel a value
in the middle of what LR leaves open. The term on edges (Zamir et al., MPRNet, CVPR 2021) and MS-SSIM (Zhao et al., IEEE
Transactions on Computational Imaging 2017, section III) ask for contrast where HR has it; both vanish only where SR is
HR, and neither rewards texture that merely looks real. The weights are ours, and we have not trained this recipe yet.

Where more texture is wanted, `upscale.py --max-invention` bounds how far an SRGAN may leave such a model's picture,
which `--reference` names, and `--map` shows where it does (docs/upscaling.md).
"""

import ml_collections

from srgan_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.losses.mse = 0.0
    config.losses.l1 = 1.0
    config.losses.edge = 0.05
    config.losses.ms_ssim = 0.2
    return config
