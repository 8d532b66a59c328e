"""Measurements as training data: arrays of any depth and any number of channels, such as depth, heat or microscopy.

A file holds numbers of a range that the user names, for example 0 to 10 metres. They are brought to the levels 0..255
as float32, which keeps all that 16 bits tell apart, and are never rounded on the way to the networks.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import imagecodecs
import numpy as np
import tifffile
from scipy import ndimage

from srgan_jax.data.protocol import SourceError, file_identity
from srgan_jax.images import ImageError, decode_image, open_image, within_budget
from srgan_jax.types import Float, Shaped

EXTENSIONS = (".npy", ".tif", ".tiff", ".png")
PICTURES = (".jpg", ".jpeg", ".webp")  # which guides may be, too

Values = Shaped[np.ndarray, "h w c"]
Guide = Shaped[np.ndarray, "guide_h guide_w guide_c"]  # a picture of the size of HR
LevelArray = Float[np.ndarray, "h w c"]  # float32; the ends of the range are 0 and 255


@dataclasses.dataclass(frozen=True)
class ValueRange:
    """Which values the darkest and the brightest level stand for.

    Attributes:
      low, high: these values, low < high.
    """

    low: float
    high: float

    def to_levels(self, values: Values) -> LevelArray:
        """Bring values to levels; what is out of the range goes to its end. NaN stays."""
        shares = (values.astype(np.float64) - self.low) / (self.high - self.low)
        return (255 * np.clip(shares, 0, 1)).astype(np.float32)

    def to_values(self, levels: LevelArray) -> LevelArray:
        """Bring levels back to values, as float32."""
        return (levels.astype(np.float64) / 255 * (self.high - self.low) + self.low).astype(np.float32)


def value_range(ends: Sequence[float], dtype: np.dtype, *, name: str, field: str = "data.range") -> ValueRange:
    """Return the range between two ends; () stands for all that an integer dtype holds.

    Args:
      ends: (lowest, highest) value, or ().
      dtype: of the values.
      name, field: what messages call the array, and the place where its range is given.

    Raises:
      SourceError: the range is not two numbers in order, or is needed and not there.
    """
    if len(ends):
        if len(ends) != 2 or not np.isfinite(ends).all() or not ends[0] < ends[1]:
            raise SourceError(f"{field}: expected two numbers, the lower one first, got {tuple(ends)}.")
        return ValueRange(float(ends[0]), float(ends[1]))
    if not np.issubdtype(dtype, np.integer):
        raise SourceError(
            f"{name} holds {dtype} numbers, whose range is not known; set {field}=(lowest, highest), such as (0, 1)."
        )
    return ValueRange(np.iinfo(dtype).min, np.iinfo(dtype).max)


def read_values(path: str | pathlib.Path) -> Values:
    """Read an array with its dtype from an NPY, a TIFF, or a PNG of 8 or 16 bits.

    Returns:
      [H, W, C] of an integer or floating-point dtype; NaN marks pixels without a value.

    Raises:
      ImageError: the file cannot be read, or holds no such array.
    """
    path = pathlib.Path(path)
    try:
        values = _read(path)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{path}: no array could be read ({error}).") from None
    values = values[..., None] if values.ndim == 2 else values
    number = np.issubdtype(values.dtype, np.integer) or np.issubdtype(values.dtype, np.floating)
    if values.ndim != 3 or not values.size or not number:
        raise ImageError(
            f"{path}: expected numbers of shape [H, W] or [H, W, C], got {values.dtype} of shape {values.shape}."
        )
    if np.isinf(values).any():
        raise ImageError(f"{path}: holds infinite values; NaN marks pixels without a value.")
    return values


def _read(path: pathlib.Path) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        header = np.load(path, mmap_mode="r", allow_pickle=False)
        with within_budget(f"an array of shape {header.shape}", header.nbytes):
            return np.array(header)
    if suffix in (".tif", ".tiff"):
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            with within_budget(f"an array of shape {page.shape}", int(np.prod(page.shape)) * page.dtype.itemsize):
                values = page.asarray()
            return np.moveaxis(values, 0, -1) if page.axes.startswith("S") else values
    with open_image(path) as image:
        sixteen = image.mode.startswith("I") or (image.tile and str(image.tile[0].args).endswith(";16B"))
        if not sixteen and image.mode not in ("L", "RGB"):
            raise ImageError(f"{path}: expected a grey or RGB picture, got mode {image.mode}; convert it first.")
    if sixteen:
        return imagecodecs.png_decode(path.read_bytes())
    return decode_image(path, channels=None)


def fill_holes(values: Values) -> tuple[Values, Shaped[np.ndarray, "h w"]]:
    """Give pixels without a value (NaN in any channel) that of the nearest one that has a value.

    Returns:
      (values, bool [H, W]: which pixels had a value).

    Raises:
      SourceError: there is no value at all.
    """
    valid = ~np.isnan(values).any(-1)
    if valid.all():
        return values, valid
    if not valid.any():
        raise SourceError("every pixel is without a value (NaN).")
    nearest = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return values[tuple(nearest)], valid


def guide_to_unit(guide: Guide) -> Float[np.ndarray, "guide_h guide_w guide_c"]:
    """Bring a guide to float32 in [0, 1]: integers by their whole range; floating point has to be in it already.

    Raises:
      SourceError: floating-point numbers below 0 or above 1, or NaN.
    """
    if np.issubdtype(guide.dtype, np.integer):
        return (value_range((), guide.dtype, name="the guide").to_levels(guide) / 255).astype(np.float32)
    if not ((guide >= 0) & (guide <= 1)).all():
        raise SourceError("a guide of floating point holds numbers from 0 to 1, and this one others or NaN.")
    return guide.astype(np.float32)


class ArraySource:
    """Arrays in the files of a directory and its subfolders.

    An array is given with further channels: first those of its guide as levels, if there are guides; and last one that
    is 1 where a pixel has a value and 0 where it has none. Such a pixel is filled from the nearest one that has one.

    Args:
      directory: the directory.
      channels: that each array has to have.
      ends: (lowest, highest) value; () stands for the whole range of an integer dtype.
      guides: a directory with a guide for each array, of the same size, in a file of the same name but for the ending;
        or "" for none.

    Raises:
      SourceError: a directory is missing or holds no arrays, `ends` is no range, or a guide is missing.
    """

    raw = False

    def __init__(
        self,
        directory: str | pathlib.Path,
        *,
        channels: int,
        ends: Sequence[float] = (),
        guides: str | pathlib.Path = "",
    ) -> None:
        self.directory, self.channels, self.ends = pathlib.Path(directory).expanduser(), channels, tuple(ends)
        value_range(self.ends, np.dtype(np.uint8), name="")
        if not str(directory) or not self.directory.is_dir():
            raise SourceError(f"{self.directory} is no directory; name a folder of arrays in data.path.")
        paths = (path for path in self.directory.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
        names = sorted(path.relative_to(self.directory).as_posix() for path in paths)
        self.names = tuple(name for name in names if not any(part.startswith(".") for part in name.split("/")))
        if not self.names:
            raise SourceError(f"{self.directory} holds no arrays; looked in it and its subfolders for {EXTENSIONS}.")
        self.guides = self._find_guides(pathlib.Path(guides).expanduser()) if str(guides) else None

    def _find_guides(self, directory: pathlib.Path) -> list[pathlib.Path]:
        """Return the path of each array's guide."""
        if not directory.is_dir():
            raise SourceError(f"{directory} is no directory; name a folder of guides in data.guide.")
        found = []
        for name in self.names:
            stem = (directory / name).with_suffix("")
            paths = [stem.with_suffix(ending) for ending in (*EXTENSIONS, *PICTURES)]
            path = next((path for path in paths if path.is_file()), None)
            if path is None:
                raise SourceError(
                    f"{self.directory / name} has no guide; looked for {stem} with {EXTENSIONS + PICTURES}."
                )
            found.append(path)
        return found

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def values(self, index: int) -> tuple[Values, ValueRange]:
        """Return the array as it is in its file, and its range."""
        path = self.directory / self.names[index]
        values = read_values(path)
        if values.shape[2] != self.channels:
            raise ImageError(
                f"{path}: expected {self.channels} channels, got {values.shape[2]}; set config.channels to the number."
            )
        return values, value_range(self.ends, values.dtype, name=str(path))

    def guide(self, index: int) -> Guide | None:
        """Return the array's guide as it is in its file, [H, W, guide channels], if there are guides."""
        if self.guides is None:
            return None
        path = self.guides[index]
        return decode_image(path, channels=None) if path.suffix.lower() in PICTURES else read_values(path)

    def __getitem__(self, index: int) -> LevelArray:
        values, ends = self.values(index)
        filled, valid = fill_holes(values)
        parts, guide = [ends.to_levels(filled)], self.guide(index)
        if guide is not None:
            if guide.shape[:2] != values.shape[:2]:
                raise ImageError(
                    f"{self.guides[index]}: expected a guide of {values.shape[1]}x{values.shape[0]} pixels, as the "
                    f"array has, got {guide.shape[1]}x{guide.shape[0]}."
                )
            parts.append(np.float32(255) * guide_to_unit(guide))
        return np.concatenate([*parts, valid[..., None].astype(np.float32)], -1)

    def size(self, index: int) -> tuple[int, int]:
        return read_values(self.directory / self.names[index]).shape[:2]

    def identity(self, index: int) -> str:
        return file_identity(self.directory / self.names[index])
