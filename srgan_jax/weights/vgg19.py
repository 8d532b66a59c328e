"""VGG19's ImageNet weights, from files of others."""

import pathlib
import zipfile
import zlib

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from srgan_jax.errors import InputError
from srgan_jax.models.vgg import BLOCKS, conv_names

WHERE = (
    "VGG19's weights are published by Keras and by torchvision; docs/weights.md shows how to make a file of either "
    "that --config.vgg_weights and --vgg take."
)

# Position of each convolution in torchvision's `features`: a ReLU follows each, a pooling each block.
_TORCHVISION = {
    f"conv{b}_{c}": sum(2 * convs + 1 for convs, _ in BLOCKS[: b - 1]) + 2 * (c - 1)
    for b, (convs, _) in enumerate(BLOCKS, 1)
    for c in range(1, convs + 1)
}


def _keras_layer(arrays, name):
    block, index = name[4], name[6]
    return arrays[f"block{block}_conv{index}/kernel"], arrays[f"block{block}_conv{index}/bias"]


def _torchvision_layer(arrays, name):
    prefix = f"features.{_TORCHVISION[name]}"
    kernel, bias = arrays[f"{prefix}.weight"], arrays[f"{prefix}.bias"]
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel, bias  # OIHW -> HWIO


# How to find a layer, by an array that the family has: (preprocessing, reader).
_FAMILIES = {
    "block1_conv1/kernel": ("caffe", _keras_layer),
    "features.0.weight": ("torchvision", _torchvision_layer),
}


def load_vgg19(path, layers) -> tuple[dict, str]:
    """Read the convolutions that `layers` (names out of models.vgg.LAYERS) need.

    Args:
      path: .npz or .safetensors with arrays under Keras names ("block1_conv1/kernel", HWIO) or torchvision names
        ("features.0.weight", OIHW). Nothing is ever unpickled.

    Returns:
      (parameters of models.VGG19, preprocessing: "caffe" or "torchvision").

    Raises:
      InputError: no such file, another format, or not the arrays of a VGG19.
    """
    arrays = _load_arrays(pathlib.Path(path))
    family = next((family for key, family in _FAMILIES.items() if key in arrays), None)
    if family is None:
        first = ", ".join(sorted(arrays)[:3])
        raise InputError(f"{path}: not a VGG19 file: it holds {first} … {WHERE}")
    preprocessing, read = family
    if preprocessing == "caffe" and "block3_conv4/kernel" not in arrays:
        raise InputError(f"{path}: block3_conv4/kernel is missing; this looks like VGG16, where VGG19 is needed.")
    params, fan_in = {}, 3
    for name in conv_names(layers):
        try:
            kernel, bias = read(arrays, name)
        except KeyError as error:
            raise InputError(f"{path}: array {error} is missing; is the file that of VGG19, and whole?") from None
        features = BLOCKS[int(name[4]) - 1][1]
        if kernel.shape != (3, 3, fan_in, features) or bias.shape != (features,):
            raise InputError(
                f"{path}: {name} should be (3, 3, {fan_in}, {features}) and ({features},), but is {kernel.shape} and "
                f"{bias.shape}; this is no VGG19."
            )
        params[name] = {"kernel": np.float32(kernel), "bias": np.float32(bias)}
        fan_in = features
    return params, preprocessing


def _load_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(f"{path}: no such file. {WHERE}" if str(path) != "." else f"No VGG19 file was given. {WHERE}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            if not zipfile.is_zipfile(path):
                raise ValueError("not an archive, or cut short")
            with np.load(path, allow_pickle=False) as archive:
                return dict(archive)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from None
    raise InputError(f"{path}: expected .npz or .safetensors. {WHERE}")
