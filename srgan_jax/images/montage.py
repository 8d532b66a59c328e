"""Make pictures that compare other pictures."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Return uint8 [H, W, 1 or 3] as a read-only view [H, W, 3], in which a grey picture repeats its channel."""
    return np.broadcast_to(image, (*image.shape[:2], 3))


def most_different_region(image: np.ndarray, other: np.ndarray, size: int, *, grid: int = 4) -> tuple[slice, slice]:
    """Find the square in which two pictures differ most.

    Args:
      image, other: uint8 [H, W, 1 or 3] of equal height and width.
      size: the side of the square in pixels. A smaller picture makes the region smaller.
      grid: the pixels between possible places, which is the scale where regions are to begin on LR pixels.

    Returns:
      (rows, columns) of the square. Its sides and its corner are multiples of `grid`.
    """
    error = np.square(as_rgb(image).astype(np.float64) - as_rgb(other)).sum(-1)
    height, width = (min(size, n) // grid * grid for n in error.shape)
    total = ndimage.uniform_filter(error, (height, width), mode="constant", origin=(-(height // 2), -(width // 2)))
    valid = total[: error.shape[0] - height + 1 : grid, : error.shape[1] - width + 1 : grid]
    y, x = (int(i) * grid for i in np.unravel_index(np.argmax(valid), valid.shape))
    return slice(y, y + height), slice(x, x + width)


def side_by_side(rows: list[dict[str, np.ndarray]], *, gap: int = 6, label_height: int = 20) -> np.ndarray:
    """Lay out pictures of equal size in rows.

    Args:
      rows: for each row, {label: uint8 [H, W, 1 or 3]}. The labels are written above the pictures.
      gap: the white pixels between pictures.
      label_height: the height of a label in pixels.

    Returns:
      uint8 [H, W, 3], on white.
    """
    font = ImageFont.load_default(14)
    strips = []
    for row in rows:
        height, width = next(iter(row.values())).shape[:2]
        strip = Image.new("RGB", (len(row) * (width + gap) - gap, height + label_height + gap), "white")
        draw = ImageDraw.Draw(strip)
        for column, (label, picture) in enumerate(row.items()):
            left = column * (width + gap)
            draw.text((left + 2, 1), label, fill="black", font=font)
            strip.paste(Image.fromarray(np.ascontiguousarray(as_rgb(picture))), (left, label_height))
        strips.append(np.array(strip))
    width = max(strip.shape[1] for strip in strips)
    strips = [np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips]
    return np.concatenate(strips)[:-gap]
