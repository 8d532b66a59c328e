"""PyTorch state dicts of other projects' generators, to and from ours. One table serves both directions.

A layout says under which name a project keeps each of our layers; how an array changes on its way depends on the kind
of the layer alone. The table is in projects.py.
"""

import re
from collections.abc import Collection

import jax
import numpy as np

from srgan_jax import trees
from srgan_jax.errors import InputError, nearest_name
from srgan_jax.exchange.projects import LAYOUTS, Layout, State
from srgan_jax.models import GeneratorNetwork, architecture_of, create_generator, expected_variables
from srgan_jax.models.graph import norms_of
from srgan_jax.types import AnyArray

# Our leaf of each kind of layer -> theirs.
_LEAVES = {"kernel": "weight", "slope": "weight", "scale": "weight", "bias": "bias"}
_LEAVES |= {"mean": "running_mean", "var": "running_var"}

# What training programs put before every name.
_PREFIXES = ("generator.", "_orig_mod.", "module.")


def detect(names: Collection[str]) -> str:
    """Return the layout that a state dict's names are of, by its first matching marker; an InputError if none."""
    for name, layout in LAYOUTS.items():
        if any(re.match(layout.marker, key) for key in names):
            return name
    first = ", ".join(sorted(names)[:3]) or "nothing"
    raise InputError(f"not the state dict of a known generator: it holds {first} …; known are {', '.join(LAYOUTS)}.")


def from_state_dict(state: dict[str, np.ndarray], *, scale: int | None = None) -> tuple[str, GeneratorNetwork, dict]:
    """Read a state dict of any layout -> (the layout's name, our network, our {"params": …, "batch_stats": …}).

    A bias before a BatchNorm, which ours has not, is taken off the BatchNorm's mean.

    Args:
      state: the arrays by their names.
      scale: enlargement, for a network whose arrays do not tell it since it reads enlarged pictures; by default 4.

    Raises:
      InputError: another network, or missing, extra or misshapen arrays; the message names the first.
    """
    state = _without_prefixes(state)
    name = detect(state)
    layout = LAYOUTS[name]
    module = _network(layout, state, scale)
    names = _names(layout, module)
    rest = {key for key in state if not key.endswith(".num_batches_tracked")}
    for key, constant in layout.constants(module.channels).items():
        if key in rest and not np.allclose(state[key], constant, atol=1e-3):
            raise InputError(f"array {key!r} is {np.ravel(state[key])}, but {layout.about} has {np.ravel(constant)}.")
        rest.discard(key)
    flat = {}
    for key, wanted in trees.flat(expected_variables(module)).items():
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
    return name, module, trees.nested(flat)


def holds(module: GeneratorNetwork, layout: str) -> bool:
    """Say whether a layout can hold a network."""
    architecture = architecture_of(module)
    return all(architecture.get(field) == value for field, value in LAYOUTS[layout].fields.items())


def to_state_dict(module: GeneratorNetwork, variables: dict, layout: str) -> dict[str, np.ndarray]:
    """Return our network's arrays under the names of `layout` and in PyTorch's order.

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
    state = {names[key]: _to_theirs(key, array, module.features) for key, array in trees.flat(variables).items()}
    for field, value in layout.sizes(layout, state).items():
        if field != "channels" and architecture[field] != value:
            raise InputError(
                f"in the layout {name!r} ({layout.about}) this network would be read as one of {field}={value!r}, but "
                f"it has {architecture[field]!r}."
            )
    if layout.norm_bias:
        state |= {bias: np.zeros_like(state[names[mean]]) for mean, bias in _norm_biases(module, names)}
    return state | layout.constants(module.channels)


def _without_prefixes(state: State) -> State:
    """Return only the generator's arrays of a training program's file, under their own names."""
    for prefix in _PREFIXES * len(_PREFIXES):  # in any order
        if any(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): array for key, array in state.items() if key.startswith(prefix)}
    return state


def _network(layout: Layout, state: State, scale: int | None) -> GeneratorNetwork:
    """Return the network whose sizes a state dict's arrays have."""
    sizes = layout.sizes(layout, state)
    if scale is not None and sizes.get("scale", scale) != scale:
        raise InputError(f"this {layout.about} enlarges {sizes['scale']} times, but the scale {scale} was given.")
    given = {} if scale is None else {"scale": scale}
    return create_generator(layout.fields | given | sizes)


def _names(layout: Layout, module: GeneratorNetwork) -> dict[str, str]:
    """Return {our array: theirs}, of all that the network has."""
    expected = trees.flat(expected_variables(module))
    upsamplings = sum(key.endswith("/kernel") and key.startswith("params/upsample") for key in expected)
    layers = layout.layers(getattr(module, layout.depth, 0), upsamplings)
    return {
        key: f"{layers[layer]}.{_LEAVES[leaf]}"
        for key in expected
        for layer, leaf in [key.partition("/")[2].rsplit("/", 1)]
    }


def _norm_biases(module: GeneratorNetwork, names: dict[str, str]) -> list[tuple[str, str]]:
    """Return (our mean of each BatchNorm, their bias of the convolution before it)."""
    return [
        (f"batch_stats/{norm}/mean", names[f"params/{conv}/kernel"].removesuffix("weight") + "bias")
        for norm, conv in norms_of(module).items()
        if f"batch_stats/{norm}/mean" in names
    ]


def _take(state: State, rest: set[str], name: str, layout: Layout) -> np.ndarray:
    if name not in state:
        raise InputError(f"array {name!r} is missing; is the file whole, and that of {layout.about}?")
    rest.discard(name)
    return state[name]


def _subpixels(key: str, array: np.ndarray, axis: int, groups: int) -> np.ndarray:
    """Regroup the output channels of a convolution before a pixel shuffle: (a, b) -> (b, a), with a = groups."""
    if not re.match(r"params/upsample\d+/", key):
        return array
    outer = np.moveaxis(array, axis, 0)
    outer = outer.reshape(groups, -1, *outer.shape[1:]).swapaxes(0, 1).reshape(outer.shape)
    return np.moveaxis(outer, 0, axis)


def _to_theirs(key: str, array: AnyArray, features: int) -> np.ndarray:
    """Map our array to theirs: OIHW, and channels before a pixel shuffle as (feature, subpixel)."""
    array = np.asarray(array)
    array = _subpixels(key, array, -1, array.shape[-1] // features)
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array)


def _to_ours(key: str, array: np.ndarray, wanted: jax.ShapeDtypeStruct, features: int, theirs: str) -> np.ndarray:
    """Map their array to ours: HWIO, and channels before a pixel shuffle as (subpixel, feature)."""
    shape = tuple(wanted.shape[i] for i in (3, 2, 0, 1)) if wanted.ndim == 4 else wanted.shape
    if array.shape != shape:
        raise InputError(f"{theirs} should be {shape}, but is {array.shape}.")
    array = _subpixels(key, array, 0, features)
    return np.ascontiguousarray(array.transpose(2, 3, 1, 0) if array.ndim == 4 else array, wanted.dtype)
