"""Numbers as colours: a heat map with its scale, and the colours themselves."""

import functools
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srgan_jax.types import Float, Picture, UInt8

# sRGB from low to high: black, blue, violet, red, orange, pale yellow. Neighbours are at equal distances in CIELAB, as
# tests/test_invention.py checks, and L* rises all the way, so that the order stays the same in grey.
STOPS = np.array(
    [
        *([11, 11, 11], [17, 16, 34], [17, 21, 56], [23, 26, 80], [50, 32, 105], [90, 36, 114]),
        *([120, 36, 110], [146, 38, 104], [169, 45, 97], [188, 60, 90], [201, 75, 80], [212, 91, 69]),
        *([222, 109, 60], [236, 138, 68], [247, 168, 93], [253, 196, 120], [254, 220, 151], [251, 242, 182]),
    ]
)

ROUND = (1, 2, 5)  # a scale ends at one of these times a power of ten
BAR, GAP, LABEL = 14, 6, 20  # pixels of the scale's bar, above it, and below it for its labels
NARROWEST = 160  # pixels of the width, so that the labels have room


@functools.cache
def colour_table() -> UInt8[np.ndarray, "256 3"]:
    """Return the 256 colours of a heat map, uint8 RGB, from low to high."""
    places = np.linspace(0, len(STOPS) - 1, 256)
    table = np.stack([np.interp(places, np.arange(len(STOPS)), channel) for channel in STOPS.T], -1)
    table = np.floor(table + 0.5).astype(np.uint8)
    table.setflags(write=False)
    return table


def end_of_scale(value: float) -> float:
    """Return the next round number, 1, 2 or 5 times a power of ten, that is not below `value`; 1 for a value of 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(number for number in (factor * power for factor in (*ROUND, 10)) if number >= value * (1 - 1e-9))


def colours(values: Float[np.ndarray, "h w"], highest: float) -> Picture:
    """Colour each value of [H, W]; `highest` and what is above it gets the last colour, 0 and what is below the first.

    Args:
      values: the numbers; those that are not finite become grey.
      highest: the value of the last colour, above 0.

    Returns:
      uint8 RGB [H, W, 3].
    """
    known = np.isfinite(values)
    shares = np.clip(np.where(known, values, 0) / highest, 0, 1)
    return np.where(known[..., None], colour_table()[np.floor(shares * 255 + 0.5).astype(np.int64)], np.uint8(128))


def heat_map(
    values: Float[np.ndarray, "h w"], *, unit: str, highest: float | None = None
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Draw values as colours, with a bar below that says what the colours mean.

    Args:
      values: [H, W], at least 0.
      unit: what the numbers of the scale count, such as "levels".
      highest: the end of the scale; by default the next round number above all values.

    Returns:
      uint8 RGB [H + BAR + GAP + LABEL, max(W, NARROWEST), 3], on white.
    """
    if highest is None:
        highest = end_of_scale(float(values.max(initial=0)))
    height, width = values.shape
    canvas = Image.new("RGB", (max(width, NARROWEST), height + GAP + BAR + LABEL), "white")
    canvas.paste(Image.fromarray(colours(values, highest)), (0, 0))
    ramp = np.broadcast_to(np.linspace(0, highest, canvas.width, dtype=np.float32), (BAR, canvas.width))
    canvas.paste(Image.fromarray(colours(ramp, highest)), (0, height + GAP))
    draw, font, top = ImageDraw.Draw(canvas), ImageFont.load_default(12), height + GAP + BAR + 2
    for text, place, anchor in (
        ("0", 2, "la"),
        (f"{highest / 2:g}", canvas.width // 2, "ma"),
        (f"{highest:g} {unit}", canvas.width - 2, "ra"),
    ):
        draw.text((place, top), text, fill="black", font=font, anchor=anchor)
    return np.array(canvas)
