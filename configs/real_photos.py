"""Photos as they come: LR is blurred, resized, noisy and compressed at random, by Real-ESRGAN's second-order model.

python train.py --config configs/real_photos.py --workdir runs/real \
    --config.data.source=folder --config.data.path=PHOTOS
python train.py --config configs/real_photos.py:srgan --workdir runs/real_gan --config.init_from=runs/real \
    --config.vgg_weights=VGG19 --config.data.source=folder --config.data.path=PHOTOS

Networks that learned from bicubic reductions alone enlarge the noise and the blocks of a photo from the web, too. The
ranges and probabilities are those of Wang et al. (Real-ESRGAN, ICCV 2021 workshops, section 3); what differs from their
program is in srgan_jax/data/degradations.py. The networks and the schedules are ours. Results are not made consistent
with the photo by default, since its noise would come back. We have not trained these models yet.

`:blur_noise_jpeg` is a single pass: a round blur, the bicubic reduction, a little noise, and JPEG.
"""

import ml_collections

from srgan_jax.configs import base, srgan_consistent

SHAPES = {
    "isotropic": 0.45,
    "anisotropic": 0.25,
    "generalised_isotropic": 0.12,
    "generalised_anisotropic": 0.03,
    "plateau_isotropic": 0.12,
    "plateau_anisotropic": 0.03,
}
# A sinc kernel has a tenth of the probability.
BLUR = {name: 0.9 * share for name, share in SHAPES.items()} | {"sinc": 0.1}
RESIZING = {"bicubic": 1.0, "bilinear": 1.0, "area": 1.0}
NOISE = {"gaussian": 0.5, "poisson": 0.5, "grey": 0.4}

SECOND_ORDER = {
    "first": {
        "blur": 1.0,
        "shapes": BLUR,
        "sigma": (0.2, 3.0),
        "enlarge": 0.2,
        "reduce": 0.7,
        "factor": (0.15, 1.5),
        "kernels": RESIZING,
        **NOISE,
        "gaussian_sigma": (1.0, 30.0),
        "poisson_scale": (0.05, 3.0),
        "jpeg": 1.0,
        "quality": (30.0, 95.0),
    },
    "second": {
        "blur": 0.8,
        "shapes": BLUR,
        "sigma": (0.2, 1.5),
        "enlarge": 0.3,
        "reduce": 0.4,
        "factor": (0.3, 1.2),
        "kernels": RESIZING,
        **NOISE,
        "gaussian_sigma": (1.0, 25.0),
        "poisson_scale": (0.05, 2.5),
    },
    "kernels": RESIZING,
    # Ringing, and the JPEG with which the photo is stored, in either order.
    "last": {
        "blur": 0.8,
        "shapes": {"isotropic": 0.0, "sinc": 1.0},
        "jpeg": 1.0,
        "jpeg_first": 0.5,
        "quality": (30.0, 95.0),
    },
}

BLUR_NOISE_JPEG = {
    "first": {"blur": 0.7, "sigma": (0.2, 2.0)},
    "last": {"gaussian": 0.5, "gaussian_sigma": (0.5, 8.0), "jpeg": 0.7, "quality": (50.0, 95.0)},
}


def get_config(variant: str = "srresnet") -> ml_collections.ConfigDict:
    if variant not in ("srresnet", "srgan", "blur_noise_jpeg"):
        raise ValueError(f"real_photos.py: no variant {variant!r}; choose from srresnet, srgan, blur_noise_jpeg.")
    config = srgan_consistent.get_config() if variant == "srgan" else base.get_config()
    config.data.degradation.update(BLUR_NOISE_JPEG if variant == "blur_noise_jpeg" else SECOND_ORDER)
    if variant == "srgan":
        # LR is no longer what SR must agree with, but HR still is.
        config.losses.lr_l1 = 0.0
        config.losses.l1 = 1.0
        config.eval_metrics = "psnr,ssim,contrast,grid"
    else:
        config.losses.mse = 0.0
        config.losses.l1 = 1.0
    return config
