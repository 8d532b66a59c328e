"""VGG19's ImageNet weights: read other projects' files, and write one of our own."""

import pathlib
import re
import zlib
from collections.abc import Callable, Collection

import numpy as np

import srgan_jax
from srgan_jax import digests
from srgan_jax.errors import InputError
from srgan_jax.models.vgg import BLOCKS, LAYERS, PREPROCESSING, conv_names
from srgan_jax.types import Params
from srgan_jax.weights.arrays import read_arrays, read_header, write_safetensors

FORMAT = "srgan_jax-vgg19-1"

WHERE = (
    "VGG19's weights are published by Keras and by torchvision; docs/weights.md shows how to make the file that is "
    "needed out of either."
)

# The file that Keras itself downloads, and the MD5 that Keras checks. Keras publishes no SHA-256. Two files of one MD5
# can be made, but nobody knows how to make another file that has the MD5 of a given one. The header of the file that
# convert_vgg19 writes records the SHA-256 of its source, which another machine can demand of its download.
KERAS_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{KERAS_FILE}"
KERAS_MD5 = "253f8cb515780f3b799900260a226db6"

# The position of each convolution in torchvision's `features`. A ReLU follows each convolution, a pooling each block.
_TORCHVISION = {
    f"conv{b}_{c}": sum(2 * convs + 1 for convs, _ in BLOCKS[: b - 1]) + 2 * (c - 1)
    for b, (convs, _) in enumerate(BLOCKS, 1)
    for c in range(1, convs + 1)
}


def _keras_names(name: str) -> tuple[str, str]:
    return f"block{name[4]}_conv{name[6]}/kernel", f"block{name[4]}_conv{name[6]}/bias"


def _torchvision_names(name: str) -> tuple[str, str]:
    return f"features.{_TORCHVISION[name]}.weight", f"features.{_TORCHVISION[name]}.bias"


def _our_names(name: str) -> tuple[str, str]:
    return f"{name}/kernel", f"{name}/bias"


# {an array that only this family of files has: (the family's name, its preprocessing, the function that gives the names
# of a layer's arrays, the order of a kernel's axes)}. Our own files name their preprocessing in their header.
_FAMILIES = {
    "block1_conv1/kernel": ("Keras", "caffe", _keras_names, (0, 1, 2, 3)),
    "features.0.weight": ("torchvision", "torchvision", _torchvision_names, (2, 3, 1, 0)),
    "conv1_1/kernel": ("srgan_jax", None, _our_names, (0, 1, 2, 3)),
}

# Names in Keras' HDF5 files: the published files have block1_conv1/block1_conv1_W_1:0, later versions …/kernel:0.
_HDF5_NAME = re.compile(r"(?:.*/)?(block\d_conv\d)[/_](kernel|bias|W|b)(?:_\d+)?:0")
_HDF5_LEAVES = {"W": "kernel", "b": "bias"}

# {CRC-32 of an array of the published Caffe weights, sorted: (the array's name, its CRC-32 in the right order)}. The
# kernels from conv4_1 on are not listed.
_PUBLISHED = {
    0xF8892A49: ("conv1_1/kernel", 0x7C819453),
    0x58F55292: ("conv1_2/kernel", 0x22CB76EB),
    0x24F3679F: ("conv2_1/kernel", 0x9CCC69CD),
    0xDA96B14E: ("conv2_2/kernel", 0xC32A5AD8),
    0x8989D5DA: ("conv3_1/kernel", 0x47ACB8CA),
    0x9A01F49D: ("conv3_2/kernel", 0xD221D1ED),
    0x360BE77C: ("conv3_3/kernel", 0xDF271F0E),
    0xA4A87444: ("conv3_4/kernel", 0xA9099913),
    0x6D3C9D7B: ("conv1_1/bias", 0xA12D40A8),
    0x70FAF2EB: ("conv1_2/bias", 0xDDD8159C),
    0x91E08AA9: ("conv2_1/bias", 0x56AB7E13),
    0x51D981A3: ("conv2_2/bias", 0xD9F05DBF),
    0x1D5F591A: ("conv3_1/bias", 0x632B2F8A),
    0x64897BCE: ("conv3_2/bias", 0x2E444C17),
    0x3D6FAFDC: ("conv3_3/bias", 0x2C0AA7E6),
    0xEB46554E: ("conv3_4/bias", 0xCB53683C),
    0x5DDF3A17: ("conv4_1/bias", 0x3F0D2A24),
    0xF9F297FE: ("conv4_2/bias", 0xFAA44DE3),
    0x7520BE19: ("conv4_3/bias", 0x700FD218),
    0x134D22C8: ("conv4_4/bias", 0xE3A6536E),
    0x3A147F88: ("conv5_1/bias", 0xCF6941DE),
    0x5B66FC5E: ("conv5_2/bias", 0x6D015B1C),
    0xDDBE67D9: ("conv5_3/bias", 0xAB05234E),
    0x83CD0972: ("conv5_4/bias", 0xF8A11821),
}
_LARGEST = 3 * 3 * 256 * 256  # the most elements of an array that is listed


def load_vgg19(path: str | pathlib.Path, layers: Collection[str]) -> tuple[Params, str]:
    """Read the convolutions that some layers of VGG19 need.

    Args:
      path: a file that `convert_vgg19` wrote, or any file that arrays.read_arrays reads and whose arrays have Keras'
        names ("block1_conv1/kernel", HWIO) or torchvision's ("features.0.weight", OIHW). No code in it is ever run.
      layers: names out of models.vgg.LAYERS.

    Returns:
      (parameters of models.VGG19, preprocessing), where the preprocessing is "caffe" or "torchvision".

    Raises:
      InputError: the file is missing, has another format, or does not hold the arrays of a VGG19.
    """
    params, _, preprocessing = _read_vgg19(path, layers)
    return params, preprocessing


def convert_vgg19(path: str | pathlib.Path, out: str | pathlib.Path) -> str:
    """Write all convolutions of a VGG19 to one safetensors file, whose header names the preprocessing they need.

    Args:
      path: a file that load_vgg19 reads.
      out: the file to write; its name ends in ".safetensors".

    Returns:
      The preprocessing, "caffe" or "torchvision".

    Raises:
      InputError: load_vgg19 cannot read the file, or the name of `out` has another extension.
      OSError: the file cannot be written.
    """
    params, family, preprocessing = _read_vgg19(path, tuple(LAYERS))
    header = {
        "format": FORMAT,
        "version": srgan_jax.__version__,
        "preprocessing": preprocessing,
        "source": f"{family}: {pathlib.Path(path).name}",
        "source_sha256": digests.of_file(path),
    }
    arrays = {f"{name}/{leaf}": array for name, layer in params.items() for leaf, array in layer.items()}
    write_safetensors(out, arrays, header)
    return preprocessing


def _read_vgg19(path: str | pathlib.Path, layers: Collection[str]) -> tuple[Params, str, str]:
    """Read (parameters, the family's name, preprocessing)."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. {WHERE}" if str(path) != "." else f"No VGG19 file was given. {WHERE}")
    arrays = read_arrays(path)
    if path.suffix in (".h5", ".hdf5"):
        arrays = {_from_hdf5(key): array for key, array in arrays.items()}
    family = next((family for key, family in _FAMILIES.items() if key in arrays), None)
    if family is None:
        first = ", ".join(sorted(arrays)[:3]) or "nothing"
        raise InputError(f"{path}: not a VGG19 file: it holds {first} … {WHERE}")
    name, preprocessing, names, axes = family
    if preprocessing is None:
        preprocessing = read_header(path).get("preprocessing") if path.suffix == ".safetensors" else None
        if preprocessing not in PREPROCESSING:
            raise InputError(f"{path}: its header records no preprocessing that is known; convert the weights again.")
    _check_variant(path, arrays)
    return _layers(path, arrays, layers, names, axes), name, preprocessing


def _from_hdf5(key: str) -> str:
    """Return the name in _FAMILIES' manner of an array in one of Keras' HDF5 files."""
    match = _HDF5_NAME.fullmatch(key)
    return f"{match[1]}/{_HDF5_LEAVES.get(match[2], match[2])}" if match else key


def _check_variant(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """Refuse other VGG networks, some of whose arrays have VGG19's names and shapes."""
    if "block1_conv1/kernel" in arrays and "block3_conv4/kernel" not in arrays:
        raise InputError(f"{path}: block3_conv4/kernel is missing; this looks like VGG16, where VGG19 is needed.")
    for key in sorted(arrays):
        match = re.match(r"features\.(\d+)\.", key)
        if match and int(match[1]) not in _TORCHVISION.values():
            raise InputError(f"{path}: {key} belongs to VGG16 or a VGG with BatchNorm, where plain VGG19 is needed.")


def _layers(
    path: pathlib.Path,
    arrays: dict[str, np.ndarray],
    layers: Collection[str],
    names: Callable[[str], tuple[str, str]],
    axes: tuple[int, ...],
) -> Params:
    """Pick the convolutions that the layers need, and check their shapes and their order."""
    params, fan_in = {}, 3
    for name in conv_names(layers):
        try:
            kernel, bias = (arrays[key] for key in names(name))
        except KeyError as error:
            raise InputError(f"{path}: array {error} is missing; is the file that of VGG19, and whole?") from None
        kernel = kernel.transpose(axes) if kernel.ndim == 4 else kernel
        features = BLOCKS[int(name[4]) - 1][1]
        if kernel.shape != (3, 3, fan_in, features) or bias.shape != (features,):
            raise InputError(
                f"{path}: {name} should be (3, 3, {fan_in}, {features}) and ({features},), but is {kernel.shape} and "
                f"{bias.shape}; this is no VGG19."
            )
        params[name] = {
            leaf: np.ascontiguousarray(array, np.float32) for leaf, array in (("kernel", kernel), ("bias", bias))
        }
        for leaf, array in params[name].items():
            _check_order(path, f"{name}/{leaf}", array)
        fan_in = features
    return params


def _check_order(path: pathlib.Path, name: str, array: np.ndarray) -> None:
    """Refuse the published weights under another layer's name, or with channels in another order."""
    if array.size > _LARGEST:
        return
    known, checksum = _PUBLISHED.get(zlib.crc32(np.sort(array, axis=None)), (None, None))
    if known and (known, checksum) != (name, zlib.crc32(array)):
        raise InputError(f"{path}: {name} holds the published {known} in another order; make the file anew.")
