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


def lines_of(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Break a text between its words into lines of at most `width` pixels, as far as its words allow."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def side_by_side(rows: list[dict[str, np.ndarray]], *, gap: int = 6, label_height: int = 20) -> np.ndarray:
    """Lay out pictures of equal size in rows.

    Args:
      rows: for each row, {label: uint8 [H, W, 1 or 3]}. The labels are written above the pictures, long ones in
        several lines.
      gap: the white pixels between pictures.
      label_height: the height of a line of a label in pixels.

    Returns:
      uint8 [H, W, 3], on white.
    """
    font = ImageFont.load_default(14)
    strips = []
    for row in rows:
        height, width = next(iter(row.values())).shape[:2]
        labels = [lines_of(label, width - 4, font) for label in row]
        top = max(map(len, labels)) * label_height
        strip = Image.new("RGB", (len(row) * (width + gap) - gap, height + top + gap), "white")
        draw = ImageDraw.Draw(strip)
        for column, (lines, picture) in enumerate(zip(labels, row.values(), strict=True)):
            left = column * (width + gap)
            for i, line in enumerate(lines):
                draw.text((left + 2, 1 + i * label_height), line, fill="black", font=font)
            strip.paste(Image.fromarray(np.ascontiguousarray(as_rgb(picture))), (left, top))
        strips.append(np.array(strip))
    width = max(strip.shape[1] for strip in strips)
    strips = [np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips]
    return np.concatenate(strips)[:-gap]
