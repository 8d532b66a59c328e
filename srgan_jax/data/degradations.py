"""LR as cameras and websites make it: blur, other reductions than the bicubic one, noise and JPEG, at random.

The order of the operations is that of Wang et al. (Real-ESRGAN, ICCV 2021 workshops, section 3): two passes of blur,
resizing, noise and JPEG, then the reduction to LR's size, then a last pass on LR. Each operation of each pass has a
probability in `config.data.degradation`, which configs/base.py explains; by default all are zero, and LR is the exact
bicubic reduction. What happens to a crop depends on (seed, step, row of the batch) alone.

What differs from Real-ESRGAN's program: images are resized with antialiasing, JPEG is that of images, whose blocks and
rounding are those of files, and Poisson noise always counts 256 photons at full brightness.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from srgan_jax.data.blur import SHAPES, convolve, draw_kernel
from srgan_jax.data.dice import Dice
from srgan_jax.data.jpeg import extend, jpeg
from srgan_jax.errors import InputError, nearest_name
from srgan_jax.images.resize import MARGIN_LR, resize_matrix
from srgan_jax.types import AnyArray, Array, Float, Int, Key, UInt8

Length = Int[AnyArray, ""] | int  # pixels, of a side that may have been drawn

Levels = Float[Array, "side side c"]  # 0..255
Resized = Float[Array, "resized resized c"]  # as Levels, of another side
Crops = UInt8[AnyArray, "n side side c"]

PHOTONS = 256  # at full brightness
LUMA = (0.299, 0.587, 0.114)
STREAM = 0x0DE6  # folded into the key of a step, lest a loss draw the same numbers
SMALLEST = 8  # pixels of the side of an image that is resized at random


def _cubic(x: Array) -> Array:
    x = jnp.abs(x)
    return jnp.where(x < 1, (1.5 * x - 2.5) * x**2 + 1, jnp.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0))


# Kernels of resizing by their names, functions of the distance in pixels of the smaller of the two images.
KERNELS: dict[str, Callable[[Array], Array]] = {
    "bicubic": _cubic,
    "bilinear": lambda x: jnp.maximum(1 - jnp.abs(x), 0),
    "area": lambda x: ((x > -0.5) & (x <= 0.5)).astype(jnp.float32),
    "lanczos": lambda x: jnp.where(jnp.abs(x) < 3, jnp.sinc(x) * jnp.sinc(x / 3), 0),
}


def kernel_matrix(
    kernel: Callable[[Array], Array], length: int, out_length: int, size: Length, out_size: Length
) -> Float[Array, "{out_length} {length}"]:
    """Return the matrix that resizes one axis with antialiasing, for sizes that need not be known to the compiler.

    Args:
      kernel: a row of KERNELS.
      length, out_length: of the axis, before and after.
      size, out_size: how many of these places are in use. The image ends there: weights of what is beyond it are left
        out, and the others sum to 1, as in Pillow.

    Returns:
      float32 [out_length, length]; beyond `out_size` the last row is repeated.
    """
    scale = jnp.asarray(size, jnp.float32) / out_size
    place = jnp.minimum(jnp.arange(out_length), out_size - 1)
    centre = (place + 0.5) * scale - 0.5
    weight = kernel((jnp.arange(length) - centre[:, None]) / jnp.maximum(scale, 1))
    weight = jnp.where(jnp.arange(length) < size, weight, 0)
    return weight / weight.sum(1, keepdims=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Pass:
    """Blur, resizing, noise and JPEG, each with its probability; the fields are explained in configs/base.py."""

    blur: float = 0.0
    shapes: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"isotropic": 1.0})
    radius: Sequence[float] = (3, 10)
    sigma: Sequence[float] = (0.2, 3.0)
    generalised_beta: Sequence[float] = (0.5, 4.0)
    plateau_beta: Sequence[float] = (1.0, 2.0)
    enlarge: float = 0.0
    reduce: float = 0.0
    factor: Sequence[float] = (0.15, 1.5)
    kernels: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"bicubic": 1.0})
    gaussian: float = 0.0
    gaussian_sigma: Sequence[float] = (1.0, 30.0)
    poisson: float = 0.0
    poisson_scale: Sequence[float] = (0.05, 3.0)
    grey: float = 0.0
    jpeg: float = 0.0
    jpeg_first: float = 0.0
    quality: Sequence[float] = (30.0, 95.0)
    subsampled: float = 1.0

    @property
    def resizes(self) -> bool:
        """Whether images may change their size."""
        return self.enlarge > 0 or self.reduce > 0

    @property
    def does_something(self) -> bool:
        """Whether any operation has a probability."""
        return any((self.blur, self.enlarge, self.reduce, self.gaussian, self.poisson, self.jpeg))

    def __call__(self, image: Levels, size: Length, dice: Dice, *, base: int) -> tuple[Resized, Array | int]:
        """Degrade one image.

        Args:
          image: levels [S, S, C], of which `size` rows and columns are in use.
          size: a number, which may be traced.
          dice: what random numbers come from.
          base: the size that resizing by the factor 1 gives.

        Returns:
          (image, size).
        """
        early = dice.chance(self.jpeg_first)
        if self.jpeg_first:
            image = jnp.where(early, self._compress(image, size, dice), image)
        if self.blur:
            options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
            blurred = convolve(extend(image, (size, size)), draw_kernel(dice, options))
            image = jnp.where(dice.chance(self.blur), blurred, image)
        if self.resizes:
            image, size = self._resize(image, size, dice, base)
        if self.gaussian or self.poisson:
            image = self._add_noise(image, dice)
        if self.jpeg:
            compressed = self._compress(image, size, dice)
            image = jnp.where(early, image, compressed) if self.jpeg_first else compressed
        return image, size

    def _resize(self, image: Levels, size: Length, dice: Dice, base: int) -> tuple[Resized, Array]:
        low, high = self.factor
        up, down = dice.uniform(1.0, max(high, 1.0)), dice.uniform(min(low, 1.0), 1.0)
        way = dice.choice((self.enlarge, self.reduce, max(0.0, 1 - self.enlarge - self.reduce)))
        factor = jnp.stack([up, down, jnp.ones(())])[way]
        length = int(np.ceil(base * max(high, 1.0)))
        out_size = jnp.clip(jnp.floor(factor * base + 0.5), SMALLEST, length).astype(jnp.int32)
        names = tuple(name for name, weight in self.kernels.items() if weight)
        matrices = [kernel_matrix(KERNELS[name], len(image), length, size, out_size) for name in names]
        matrix = jnp.stack(matrices)[dice.choice([self.kernels[name] for name in names])]
        return jnp.clip(_both_axes(image, matrix), 0, 255), out_size

    def _add_noise(self, image: Levels, dice: Dice) -> Levels:
        grey, kind = dice.chance(self.grey), dice.choice((self.gaussian, self.poisson, self._noiseless))
        kinds = [jnp.zeros_like(image)] * 3
        if self.gaussian:
            noise = dice.uniform(*self.gaussian_sigma) * jax.random.normal(dice.key(), image.shape)
            kinds[0] = jnp.where(grey, noise[..., :1], noise)
        if self.poisson:
            scale, key = dice.uniform(*self.poisson_scale), dice.key()
            light = jnp.clip(image, 0, 255)
            if image.shape[-1] == 3:
                light = jnp.where(grey, (light * jnp.asarray(LUMA)).sum(-1, keepdims=True), light)
            noise = scale * _photon_noise(key, light)
            kinds[1] = jnp.where(grey, noise[..., :1], noise)
        return jnp.clip(image + jnp.stack(kinds)[kind], 0, 255)

    @property
    def _noiseless(self) -> float:
        return max(0.0, 1 - self.gaussian - self.poisson)

    def _compress(self, image: Levels, size: Length, dice: Dice) -> Levels:
        subsampled = dice.chance(self.subsampled) if 0 < self.subsampled < 1 else self.subsampled == 1
        compressed = jpeg(image, dice.uniform(*self.quality), subsampled=subsampled, size=size)
        return jnp.where(dice.chance(self.jpeg), compressed, image)


def _photon_noise(key: Key, light: Levels) -> Levels:
    expected = light * (PHOTONS / 255)
    return (jax.random.poisson(key, expected).astype(jnp.float32) - expected) * (255 / PHOTONS)


def _both_axes(
    image: Float[AnyArray, "h w c"], rows: Array, columns: Array | None = None, between: Callable = lambda x: x
) -> Float[Array, "_ _ c"]:
    exact = jax.lax.Precision.HIGHEST
    image = between(jnp.einsum("oh,hwc->owc", rows, image, precision=exact))
    return jnp.einsum("ow,hwc->hoc", rows if columns is None else columns, image, precision=exact)


def _as_levels(image: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
    return jnp.clip(jnp.floor(image + 0.5), 0, 255)


@dataclasses.dataclass(frozen=True, eq=False)
class Degradation:
    """How LR is made of HR.

    Attributes:
      first, second: passes before the reduction. The factor 1 of the first one's resizing keeps HR's size; that of the
        second one's gives LR's size.
      kernels: {row of KERNELS: weight} of the reduction to LR's size.
      last: a pass on LR, which does not resize.
      scale: of HR to LR.
    """

    first: Pass
    second: Pass
    kernels: Mapping[str, float]
    last: Pass
    scale: int

    @property
    def does_something(self) -> bool:
        """Whether LR can be another than the bicubic reduction."""
        passes = (self.first, self.second, self.last)
        return any(each.does_something for each in passes) or any(
            weight for name, weight in self.kernels.items() if name != "bicubic"
        )

    def __call__(self, crops: Crops, key: Key) -> Float[Array, "n lr_side lr_side c"]:
        """Make the LR crops of a batch.

        Args:
          crops: uint8 [N, S + 4 · scale, S + 4 · scale, C], HR crops with the margin of resize.downscale_crops.
          key: of the step.

        Returns:
          Whole levels [N, S / scale, S / scale, C] of 0..255 as float32, as downscale_crops gives them. Near the border
          blur sees a crop as if its last pixels went on, and JPEG's blocks begin at the crop's corner.
        """
        key = jax.random.fold_in(key, STREAM)
        keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(len(crops)))
        return jax.vmap(self.degrade)(crops, keys)

    def degrade(self, crop: UInt8[AnyArray, "side side c"], key: Key) -> Resized:
        """Make one LR crop; see __call__."""
        dice = Dice(key)
        side, lr_side = len(crop), len(crop) // self.scale
        image, size = jnp.asarray(crop, jnp.float32), side
        image, size = self.first(image, size, dice, base=side)
        image, size = self.second(image, size, dice, base=lr_side)
        image = self._reduce(image, size, dice, side=side, lr_side=lr_side)
        image, _ = self.last(image, len(image), dice, base=len(image))
        return _as_levels(image)

    def _reduce(self, image: Levels, size: Length, dice: Dice, *, side: int, lr_side: int) -> Resized:
        """Resize to LR's size, without LR's margin, and round each of the two passes as a uint8 image is."""

        def matrix(name: str) -> Array:
            if name == "bicubic" and isinstance(size, int):  # nothing was resized: MATLAB's weights, exactly
                return jnp.asarray(resize_matrix(side, lr_side, Fraction(1, self.scale)), jnp.float32)
            return kernel_matrix(KERNELS[name], len(image), lr_side, size, lr_side)

        weights = {name: weight for name, weight in self.kernels.items() if weight}
        chosen = jnp.stack([matrix(name) for name in weights])[dice.choice(tuple(weights.values()))]
        return _as_levels(_both_axes(image, chosen[MARGIN_LR:-MARGIN_LR], between=_as_levels))


def create_degradation(options: Any, *, scale: int, channels: int = 3) -> Degradation | None:
    """Make what `config.data.degradation` describes; None where LR is to be the exact bicubic reduction.

    Args:
      options: a ConfigDict or dictionary with `first`, `second` and `last`, the fields of passes, and `kernels`.
      scale: of HR to LR.
      channels: of the images; JPEG has 1 or 3.

    Raises:
      InputError: a field that there is not, or a value out of its range; the message names it.
    """
    options = options.to_dict() if hasattr(options, "to_dict") else dict(options)
    passes = {name: _read_pass(name, options.get(name, {}), channels) for name in ("first", "second", "last")}
    if passes["last"].resizes:
        _refuse("last", "this pass does not resize, since LR has its size; set enlarge and reduce to 0.")
    kernels = options.get("kernels", {"bicubic": 1.0})
    _check_weights("kernels", kernels, KERNELS)
    degradation = Degradation(**passes, kernels=kernels, scale=scale)
    return degradation if degradation.does_something else None


def changes_lr(config: Mapping) -> bool:
    """Return whether a run with this config, as a checkpoint has it, degraded LR beyond the bicubic reduction.

    A picture that such a network enlarges need not be a bicubic reduction either, and so SR need not be consistent.
    """
    options = config.get("data", {}).get("degradation", {})
    return create_degradation(options, scale=config.get("scale", 4), channels=config.get("channels", 3)) is not None


def _read_pass(name: str, options: Mapping, channels: int) -> Pass:
    fields = {field.name: field.default for field in dataclasses.fields(Pass)}
    for field in options:
        if field not in fields:
            _refuse(name, f"there is no field {field!r}; {nearest_name(field, fields)}")
    made = Pass(**options)
    for field in ("blur", "enlarge", "reduce", "gaussian", "poisson", "grey", "jpeg", "jpeg_first", "subsampled"):
        if not 0 <= getattr(made, field) <= 1:
            _refuse(f"{name}.{field}", f"a probability is from 0 to 1, got {getattr(made, field)}.")
    for pair in (("enlarge", "reduce"), ("gaussian", "poisson")):
        if sum(getattr(made, field) for field in pair) > 1 + 1e-9:
            _refuse(name, f"{pair[0]} and {pair[1]} exclude each other, so that their sum is at most 1.")
    for field, least, most in (
        ("radius", 1, 100),
        ("sigma", 0, 100),
        ("generalised_beta", 0, 100),
        ("plateau_beta", 0, 100),
        ("factor", 0, 16),
        ("gaussian_sigma", 0, 255),
        ("poisson_scale", 0, 255),
        ("quality", 1, 100),
    ):
        ends = tuple(getattr(made, field))
        if len(ends) != 2 or not least <= ends[0] <= ends[1] <= most:
            _refuse(f"{name}.{field}", f"expected two numbers in order, from {least} to {most}, got {ends}.")
    _check_weights(f"{name}.shapes", made.shapes, SHAPES)
    _check_weights(f"{name}.kernels", made.kernels, KERNELS)
    if made.jpeg and channels not in (1, 3):
        _refuse(f"{name}.jpeg", f"JPEG has 1 or 3 channels, and the pictures have {channels}; set it to 0.")
    # A standard deviation of 0 would divide by zero; a thousandth of a pixel blurs nothing.
    return dataclasses.replace(made, sigma=tuple(max(float(end), 1e-3) for end in made.sigma))


def _check_weights(field: str, weights: Mapping[str, float], known: Mapping) -> None:
    for name, weight in weights.items():
        if name not in known:
            _refuse(field, f"there is no {name!r}; {nearest_name(name, known)}")
        if weight < 0:
            _refuse(f"{field}.{name}", f"a weight is at least 0, got {weight}.")
    if not any(weights.values()):
        _refuse(field, "at least one weight must be above 0.")


def _refuse(field: str, problem: str) -> NoReturn:
    raise InputError(f"config.data.degradation.{field}: {problem}")
