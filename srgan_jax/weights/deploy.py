"""A generator for programs without srgan_jax: StableHLO, ONNX, and PyTorch state dicts of other projects.

StableHLO and ONNX take and give images in [0, 1], of any batch, height and width; SR is not clipped. BatchNorm is
folded into the convolutions. Each is run on three sizes, and compared with the network itself, before it gets its name.
"""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

import srgan_jax
from srgan_jax.errors import InputError
from srgan_jax.files import replacing
from srgan_jax.generators import Generator
from srgan_jax.images import signed_to_unit
from srgan_jax.models import SRResNet, fold_batch_norm
from srgan_jax.models.msrresnet import FACTORS, NEGATIVE_SLOPE
from srgan_jax.weights import layouts
from srgan_jax.weights.arrays import write_safetensors

SIZES = ((1, 16, 16), (2, 9, 14), (1, 21, 8))  # batch, height, width of what the exports are compared on
TOLERANCE = 1e-4  # of images in [0, 1]: sums run in another order, through all layers


def export(generator: Generator, path, *, layout: str | None = None) -> str:
    """Write a generator in the format that the extension of `path` names, through a temporary name.

    Args:
      path: .onnx, .stablehlo, or for a state dict .pth, .pt (needs PyTorch) or .safetensors.
      layout: of a state dict, the project whose names it has: one of layouts.LAYOUTS.

    Returns:
      What is to be said of it.

    Raises:
      InputError: another extension, a layout that cannot hold the network, or a package that is needed and not there.
    """
    path = pathlib.Path(path)
    if path.suffix not in EXPORTS:
        raise InputError(f"{path}: expected a file that ends in {', '.join(EXPORTS)}.")
    takes_layout = path.suffix in _STATE_DICTS
    if takes_layout != bool(layout):
        known = ", ".join(layouts.LAYOUTS)
        wrong = f"needs --layout, one of {known}" if takes_layout else "is no state dict; --layout is for those"
        raise InputError(f"{path} {wrong}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        return EXPORTS[path.suffix](generator, partial, **({"layout": layout} if layout else {}))


def largest_difference(generator: Generator, run) -> float:
    """Largest difference between `run(lr)` and the network over SIZES; [N, H, W, C] in [0, 1] both ways.

    Where SR leaves that range, relative to the largest value.
    """

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})  # each size is run once
    def expected(variables, lr):
        with jax.default_matmul_precision("highest"):
            return signed_to_unit(generator.module.apply(variables, lr))

    rng, differences = np.random.default_rng(0), []
    for size in SIZES:
        lr = rng.random((*size, generator.module.channels), np.float32)
        ours = np.asarray(expected(generator.variables, lr))
        differences.append(np.abs(run(lr) - ours).max() / max(1, np.abs(ours).max()))
    largest = float(np.max(differences))  # NaN if any is
    if not largest <= TOLERANCE:
        raise RuntimeError(f"the export gives other pictures than the network: they differ by {largest:.2g}")
    return largest


def _about(generator: Generator) -> dict[str, str]:
    module = generator.module
    return {
        "scale": str(module.scale),
        "channels": str(module.channels),
        "range": "[0, 1] in and out, not clipped",
        "architecture": json.dumps(generator.architecture),
        "sha256": generator.sha256(),
    }


def _write_stablehlo(generator, path) -> str:
    try:
        import flatbuffers  # noqa: F401 (what jax.export serialises with)
    except ImportError:
        raise InputError("StableHLO needs flatbuffers (pip install -r requirements-convert.txt).") from None
    module, variables = fold_batch_norm(generator.module, generator.variables)

    @jax.jit
    def upscale(lr):
        with jax.default_matmul_precision("highest"):
            return signed_to_unit(module.apply(variables, lr))

    shape = (*jax.export.symbolic_shape("batch, height, width"), module.channels)
    exported = jax.export.export(upscale, platforms=("cpu", "cuda", "tpu"))(jax.ShapeDtypeStruct(shape, jnp.float32))
    path.write_bytes(exported.serialize())
    largest = largest_difference(generator, jax.export.deserialize(bytearray(path.read_bytes())).call)
    return f"StableHLO, NHWC; largest difference on {len(SIZES)} sizes {largest:.1e}"


def _write_onnx(generator, path) -> str:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise InputError(f"ONNX needs {error.name} (pip install -r requirements-convert.txt).") from None
    model = onnx_model(generator)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = largest_difference(
        generator, lambda lr: session.run(None, {"lr": lr.transpose(0, 3, 1, 2)})[0].transpose(0, 2, 3, 1)
    )
    return f"ONNX opset {OPSET}, NCHW; largest difference on {len(SIZES)} sizes {largest:.1e}"


# Old enough for every runtime of the last years; it has all that is needed.
OPSET, IR_VERSION = 17, 8


class _Graph:
    """Collects nodes and weights; every method takes and gives names of tensors."""

    def __init__(self, params: dict):
        self.params, self.nodes, self.weights = params, [], []

    def add(self, op: str, *inputs: str, name: str = "", **attributes) -> str:
        from onnx import helper

        name = name or f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def weight(self, name: str, array) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def layer(self, name: str) -> dict:
        params = self.params
        for part in name.split("/"):
            params = params[part]
        return params

    def conv(self, x: str, name: str) -> str:
        layer = self.layer(name)
        size = layer["kernel"].shape[0]
        kernel = self.weight(f"{name}/kernel", layer["kernel"].transpose(3, 2, 0, 1))
        bias = self.weight(f"{name}/bias", layer["bias"])
        return self.add("Conv", x, kernel, bias, name=name, kernel_shape=[size, size], pads=[size // 2] * 4)

    def prelu(self, x: str, name: str) -> str:
        slope = self.weight(f"{name}/slope", self.layer(name)["slope"][:, None, None])
        return self.add("PRelu", x, slope, name=name)

    def leaky_relu(self, x: str) -> str:
        return self.add("LeakyRelu", x, alpha=NEGATIVE_SLOPE)

    def shuffle(self, x: str, factor: int) -> str:
        return self.add("DepthToSpace", x, blocksize=factor, mode="DCR")  # the order of layers.pixel_shuffle

    def resize(self, x: str, scale: int, attributes: dict) -> str:
        scales = self.weight("scales", [1, 1, scale, scale])
        return self.add("Resize", x, "", scales, **attributes)

    def affine(self, x: str, factor: float, shift: float) -> str:
        x = self.add("Mul", x, self.weight("factor", factor))
        return self.add("Add", x, self.weight("shift", shift)) if shift else x


# What jax.image.resize does, in ONNX's terms.
_RESIZES = {
    "nearest": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    "bicubic": {
        "mode": "cubic",
        "coordinate_transformation_mode": "half_pixel",
        "cubic_coeff_a": -0.5,
        "exclude_outside": 1,
    },
}


def _srresnet(module, graph: _Graph, lr: str) -> str:
    stem = x = graph.prelu(graph.conv(lr, "stem"), "stem_prelu")
    for i in range(module.num_blocks):
        y = graph.prelu(graph.conv(x, f"block{i}/conv1"), f"block{i}/prelu")
        x = graph.add("Add", x, graph.conv(y, f"block{i}/conv2"))
    x = graph.conv(x, "trunk")
    x = graph.prelu(x, "trunk_prelu") if module.trunk_prelu else x
    x = graph.add("Add", stem, x)
    for i in range(module.scale.bit_length() - 1):
        x = graph.prelu(graph.shuffle(graph.conv(x, f"upsample{i}"), 2), f"upsample{i}_prelu")
    x = graph.conv(x, "output")
    x = graph.add("Tanh", x) if module.output_activation == "tanh" else x
    skip = module.global_skip != "none"
    if module.output_range == "signed":
        x = graph.affine(x, 0.5, 0.0 if skip else 0.5)  # the skip brings its own half
    return graph.add("Add", x, graph.resize(lr, module.scale, _RESIZES[module.global_skip])) if skip else x


def _msrresnet(module, graph: _Graph, lr: str) -> str:
    x = graph.leaky_relu(graph.conv(lr, "stem"))
    for i in range(module.num_blocks):
        y = graph.add("Relu", graph.conv(x, f"block{i}/conv1"))
        x = graph.add("Add", x, graph.conv(y, f"block{i}/conv2"))
    for i, factor in enumerate(FACTORS[module.scale]):
        x = graph.shuffle(graph.conv(x, f"upsample{i}"), factor)
        x = graph.leaky_relu(x) if module.upsample_activation else x
    x = graph.conv(graph.leaky_relu(graph.conv(x, "hr")), "output")
    return graph.add("Add", x, graph.resize(lr, module.scale, _RESIZES["bilinear"]))


def onnx_model(generator: Generator):
    """The network as an onnx.ModelProto: "lr" [batch, C, height, width] -> "sr", `scale` times as large."""
    from onnx import TensorProto, helper

    module, variables = fold_batch_norm(generator.module, generator.variables)
    graph = _Graph(variables["params"])
    sr = (_srresnet if isinstance(module, SRResNet) else _msrresnet)(module, graph, "lr")
    graph.add("Identity", sr, name="sr")
    images = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", module.channels, *size])
        for name, size in (("lr", ("height", "width")), ("sr", ("sr_height", "sr_width")))
    ]
    about = _about(generator)
    model = helper.make_model(
        helper.make_graph(graph.nodes, generator.architecture["network"], images[:1], images[1:], graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="srgan_jax",
        producer_version=srgan_jax.__version__,
        doc_string=f"x{module.scale} super-resolution; images [batch, {module.channels}, height, width] in [0, 1].",
    )
    helper.set_model_props(model, about)
    return model


def _write_state_dict(generator, path, *, layout) -> str:
    state = layouts.to_state_dict(generator.module, generator.variables, layout)
    about = layouts.LAYOUTS[layout]
    if path.suffix == ".safetensors":
        write_safetensors(path, state, {"format": "pt"})
    else:
        try:
            import torch
        except ImportError:
            raise InputError(
                f"{path.suffix} needs PyTorch (pip install -r requirements-torch.txt); .safetensors does not."
            ) from None
        tensors = {f"{about.prefix}{key}": torch.from_numpy(array) for key, array in state.items()}
        torch.save({about.wrapper: tensors} if about.wrapper else tensors, path)
    return f"state dict of {about.about}"


_STATE_DICTS = (".pth", ".pt", ".safetensors")

EXPORTS = {".onnx": _write_onnx, ".stablehlo": _write_stablehlo} | dict.fromkeys(_STATE_DICTS, _write_state_dict)
