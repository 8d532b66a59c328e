"""Protocols of PSNR and SSIM: what is cropped, which plane is compared, and whose SSIM it is.

PROTOCOLS["paper"].score(sr, hr, scale=4)  ->  {"psnr": 28.43, "ssim": 0.8211}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from srgan_jax.errors import InputError, nearest_name
from srgan_jax.metrics import colour, daala, psnr_ssim
from srgan_jax.types import Plane, UInt8

# Pictures of one size, of which one may be grey and the other RGB; and the smaller picture that goes with them.
SRPicture = UInt8[np.ndarray, "h w _"]
LRPicture = UInt8[np.ndarray, "lr_h lr_w _"]

Levels = Plane | SRPicture  # a picture as it is compared: grey [H, W] or RGB [H, W, 3]


@dataclass(frozen=True)
class Protocol:
    """A way to compare two 8-bit images.

    Attributes:
      name: its key in PROTOCOLS.
      description: its definition in one sentence, for tables and files of results.
      border: how many pixels are cut off each side first; None means `scale` of them.
      planes: (sr, hr), cropped -> the pair of uint8 arrays that is compared.
      ssim: (x, y) -> SSIM of such a pair.
    """

    name: str
    description: str
    border: int | None
    planes: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    ssim: Callable[[np.ndarray, np.ndarray], float]

    def score(self, sr: np.ndarray, hr: np.ndarray, *, scale: int) -> dict[str, float]:
        """Score sr against hr.

        Args:
          sr, hr: uint8 of one size, [H, W] (grey) or [H, W, 3] (RGB). A grey hr may meet an RGB sr.
          scale: the factor of super-resolution.

        Returns:
          {"psnr": dB, `math.inf` if nothing differs; "ssim": at most 1}.

        Raises:
          InputError: for another dtype, an alpha channel, sizes that differ, a grey sr of a colour hr, or an image too
            small to be cropped and compared.
        """
        _check(sr, "SR")
        _check(hr, "HR")
        if sr.shape[:2] != hr.shape[:2]:
            raise InputError(
                f"SR and HR must have the same size, got SR {_size(sr)} and HR {_size(hr)}; "
                f"crop HR to a multiple of the scale, or check which images were paired."
            )
        if sr.ndim < hr.ndim:
            raise InputError(
                f"SR must have HR's colours, got SR grey {sr.shape} and HR RGB {hr.shape}; give SR as RGB."
            )
        border = scale if self.border is None else self.border
        smallest = 2 * border + (1 if self.ssim is daala.ssim else psnr_ssim.WINDOW)
        if min(hr.shape[:2]) < smallest:
            raise InputError(
                f"Protocol {self.name!r} cuts {border} pixels off each side and needs images of at least "
                f"{smallest} x {smallest}, got {_size(hr)}; leave this image out."
            )
        inside = slice(border, -border or None)
        x, y = self.planes(sr[inside, inside], hr[inside, inside])
        return {"psnr": psnr_ssim.psnr(x, y), "ssim": self.ssim(x, y)}


def check_protocols(names: Iterable[str]) -> None:
    """Raise an InputError for the first name that is no protocol."""
    for name in names:
        if name not in PROTOCOLS:
            raise InputError(f"there is no protocol {name!r}; {nearest_name(name, PROTOCOLS)}")


def _check(image: np.ndarray, what: str) -> None:
    if image.dtype != np.uint8:
        raise InputError(f"{what} must be uint8, got {image.dtype}; scale to 0..255, round and convert it first.")
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] == 3):
        raise InputError(
            f"{what} must be grey [H, W] or RGB [H, W, 3], got shape {image.shape}; remove an alpha channel, and the "
            f"channel axis of a grey image."
        )


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]} (width x height)"


def _paper_planes(sr: Levels, hr: Levels) -> tuple[Plane, Plane]:
    return daala.luma(sr), daala.luma(hr)


def _matlab_planes(sr: Levels, hr: Levels) -> tuple[Plane, Plane]:
    if hr.ndim == 2:
        return (sr if sr.ndim == 2 else colour.rgb2gray(sr)), hr
    return colour.rgb2ycbcr_y(sr), colour.rgb2ycbcr_y(hr)


def _rgb_planes(sr: Levels, hr: Levels) -> tuple[Levels, Levels]:
    return sr, hr if hr.ndim == sr.ndim else np.repeat(hr[..., None], 3, axis=2)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "paper",
            "the SRGAN paper's (section 3.1): 4 pixels cropped off each side, luma as daala's png2y4m makes it "
            "(BT.709, dithered, 8-bit), PSNR, and daala's SSIM",
            border=4,
            planes=_paper_planes,
            ssim=daala.ssim,
        ),
        Protocol(
            "matlab",
            "most papers': as many pixels as the scale cropped off each side, Y of MATLAB's rgb2ycbcr (BT.601, 8-bit; "
            "grey images: the grey levels), PSNR, and Wang's SSIM (11x11 Gaussian window, sigma 1.5, valid region)",
            border=None,
            planes=_matlab_planes,
            ssim=psnr_ssim.ssim,
        ),
        Protocol(
            "rgb",
            "as many pixels as the scale cropped off each side, PSNR over the R, G, B levels together, and the mean of "
            "Wang's SSIM (11x11 Gaussian window, sigma 1.5, valid region) over the channels",
            border=None,
            planes=_rgb_planes,
            ssim=psnr_ssim.ssim,
        ),
    )
}
