"""Rendered scenes with the depth of every pixel: measurements whose licence is no question, for experiments."""

import pathlib

import numpy as np
from PIL import Image
from scipy import ndimage

from srgan_jax import generators
from srgan_jax.evaluation.values import reduce_values
from srgan_jax.images import decode_image
from srgan_jax.images.heat_map import colours as heat_map_colours
from srgan_jax.images.resize import imresize
from srgan_jax.metrics.values import value_scores
from srgan_jax.types import Float, Picture, UInt8

NEAREST, FURTHEST = 1.0, 10.0  # metres, the range of what `render` gives
SIDE = 192  # pixels


def render(rng: np.random.Generator) -> tuple[Float[np.ndarray, "h w"], UInt8[np.ndarray, "h w 3"]]:
    """Render planes of several shapes that hide each other, before a wall.

    Args:
      rng: what all chance is drawn from.

    Returns:
      float32 depth in metres, and an RGB picture of it: each plane has a colour, stripes and a light of its own, which
      the depth does not show, and the camera blurs a little and adds noise.
    """
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    depth, colours = np.empty((SIDE, SIDE)), np.empty((SIDE, SIDE, 3))
    count = int(rng.integers(8, 20))
    distances = np.sort(rng.uniform(NEAREST + 1, FURTHEST - 3, count))[::-1]
    for number, distance in enumerate([FURTHEST - 2, *distances]):
        angle, centre = rng.uniform(0, np.pi), rng.uniform(-1, 1, 2)
        u = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
        v = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
        width, height = rng.uniform(0.08, 0.6, 2)
        kind = rng.integers(3) if number else None  # the first is the wall
        if kind is None:
            inside = np.ones_like(x, bool)
        elif kind == 0:
            inside = (np.abs(u) < width) & (np.abs(v) < height)
        elif kind == 1:
            inside = (u / width) ** 2 + (v / height) ** 2 < 1
        else:
            inside = np.abs(u) + np.abs(v) * width / height < width
        tilt = rng.uniform(-0.4, 0.4, 2)
        stripes = 1 + rng.uniform(0, 0.4) * np.sign(np.sin(rng.uniform(5, 40) * u + rng.uniform(0, 6)))
        light = (0.8 + tilt[0]) * stripes
        depth[inside] = (distance + tilt[0] * u + tilt[1] * v)[inside]
        colours[inside] = (light[..., None] * rng.uniform(20, 180, 3))[inside]
    blurred = ndimage.gaussian_filter(colours, (0.6, 0.6, 0))
    noisy = np.clip(blurred + rng.normal(0, 2, blurred.shape), 0, 255).round().astype(np.uint8)
    return np.clip(depth, NEAREST, FURTHEST).astype(np.float32), noisy


def write_scenes(folder: pathlib.Path, numbers: range) -> None:
    """Write scenes, each number's always the same: depth as FOLDER/depth/*.npy and pictures as FOLDER/colour/*.png."""
    for part in ("depth", "colour"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        depth, colour = render(np.random.default_rng(number))
        np.save(folder / "depth" / f"scene{number:03d}.npy", depth)
        Image.fromarray(colour).save(folder / "colour" / f"scene{number:03d}.png")


def score(method: str, folder: pathlib.Path, scale: int) -> tuple[dict[str, float], Picture, Picture]:
    """Reduce the depth of a folder's scenes, enlarge it again, and compare.

    Args:
      method: a generator for generators.load, or "bicubic".
      folder: that write_scenes made.
      scale: by how much to reduce.

    Returns:
      The means of metrics.values.value_scores, in metres; and heat maps of the first scene's result and original.
    """
    generator = None if method == "bicubic" else generators.load(method)
    scores, heat_maps = [], []
    for path in sorted((folder / "depth").glob("*.npy")):
        hr = np.load(path)[..., None]
        lr = reduce_values(hr, scale)
        if generator is None:
            sr = imresize(lr.astype(np.float64), scale)
        else:
            guided = generator.module.inputs > generator.module.channels
            guide = decode_image(folder / "colour" / f"{path.stem}.png") if guided else None
            sr = generator.upscale_values(lr, ends=(NEAREST, FURTHEST), guide=guide)
        scores.append(value_scores(sr, hr, extent=FURTHEST - NEAREST, border=scale))
        if not heat_maps:
            heat_maps = [heat_map_colours(part[..., 0] - NEAREST, FURTHEST - NEAREST) for part in (sr, hr)]
    means = {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}
    return means, *heat_maps
