"""The table of layouts: which projects' generators can be read and written, and how each of them names our layers.

What a layout has no name for, such as another activation, is one of its fixed fields.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from srgan_jax.errors import InputError
from srgan_jax.models.edsr import LEVELS, mean_of

State = dict[str, np.ndarray]  # a state dict


def shape_of(layout: "Layout", state: State, name: str) -> tuple[int, ...]:
    """Return the shape of a convolution's kernel (OIHW); an InputError if it is not one of four dimensions."""
    found = state.get(f"{name}.weight", np.zeros(0)).shape
    if len(found) != 4:
        raise InputError(f"{name}.weight should have 4 dimensions, but is {found}; no {layout.about}.")
    return found


def residual_sizes(layout: "Layout", state: State) -> dict:
    """Return the sizes of a network with residual blocks and pixel shuffles."""
    upsamplings = blocks = 0
    while layout.layers(blocks + 1, 0)[f"block{blocks}/conv1"] + ".weight" in state:
        blocks += 1
    while layout.layers(blocks, upsamplings + 1)[f"upsample{upsamplings}"] + ".weight" in state:
        upsamplings += 1
    layers = layout.layers(blocks, upsamplings)
    features, channels = shape_of(layout, state, layers["stem"])[:2]
    outputs = [shape_of(layout, state, layers[f"upsample{i}"])[0] for i in range(upsamplings)]
    scale = math.prod(round((n / max(features, 1)) ** 0.5) for n in outputs)
    return {"scale": scale, "channels": channels, "features": features, "num_blocks": blocks}


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
      depth: the field of the architecture that says how many blocks there are, if one does.
      sizes: (the layout, a state dict) -> what of the architecture the arrays tell.
      constants: channels -> arrays that its files hold although nothing learns them.
    """

    about: str
    marker: str
    layers: Callable[[int, int], dict[str, str]]
    fields: dict
    wrapper: str = ""
    prefix: str = ""
    norm_bias: bool = False
    depth: str = "num_blocks"
    sizes: Callable[["Layout", State], dict] = residual_sizes
    constants: Callable[[int], State] = lambda channels: {}


def _leftthomas(blocks: int, upsamplings: int) -> dict[str, str]:
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


def _lornatang(blocks: int, upsamplings: int) -> dict[str, str]:
    places = {"conv1": 0, "bn1": 1, "prelu": 2, "conv2": 3, "bn2": 4}
    return {
        **{"stem": "conv1.0", "stem_prelu": "conv1.1"},
        **{f"block{i}/{layer}": f"trunk.{i}.rcb.{n}" for i in range(blocks) for layer, n in places.items()},
        **{"trunk": "conv2.0", "trunk_bn": "conv2.1"},
        **{f"upsample{i}": f"upsampling.{i}.upsample_block.0" for i in range(upsamplings)},
        **{f"upsample{i}_prelu": f"upsampling.{i}.upsample_block.2" for i in range(upsamplings)},
        "output": "conv3",
    }


def _msrresnet(body: str, upsample: str, hr: str) -> Callable[[int, int], dict[str, str]]:
    def layers(blocks, upsamplings):
        return {
            "stem": "conv_first",
            **{f"block{i}/{layer}": f"{body}.{i}.{layer}" for i in range(blocks) for layer in ("conv1", "conv2")},
            **{f"upsample{i}": upsample.format(i + 1) for i in range(upsamplings)},
            **{"hr": hr, "output": "conv_last"},
        }

    return layers


def _edsr(
    stem: str, body: str, conv1: str, conv2: str, trunk: str, upsample: str, output: str
) -> Callable[[int, int], dict[str, str]]:
    def layers(blocks, upsamplings):
        return {
            "stem": stem,
            **{f"block{i}/conv1": f"{body}.{i}.{conv1}" for i in range(blocks)},
            **{f"block{i}/conv2": f"{body}.{i}.{conv2}" for i in range(blocks)},
            "trunk": trunk.format(blocks),
            **{f"upsample{i}": f"{upsample}.{2 * i}" for i in range(upsamplings)},  # with a shuffle after each
            "output": output,
        }

    return layers


def _edsr_sizes(layout: "Layout", state: State) -> dict:
    """Return the sizes of EDSR.

    No array tells the residual scale, which is 0.1 in the large EDSR, of 256 features, and 1 in the baseline.
    """
    sizes = residual_sizes(layout, state)
    return sizes | {"residual_scale": 0.1 if sizes["features"] >= 256 else 1.0}


def _mean_shifts(channels: int) -> State:
    each, mean = np.eye(channels, dtype=np.float32)[:, :, None, None], LEVELS * mean_of(channels)
    return {"sub_mean.weight": each, "sub_mean.bias": -mean, "add_mean.weight": each, "add_mean.bias": mean}


def _three_convolutions(extraction: str, mapping: str, output: str) -> Callable[[int, int], dict[str, str]]:
    return lambda blocks, upsamplings: {"extraction": extraction, "mapping": mapping, "output": output}


def _luma_sizes(layout: "Layout", state: State) -> dict:
    """Return the sizes of SRCNN and ESPCN. They see luma, so that they serve for RGB."""
    layers = layout.layers(0, 0)
    shapes = [shape_of(layout, state, layers[name]) for name in ("extraction", "mapping", "output")]
    sizes = {"features": shapes[0][0], "mapping_features": shapes[1][0], "channels": 3}
    own = {"espcn": {"scale": math.isqrt(shapes[2][0])}, "srcnn": {"mapping_size": shapes[1][2]}}
    return sizes | own[layout.fields["network"]]


def _vdsr(layers: int, upsamplings: int) -> dict[str, str]:
    hidden = {f"hidden{i}": f"residual_layer.{i - 1}.conv" for i in range(1, layers - 1)}
    return {"hidden0": "input", **hidden, "output": "output"}


def _vdsr_sizes(layout: "Layout", state: State) -> dict:
    layers = 2
    while f"residual_layer.{layers - 2}.conv.weight" in state:
        layers += 1
    return {"num_layers": layers, "features": shape_of(layout, state, "input")[0], "channels": 3}


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
    "basicsr-edsr": Layout(
        "BasicSR's EDSR",
        r"conv_after_body\.",
        _edsr("conv_first", "body", "conv1", "conv2", "conv_after_body", "upsample", "conv_last"),
        {"network": "edsr"},
        wrapper="params",
        sizes=_edsr_sizes,
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
    "edsr": Layout(
        "sanghyun-son/EDSR-PyTorch's EDSR",
        r"body\.\d+\.body\.0\.",
        _edsr("head.0", "body", "body.0", "body.2", "body.{}", "tail.0", "tail.1"),
        {"network": "edsr"},
        sizes=_edsr_sizes,
        constants=_mean_shifts,
    ),
    "vdsr": Layout(
        "twtygqyy/pytorch-vdsr's VDSR",
        r"residual_layer\.\d+\.conv\.",
        _vdsr,
        {"network": "vdsr", "use_bias": False},
        depth="num_layers",
        sizes=_vdsr_sizes,
    ),
    "espcn": Layout(
        "yjn870/ESPCN-pytorch's ESPCN",
        r"first_part\.0\.",
        _three_convolutions("first_part.0", "first_part.2", "last_part.0"),
        {"network": "espcn"},
        sizes=_luma_sizes,
    ),
    "srcnn": Layout(
        "yjn870/SRCNN-pytorch's SRCNN",
        r"conv3\.weight",
        _three_convolutions("conv1", "conv2", "conv3"),
        {"network": "srcnn"},
        sizes=_luma_sizes,
    ),
}
