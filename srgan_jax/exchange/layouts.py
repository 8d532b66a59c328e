"""PyTorch state dicts of other projects' generators, to and from ours. One table serves both directions.

A layout says under which name a project keeps each of our layers; how an array changes on its way depends on the kind
of the layer alone. What a layout has no name for, such as another activation, is one of its fixed fields.
"""

import dataclasses
import math
import re
from collections.abc import Callable

import numpy as np
from flax import traverse_util

from srgan_jax.errors import InputError, nearest_name
from srgan_jax.models import GeneratorNetwork, architecture_of, create_generator, expected_variables
from srgan_jax.models.graph import norms_of


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one project names the arrays of a generator.

    Attributes:
      about: the network in words.
      marker: a pattern that some name in its files matches; the first layout of the table whose pattern does is taken.
      layers: (blocks, upsamplings) -> {our layer: theirs}.
      fields: of the architecture, what this layout always has.
      wrapper: key of a .pth under which the project's code looks for the state dict.
      prefix: of every name in such a .pth.
      norm_bias: a convolution before a BatchNorm has a bias, which the BatchNorm's mean makes void.
    """

    about: str
    marker: str
    layers: Callable[[int, int], dict[str, str]]
    fields: dict
    wrapper: str = ""
    prefix: str = ""
    norm_bias: bool = False


def _leftthomas(blocks, upsamplings):
    trunk, upsample = f"block{blocks + 2}", f"block{blocks + 3}"
    return {
        **{"stem": "block1.0", "stem_prelu": "block1.1"},
        **{
            f"block{i}/{layer}": f"block{i + 2}.{layer}"
            for i in range(blocks)
            for layer in ("conv1", "bn1", "prelu", "conv2", "bn2")
        },
        **{"trunk": f"{trunk}.0", "trunk_bn": f"{trunk}.1", "trunk_prelu": f"{trunk}.1"},
        **{f"upsample{i}": f"{upsample}.{i}.conv" for i in range(upsamplings)},
        **{f"upsample{i}_prelu": f"{upsample}.{i}.prelu" for i in range(upsamplings)},
        "output": f"{upsample}.{upsamplings}",
    }


def _lornatang(blocks, upsamplings):
    places = {"conv1": 0, "bn1": 1, "prelu": 2, "conv2": 3, "bn2": 4}
    return {
        **{"stem": "conv1.0", "stem_prelu": "conv1.1"},
        **{f"block{i}/{layer}": f"trunk.{i}.rcb.{n}" for i in range(blocks) for layer, n in places.items()},
        **{"trunk": "conv2.0", "trunk_bn": "conv2.1"},
        **{f"upsample{i}": f"upsampling.{i}.upsample_block.0" for i in range(upsamplings)},
        **{f"upsample{i}_prelu": f"upsampling.{i}.upsample_block.2" for i in range(upsamplings)},
        "output": "conv3",
    }


def _msrresnet(body, upsample, hr):
    def layers(blocks, upsamplings):
        return {
            "stem": "conv_first",
            **{f"block{i}/{layer}": f"{body}.{i}.{layer}" for i in range(blocks) for layer in ("conv1", "conv2")},
            **{f"upsample{i}": upsample.format(i + 1) for i in range(upsamplings)},
            **{"hr": hr, "output": "conv_last"},
        }

    return layers


_PRELU = {"network": "srresnet", "prelu": "shared", "global_skip": "none", "batch_norm": True}
_TANH = _PRELU | {"output_activation": "tanh", "output_range": "signed"}
_UNIT = _PRELU | {"output_activation": "none", "output_range": "unit", "trunk_prelu": False}
_MSRRESNET = {"network": "msrresnet"}

LAYOUTS = {
    "leftthomas": Layout(
        "leftthomas/SRGAN's Generator",
        r"block\d+\.1\.running_mean",
        _leftthomas,
        _TANH | {"trunk_prelu": False},
        norm_bias=True,
    ),
    "leftthomas-published": Layout(
        "leftthomas/SRGAN's Generator as published: with a PReLU where its later code has the trunk's BatchNorm",
        r"block([2-9]|\d\d)\.1\.weight",
        _leftthomas,
        _TANH | {"trunk_prelu": True},
        norm_bias=True,
    ),
    "lornatang": Layout(
        "Lornatang/SRGAN-PyTorch's SRResNet", r"trunk\.\d+\.rcb\.", _lornatang, _UNIT, wrapper="state_dict"
    ),
    "basicsr": Layout(
        "BasicSR's MSRResNet",
        r"body\.\d+\.conv1\.",
        _msrresnet("body", "upconv{}", "conv_hr"),
        _MSRRESNET | {"upsample_activation": True},
        wrapper="params",
    ),
    "kair": Layout(
        "KAIR's MSRResNet1",
        r"recon_trunk\.\d+\.conv1\.",
        _msrresnet("recon_trunk", "upconv{}", "HRconv"),
        _MSRRESNET | {"upsample_activation": True},
    ),
    "mmagic": Layout(
        "mmagic's MSRResNet",
        r"trunk_net\.\d+\.conv1\.",
        _msrresnet("trunk_net", "upsample{}.upsample_conv", "conv_hr"),
        _MSRRESNET | {"upsample_activation": False},
        wrapper="state_dict",
        prefix="generator.",
    ),
}

# Our leaf of each kind of layer -> theirs.
_LEAVES = {"kernel": "weight", "slope": "weight", "scale": "weight", "bias": "bias"}
_LEAVES |= {"mean": "running_mean", "var": "running_var"}

# What training programs put before every name.
_PREFIXES = ("generator.", "_orig_mod.", "module.")


def detect(names) -> str:
    """The layout that a state dict's names are of, by its first matching marker; an InputError if none."""
    for name, layout in LAYOUTS.items():
        if any(re.match(layout.marker, key) for key in names):
            return name
    first = ", ".join(sorted(names)[:3]) or "nothing"
    raise InputError(f"not the state dict of a known generator: it holds {first} …; known are {', '.join(LAYOUTS)}.")


def from_state_dict(state: dict[str, np.ndarray]) -> tuple[str, GeneratorNetwork, dict]:
    """A state dict of any layout -> (the layout's name, our network, our {"params": …, "batch_stats": …}).

    A bias before a BatchNorm, which ours has not, is taken off the BatchNorm's mean.

    Raises:
      InputError: another network, or missing, extra or misshapen arrays; the message names the first.
    """
    state = _without_prefixes(state)
    name = detect(state)
    layout = LAYOUTS[name]
    module = _network(layout, state)
    names = _names(layout, module)
    rest = {key for key in state if not key.endswith(".num_batches_tracked")}
    flat = {}
    for key, wanted in _flat(expected_variables(module)).items():
        theirs = names[key]
        flat[key] = _to_ours(key, _take(state, rest, theirs, layout), wanted, module.features, theirs)
    if layout.norm_bias:
        for mean, bias in _norm_biases(module, names):
            theirs = _take(state, rest, bias, layout)
            if theirs.shape != flat[mean].shape:
                raise InputError(f"{bias} should be {flat[mean].shape}, but is {theirs.shape}.")
            flat[mean] = (flat[mean].astype(np.float64) - theirs).astype(np.float32)
    if rest:
        raise InputError(f"array {sorted(rest)[0]!r} belongs to no {layout.about}.")
    return name, module, traverse_util.unflatten_dict(flat, sep="/")


def to_state_dict(module: GeneratorNetwork, variables: dict, layout: str) -> dict[str, np.ndarray]:
    """Our network's arrays under the names of `layout` and in PyTorch's order.

    Raises:
      InputError: no such layout, or one that cannot hold this network; the message says why.
    """
    if layout not in LAYOUTS:
        raise InputError(f"no layout {layout!r}; {nearest_name(layout, LAYOUTS)}")
    name, layout = layout, LAYOUTS[layout]
    architecture = architecture_of(module)
    for field, value in layout.fields.items():
        if architecture.get(field) != value:
            raise InputError(
                f"the layout {name!r} ({layout.about}) always has {field}={value!r}, but this network has "
                f"{architecture.get(field)!r}."
            )
    names = _names(layout, module)
    state = {names[key]: _to_theirs(key, array, module.features) for key, array in _flat(variables).items()}
    if layout.norm_bias:
        state |= {bias: np.zeros_like(state[names[mean]]) for mean, bias in _norm_biases(module, names)}
    return state


def _flat(tree):
    return traverse_util.flatten_dict(tree, sep="/")


def _without_prefixes(state):
    """Only the generator's arrays of a training program's file, under their own names."""
    for prefix in _PREFIXES * len(_PREFIXES):  # in any order
        if any(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): array for key, array in state.items() if key.startswith(prefix)}
    return state


def _network(layout: Layout, state) -> GeneratorNetwork:
    """The network whose sizes a state dict's arrays have."""
    upsamplings = blocks = 0
    while layout.layers(blocks + 1, 0)[f"block{blocks}/conv1"] + ".weight" in state:
        blocks += 1
    while layout.layers(blocks, upsamplings + 1)[f"upsample{upsamplings}"] + ".weight" in state:
        upsamplings += 1
    layers = layout.layers(blocks, upsamplings)

    def shape(layer):
        found = state.get(f"{layers[layer]}.weight", np.zeros(0)).shape
        if len(found) != 4:
            raise InputError(f"{layers[layer]}.weight should have 4 dimensions, but is {found}; no {layout.about}.")
        return found

    features, channels = shape("stem")[:2]
    outputs = [shape(f"upsample{i}")[0] for i in range(upsamplings)]
    scale = math.prod(round((n / max(features, 1)) ** 0.5) for n in outputs)
    sizes = {"scale": scale, "channels": channels, "features": features, "num_blocks": blocks}
    return create_generator(layout.fields | sizes)


def _names(layout: Layout, module) -> dict[str, str]:
    """{our array: theirs}, of all that the network has."""
    expected = _flat(expected_variables(module))
    upsamplings = sum(key.endswith("/kernel") and key.startswith("params/upsample") for key in expected)
    layers = layout.layers(module.num_blocks, upsamplings)
    return {
        key: f"{layers[layer]}.{_LEAVES[leaf]}"
        for key in expected
        for layer, leaf in [key.partition("/")[2].rsplit("/", 1)]
    }


def _norm_biases(module, names) -> list[tuple[str, str]]:
    """(our mean of each BatchNorm, their bias of the convolution before it)."""
    return [
        (f"batch_stats/{norm}/mean", names[f"params/{conv}/kernel"].removesuffix("weight") + "bias")
        for norm, conv in norms_of(module).items()
        if f"batch_stats/{norm}/mean" in names
    ]


def _take(state, rest, name, layout: Layout) -> np.ndarray:
    if name not in state:
        raise InputError(f"array {name!r} is missing; is the file whole, and that of {layout.about}?")
    rest.discard(name)
    return state[name]


def _subpixels(key, array, axis, groups):
    """Regroup the output channels of a convolution before a pixel shuffle: (a, b) -> (b, a), with a = groups."""
    if not re.match(r"params/upsample\d+/", key):
        return array
    outer = np.moveaxis(array, axis, 0)
    outer = outer.reshape(groups, -1, *outer.shape[1:]).swapaxes(0, 1).reshape(outer.shape)
    return np.moveaxis(outer, 0, axis)


def _to_theirs(key, array, features) -> np.ndarray:
    """Our array -> theirs: OIHW, and channels before a pixel shuffle as (feature, subpixel)."""
    array = np.asarray(array)
    array = _subpixels(key, array, -1, array.shape[-1] // features)
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array)


def _to_ours(key, array, wanted, features, theirs) -> np.ndarray:
    """Their array -> ours: HWIO, and channels before a pixel shuffle as (subpixel, feature)."""
    shape = tuple(wanted.shape[i] for i in (3, 2, 0, 1)) if wanted.ndim == 4 else wanted.shape
    if array.shape != shape:
        raise InputError(f"{theirs} should be {shape}, but is {array.shape}.")
    array = _subpixels(key, array, 0, features)
    return np.ascontiguousarray(array.transpose(2, 3, 1, 0) if array.ndim == 4 else array, wanted.dtype)
