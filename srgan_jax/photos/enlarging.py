"""The order of work by which photos are enlarged, wherever they come from: decoded, computed and encoded at once."""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from srgan_jax.errors import InputError
from srgan_jax.photos.photo import Photo, from_array, from_pillow, levels, to_pillow, visible_colours
from srgan_jax.types import DeepPicture
from srgan_jax.upscaling import Upscaler, make_consistent
from srgan_jax.upscaling.consistency import resize_levels
from srgan_jax.upscaling.invention import bound, bounds
from srgan_jax.upscaling.options import check_max_invention, check_scale
from srgan_jax.upscaling.tiles import Enlarged
from srgan_jax.upscaling.upscaler import raise_error

AHEAD = 2  # photos decoded before, and encoded after, the one that is computed; each takes memory

Item = TypeVar("Item")


def enlarge(
    items: Iterable[Item],
    upscaler: Upscaler,
    *,
    decode: Callable[[Item], Photo],
    encode: Callable[[Item, Photo, Photo, Photo | None], Any],
    scale: float | None = None,
    consistent: bool | None = None,
    reference: Upscaler | None = None,
    max_invention: float | None = None,
    failed: Callable[[Item, Exception], object] = raise_error,
) -> Iterator[tuple[Item, Any]]:
    """Enlarge a photo for each item, in order.

    Args:
      items: anything that `decode` knows, such as the paths of files.
      decode: item -> photo; called in threads.
      encode: (item, photo, enlarged photo, the reference's enlarged photo or None) -> what is yielded; called in
        threads.
      scale: of the result; by default the network's. Where it is another, the network's result is resized by bicubic
        interpolation.
      consistent: make the network's result one whose bicubic reduction is the photo (upscaling.make_consistent). By
        default this is done where the generator's `info` says that it was made for this ("consistent"). The
        reference's result is treated likewise.
      reference: what the result is compared with: a network of the same scale that was trained for the least error.
      max_invention: the most levels of 8 bits by which the result may leave the reference's in each pixel and channel,
        see invention.bounds. This always holds, also after resizing. Where the result is to be consistent as well, it
        is so as far as the bound allows.
      failed: called with (item, error) where a photo cannot be decoded, computed or encoded, for which `decode` and
        `encode` may raise InputError, OSError or MemoryError; the others go on. By default the error is raised.

    Returns:
      An iterator of (item, what `encode` gives) for each item that has not failed.

    Raises:
      InputError: `scale` or `max_invention` is out of its range, the reference has another scale, or there is a bound
        and no reference.
    """
    check_scale(scale)
    check_max_invention(max_invention)
    _check_reference(upscaler, reference, needed=max_invention is not None)
    if consistent is None:
        consistent = upscaler.generator.info.get("consistent", False)

    def prepare(item):
        photo = decode(item)
        return photo, visible_colours(photo)

    def correct(lr, sr, within=None):
        return make_consistent(sr, lr, upscaler.module.scale, within=within) if consistent else sr

    def finish(item, photo, lr, sr, expected=None):
        sr, size, limited = _as_grey_as(lr, sr), result_size(photo, upscaler, scale), max_invention is not None
        if expected is not None:
            expected = correct(lr, _as_grey_as(lr, expected))
        sr = correct(lr, sr, bounds(expected, max_invention) if limited else None)
        colours = [None if levels is None else resize_levels(levels, size) for levels in (sr, expected)]
        if limited:
            colours[0] = bound(*colours, max_invention)
        # The network would turn the flat areas, fully opaque or transparent, into nearly so; interpolation keeps them.
        alpha = photo.alpha if photo.alpha is None else resize_levels(photo.alpha, size)
        enlarged = (x if x is None else dataclasses.replace(photo, colour=x, alpha=alpha) for x in colours)
        return encode(item, photo, *enlarged)

    prepared = _in_threads(prepare, ((item,) for item in items), failed)
    computed = upscaler.stream(
        (((item, photo, lr), lr) for item, (photo, lr) in prepared),
        failed=lambda given, error: failed(given[0], error),
    )
    if reference is not None:
        computed = reference.stream(
            (((*given, sr), given[2]) for given, sr in computed),
            failed=lambda given, error: failed(given[0], error),
        )
    return _in_threads(finish, ((*given, sr) for given, sr in computed), failed)


def _check_reference(upscaler: Upscaler, reference: Upscaler | None, *, needed: bool) -> None:
    """Raise an InputError unless the two can be compared."""
    if reference is None and needed:
        raise InputError("max_invention: a reference is needed, which the result may leave by so many levels.")
    if reference is not None and reference.module.scale != upscaler.module.scale:
        raise InputError(
            f"the reference enlarges {reference.module.scale} times, the network {upscaler.module.scale} times; choose "
            "a reference of the same scale."
        )


def _as_grey_as(lr: DeepPicture, sr: Enlarged) -> np.ndarray:
    """Return SR with one channel if LR has one: a grey photo stays grey, also where the network sees RGB."""
    if lr.shape[2] > 1 or sr.shape[2] == 1:
        return sr
    return np.floor(sr.mean(-1, keepdims=True, dtype=np.float32) + 0.5).astype(sr.dtype)


def _in_threads(function: Callable, calls: Iterable[tuple], failed: Callable) -> Iterator[tuple[Any, Any]]:
    """Yield (item, function(item, …)) for each call (item, …), in order; AHEAD of them are made beforehand."""
    begun = collections.deque()

    def oldest():
        item, future = begun.popleft()
        try:
            result = future.result()
        except (InputError, OSError, MemoryError) as error:
            failed(item, error)
        else:
            yield item, result

    with concurrent.futures.ThreadPoolExecutor(AHEAD) as pool:
        for call in calls:
            begun.append((call[0], pool.submit(function, *call)))
            if len(begun) > AHEAD:
                yield from oldest()
        while begun:
            yield from oldest()


def result_size(photo: Photo, upscaler: Upscaler, scale: float | None) -> tuple[int, int]:
    """Return (rows, columns) of an enlarged photo: ceil(scale · H), ceil(scale · W)."""
    factor = Fraction(upscaler.module.scale if scale is None else str(scale))
    return tuple(-(-factor * length // 1) for length in photo.colour.shape[:2])


def enlarge_images(images: Any, upscaler: Upscaler, **options) -> Any:
    """Enlarge one image, or a list of them, and give back the same kind of thing.

    Args:
      images: a Pillow image of any mode; or an array, uint8 or uint16 [H, W] or [H, W, C], where C = 1 is grey,
        3 RGB, and with 2 and 4 the last channel is alpha; or a list of such.
      options: scale, consistent, reference and max_invention, see `enlarge`.

    Returns:
      An array of ceil(scale · H) x ceil(scale · W) pixels with the dtype and number of channels of the image; or a
      Pillow image of mode L, LA, RGB, RGBA or I;16, with the colour profile if it still holds.

    Raises:
      InputError: an image is of no kind that is named above; or as `enlarge` raises it.
    """
    if not isinstance(images, list | tuple):
        return enlarge_images([images], upscaler, **options)[0]
    photos = [from_pillow(image) if isinstance(image, Image.Image) else from_array(image) for image in images]
    results = enlarge(
        zip(images, photos, strict=True),
        upscaler,
        decode=lambda pair: pair[1],
        encode=lambda pair, _, enlarged, __: _like(pair[0], enlarged),
        **options,
    )
    return [result for _, result in results]


def _like(image: Image.Image | np.ndarray, enlarged: Photo) -> Image.Image | np.ndarray:
    """Return a photo as the kind of thing that an image is."""
    if isinstance(image, Image.Image):
        return to_pillow(enlarged)
    return levels(enlarged)[..., 0] if np.ndim(image) == 2 else levels(enlarged)
