"""How layers are computed on a window of a picture so that its pixels are those of the whole picture.

The convolutions of a whole picture are padded with zeros. Therefore whatever lies outside of the picture is set to zero
before each convolution of a window. What lies inside of the picture but outside of the window is not there to be seen.
`unpadded` lets every convolution return only those pixels for which it has seen all that it needs. `padded` lets it
return all pixels, and the caller cuts off as many of them on each side as the network can see.

Both make interceptors for flax.linen.intercept_methods, which refuse layers of Flax that they do not know.
"""

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import flax.linen as nn
import jax
import jax.numpy as jnp

from srgan_jax import cpu
from srgan_jax.cpu.operations import CHANNELS_LAST
from srgan_jax.errors import InputError
from srgan_jax.models.layers import Enlarge
from srgan_jax.models.network import GeneratorNetwork
from srgan_jax.types import Array, Features, Variables

# Layers of Flax that see one pixel at a time, and what holds other layers.
POINTWISE = (nn.Dense, nn.BatchNorm, nn.LayerNorm, nn.RMSNorm, nn.PReLU, nn.Dropout, nn.Sequential, nn.Module)

# Operations of JAX that see several pixels wherever they stand, by the beginning of their names; and the axes along
# which others see several numbers.
WINDOWED = ("conv_general", "reduce_window", "select_and")
AXES = {
    "reduce": lambda eqn: eqn.params.get("axes", ()),
    "arg": lambda eqn: eqn.params["axes"],
    "cum": lambda eqn: (eqn.params["axis"],),
    "rev": lambda eqn: eqn.params["dimensions"],
    "sort": lambda eqn: (eqn.params["dimension"],),
    "concatenate": lambda eqn: (eqn.params["dimension"],),
    "gather": lambda eqn: eqn.params["dimension_numbers"].start_index_map,
    "pad": lambda eqn: (axis for axis, sides in enumerate(eqn.params["padding_config"]) if any(sides)),
}

Inside = list[Array]  # bool [N, h] and [N, w]: which rows and columns of a window belong to the pictures


def unpadded(inside: Inside) -> Callable:
    """Return an interceptor with which convolutions pad nothing, so that their results are smaller than what they read.

    Convolutions must come one after the other. Features of different sizes are added by layers.add, which takes the
    middle of the larger ones.

    Args:
      inside: of the input of the first convolution.
    """
    current = list(inside)  # of the input of the next convolution

    def convolve(layer, call, x):
        current[:] = _repeated(current, x)
        x = _only(x, current)
        for axis, span in enumerate(_spans(layer)):
            if span % 2:
                _refuse(_name(layer), "its kernel has no middle")
            current[axis] = current[axis][:, span // 2 : current[axis].shape[1] - span // 2]
        params = layer.variables["params"]
        y = cpu.conv_general_dilated(
            x,
            params["kernel"],
            (1, 1),
            "VALID",
            rhs_dilation=_pair(layer.kernel_dilation),
            dimension_numbers=CHANNELS_LAST,
            feature_group_count=layer.feature_group_count,
        )
        return y + params.get("bias", 0)

    return _interceptor(convolve, lambda layer, call, x: _enlarge(call, x, inside))


def padded(inside: Inside) -> Callable:
    """Return an interceptor with which convolutions pad a window with zeros, as they do a whole picture.

    Layers may come in any order. Near the border of the window the result is wrong, as far as the network can see.

    Args:
      inside: of LR; features may have a multiple of its pixels.
    """
    return _interceptor(
        lambda layer, call, x: call(_only(x, _repeated(inside, x))),
        lambda layer, call, x: _enlarge(call, x, _repeated(inside, x)),
    )


def check_layers(module: GeneratorNetwork, variables: Variables) -> None:
    """Raise an InputError unless a network that is computed window by window sees pixels in ways that are known.

    Layers are checked by their kind. Between them there must be no operation of JAX that sees several pixels, such as
    pooling, a sum over the picture, or a matrix product over its rows.
    """
    side = 16  # of LR; any would do

    def stand_in(layer, call, x):
        if any(length % side for length in x.shape[1:3]):
            _refuse(_name(layer), "it reads features that have not a multiple of LR's pixels")
        factor, channels = (layer.scale, x.shape[3]) if isinstance(layer, Enlarge) else (1, layer.features)
        return jnp.zeros((len(x), factor * x.shape[1], factor * x.shape[2], channels), x.dtype)

    def enlarge(variables, lr):
        with nn.intercept_methods(_interceptor(stand_in, stand_in)):
            return module.apply(variables, lr, train=False)

    lr = jax.ShapeDtypeStruct((1, side, side, module.inputs), jnp.float32)
    for place, operation in _operations(jax.make_jaxpr(enlarge)(variables, lr).jaxpr):
        if _sees_several_pixels(operation):
            _refuse(place, f"the operation {operation.primitive.name} sees several pixels at a time")


def _interceptor(convolve: Callable, enlarge: Callable) -> Callable:
    """Make an interceptor that checks all layers and replaces some.

    Args:
      convolve, enlarge: (layer, its method, features) -> features, for nn.Conv and for Enlarge.
    """

    def intercept(call, arguments, keywords, context):
        layer = context.module
        if isinstance(layer, nn.Conv):
            check_convolution(layer)
            return convolve(layer, call, *arguments)
        if isinstance(layer, Enlarge):
            return enlarge(layer, call, *arguments)
        check_pointwise(layer, keywords)
        return call(*arguments, **keywords)

    return intercept


def _only(x: Features, inside: Inside) -> Features:
    """Return the features with zeros where the window does not belong to the picture."""
    rows, columns = inside
    return jnp.where(rows[:, :, None, None] & columns[:, None, :, None], x, 0)


def _repeated(inside: Inside, x: Features) -> Inside:
    """Return `inside` of LR for features of a multiple of its pixels: a pixel shuffle has made the pixels smaller."""
    return [jnp.repeat(of, x.shape[1 + axis] // of.shape[1], axis=1) for axis, of in enumerate(inside)]


def _enlarge(call: Callable, x: Features, inside: Inside) -> Array:
    """Enlarge without weight on what is outside of the picture."""
    weight = call(_only(jnp.ones_like(x), inside))
    return call(_only(x, inside)) / jnp.where(weight == 0, 1, weight)


def check_convolution(layer: nn.Conv) -> None:
    """Raise an InputError unless a convolution has stride 1 and pads its input with zeros to the same size."""
    if len(layer.kernel_size) != 2 or layer.mask is not None:
        _refuse(_name(layer), "its kernel is not one of two dimensions without a mask")
    if _pair(layer.strides) != (1, 1) or _pair(layer.input_dilation) != (1, 1):
        _refuse(_name(layer), f"its strides are {layer.strides}, its input's dilation is {layer.input_dilation}")
    sides = layer.padding
    if not isinstance(sides, str):
        sides = [(side, side) if isinstance(side, int) else tuple(side) for side in _pair(sides)]
    if sides not in ("SAME", [(span // 2, span - span // 2) for span in _spans(layer)]):
        _refuse(_name(layer), f"its padding is {layer.padding!r}, not SAME")


def check_pointwise(layer: nn.Module, keywords: dict) -> None:
    """Raise an InputError for a layer of Flax that may see several pixels at a time."""
    kind = next(base for base in type(layer).__mro__ if base.__module__.startswith("flax."))
    if kind not in POINTWISE:
        _refuse(_name(layer), f"{kind.__name__} may see several pixels at a time")
    if kind is nn.BatchNorm and not (keywords.get("use_running_average") or layer.use_running_average):
        _refuse(_name(layer), "it takes the statistics of the picture")


def _operations(jaxpr: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (the path of the layer, operation) for all operations of a program and of the programs in it."""
    for operation in jaxpr.eqns:
        within = str(operation.source_info.name_stack) or place
        yield within, operation
        for value in jax.tree.leaves(list(operation.params.values())):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _operations(inner, within)


def _sees_several_pixels(operation: Any) -> bool:
    """Return whether an operation combines numbers along an axis of space: neither the first nor the last one."""
    name, shapes = operation.primitive.name, [value.aval.shape for value in operation.invars]
    if name.startswith(WINDOWED):
        return True
    if name == "dot_general":
        used = zip(operation.params["dimension_numbers"][0], shapes, strict=True)
    else:
        axes = next((axes for start, axes in AXES.items() if name.startswith(start)), lambda operation: ())
        used = [(axes(operation), shapes[0])] if shapes else []
    return any(0 < axis < len(shape) - 1 for axes, shape in used for axis in axes)


def _pair(value: Any) -> tuple:
    """Return an attribute of a convolution for both directions; Flax lets one number, or None for 1, stand for both."""
    return tuple(value) if isinstance(value, tuple | list) else (1 if value is None else value,) * 2


def _spans(layer: nn.Conv) -> list[int]:
    """Return how many pixels after its first one the kernel reads, down and to the right."""
    pairs = zip(layer.kernel_size, _pair(layer.kernel_dilation), strict=True)
    return [(size - 1) * dilation for size, dilation in pairs]


def _name(layer: nn.Module) -> str:
    return "/".join(layer.path) or type(layer).__name__


def _refuse(name: str, reason: str) -> NoReturn:
    raise InputError(
        f"{name}: {reason}, and so the network cannot be computed in tiles; use convolutions of stride 1 that pad with "
        "zeros, pixel shuffles, and layers that see one pixel at a time."
    )
