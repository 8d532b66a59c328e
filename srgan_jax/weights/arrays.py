"""Read and write files of named arrays. No code in a file is ever run, and nothing too large is read.

The table READERS says how each format is read. Each reader looks at the sizes that a file claims before it reads the
arrays. The only format that is written is safetensors.
"""

import math
import pathlib
import pickle
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from srgan_jax.errors import InputError, install
from srgan_jax.files import replacing

# Bytes. No network here needs as many: VGG19 with its dense layers has 575 MB.
MAX_BYTES = 2 << 30
MAX_HEADER = 16 << 20


def read_arrays(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Read the arrays of a .safetensors, .npz, .pth, .pt, .h5 or .hdf5 file.

    Args:
      path: the file.

    Returns:
      {name: array}. Of a PyTorch file, these are the entries of its state dict. The names of an HDF5 file's groups are
      joined by "/", as in "block1_conv1/kernel".

    Raises:
      InputError: the file is missing, damaged or too large, has another format, or holds more than arrays; or a value
        is not finite.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    if path.suffix not in READERS:
        raise InputError(f"{path}: expected a file that ends in {', '.join(READERS)}.")
    found = _read(path, READERS[path.suffix])
    for key, array in sorted(found.items()):
        if array.dtype.kind not in "fiub":
            raise InputError(f"{path}: {key} holds {array.dtype}, where numbers are expected.")
        if not np.isfinite(array).all():
            raise InputError(
                f"{path}: {key} holds NaN or infinite values; the file is damaged or its training diverged."
            )
    return found


def read_header(path: str | pathlib.Path) -> dict[str, str]:
    """Read the metadata of a safetensors file.

    Raises:
      InputError: the file is missing, damaged or too large.
    """
    return _read(pathlib.Path(path), _safetensors_header)


def write_safetensors(path: str | pathlib.Path, arrays: dict[str, np.ndarray], header: dict[str, str]) -> None:
    """Write arrays and their metadata to a safetensors file, through a temporary name. Missing folders are made.

    Args:
      path: the file to write; its name ends in ".safetensors".
      arrays: {name: array}.
      header: the metadata, {name: text}.

    Raises:
      InputError: the name has another extension.
      OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: the file to write ends in .safetensors.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        # The library's save_file would make a file that only its owner can read.
        partial.write_bytes(save(arrays, metadata=header))


def _read(path: pathlib.Path, reader: Callable[[pathlib.Path], dict[str, Any]]) -> dict[str, Any]:
    """Call `reader(path)`, and turn whatever a damaged or hostile file makes it raise into an InputError."""
    try:
        _check_size(path.stat().st_size)
        return reader(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    # Damaged files make these libraries raise nearly any type.
    except Exception as error:
        reason = " ".join(f"{error}".split())[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}).") from None


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise InputError(f"holds, or claims to hold, {size:,} bytes; more than {MAX_BYTES:,} are not read.")


def _safetensors_header(path: pathlib.Path) -> dict[str, str]:
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > MAX_HEADER:
        raise ValueError(f"its header claims {header:,} bytes; more than {MAX_HEADER:,} are not read")
    with safe_open(path, framework="np") as file:
        return file.metadata() or {}


def _safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    _safetensors_header(path)
    with safe_open(path, framework="np") as file:  # It checks that every array lies within the file.
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)


def _check_archive(path: pathlib.Path) -> None:
    """Check the size that a zip archive unpacks to. zipfile reads no more of a member than the member claims."""
    with zipfile.ZipFile(path) as archive:
        _check_size(sum(member.file_size for member in archive.infolist()))


_NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def _npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise ValueError("not an archive, or cut short")
    _check_archive(path)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():  # np.load would allocate what an array's header claims before it reads.
            with archive.open(member) as file:
                shape, _, dtype = _NPY_HEADERS[np.lib.format.read_magic(file)](file)
            if math.prod(shape) * dtype.itemsize > member.file_size:
                raise ValueError(f"{member.filename} claims the shape {shape}, which it is too short for")
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


# The keys under which training programs keep the state dict beside other things. Averaged weights come first.
_WRAPPERS = ("params_ema", "params", "state_dict")


def _torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise InputError(
            f"reading it needs PyTorch ({install('torch')}); or save its state dict as .safetensors, which needs none."
        ) from None
    if zipfile.is_zipfile(path):
        _check_archive(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # PyTorch warns of an unusual pickle protocol.
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            "holds more than arrays (pickled Python objects, which are never run), or is damaged; ask for a state "
            "dict, as torch.save(model.state_dict(), …) writes it."
        ) from None
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict):
        raise InputError(f"holds a {type(state).__name__}, not a state dict.")
    state = {str(key): tensor for key, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    # A tensor can claim any shape over a small storage.
    _check_size(sum(tensor.numel() * tensor.element_size() for tensor in state.values()))
    return {key: (t.float() if t.is_floating_point() else t).contiguous().numpy() for key, t in state.items()}


def _hdf5(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import h5py
    except ImportError:
        raise InputError(f"reading it needs h5py ({install('convert')}).") from None
    found = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise InputError(f"{name} lies in another file.")
            if item.dtype.kind not in "fiub":
                raise InputError(f"{name} holds {item.dtype}, where numbers are expected.")
            found[name] = item

    with h5py.File(path, "r") as file:
        file.visititems(collect)  # It follows neither soft nor external links.
        _check_size(sum(item.size * item.dtype.itemsize for item in found.values()))
        return {name: np.asarray(item) for name, item in found.items()}


READERS = {
    ".safetensors": _safetensors,
    ".npz": _npz,
    ".pth": _torch,
    ".pt": _torch,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
}
