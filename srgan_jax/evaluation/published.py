"""Scores that others have published, for comparison with ours."""

SPSR = "Ma et al., CVPR 2020 (SPSR), whose SRGAN is tensorlayer's"

# {set: {method: ({metric: mean}, source)}}, at ×4 with bicubic LR. PSNR is that of the protocol "matlab", up to a few
# hundredths: the source has 26.10 dB for bicubic interpolation on Set14, the protocol 25.99.
PUBLISHED = {
    "Set5": {
        "SRGAN": ({"psnr": 29.17, "lpips_alex": 0.088}, SPSR),
        "ESRGAN": ({"psnr": 30.45, "lpips_alex": 0.075}, SPSR),
        "NatSR": ({"psnr": 30.99, "lpips_alex": 0.094}, SPSR),
        "SPSR": ({"psnr": 30.40, "lpips_alex": 0.064}, SPSR),
    },
    "Set14": {
        "SRGAN": ({"psnr": 26.17, "lpips_alex": 0.166}, SPSR),
        "ESRGAN": ({"psnr": 26.28, "lpips_alex": 0.133}, SPSR),
        "NatSR": ({"psnr": 27.51, "lpips_alex": 0.176}, SPSR),
        "SPSR": ({"psnr": 26.64, "lpips_alex": 0.132}, SPSR),
    },
    "BSD100": {
        "SRGAN": ({"psnr": 25.46, "lpips_alex": 0.198}, SPSR),
        "ESRGAN": ({"psnr": 25.32, "lpips_alex": 0.161}, SPSR),
        "NatSR": ({"psnr": 26.45, "lpips_alex": 0.211}, SPSR),
        "SPSR": ({"psnr": 25.51, "lpips_alex": 0.161}, SPSR),
    },
}
