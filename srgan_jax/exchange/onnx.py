"""A generator as an ONNX model, made from the operations that the network describes itself by."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

import srgan_jax
from srgan_jax.generators import Generator
from srgan_jax.models import fold_batch_norm
from srgan_jax.models.graph import Operation, operations_of
from srgan_jax.types import Params

if TYPE_CHECKING:
    import onnx

# Old enough for every runtime of the last years; this version has all operations that are needed.
OPSET, IR_VERSION = 17, 8


class _Model:
    """Collects ONNX nodes and the weights that they read."""

    def __init__(self, params: Params) -> None:
        self.params, self.nodes, self.weights = params, [], {}

    def add(self, op: str, *inputs: str, output: str, **attributes) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))

    def weight(self, name: str, array: ArrayLike) -> str:
        from onnx import numpy_helper

        self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name)
        return name

    def layer(self, name: str) -> Params:
        params = self.params
        for part in name.split("/"):
            params = params[part]
        return params


def _conv(model: _Model, op: Operation) -> None:
    layer, name = model.layer(op["layer"]), op["layer"]
    size = layer["kernel"].shape[:2]
    inputs = [model.weight(f"{name}/kernel", layer["kernel"].transpose(3, 2, 0, 1))]
    if "bias" in layer:
        inputs.append(model.weight(f"{name}/bias", layer["bias"]))
    pads = [n // 2 for n in size] * 2
    model.add(
        "Conv", *op["inputs"], *inputs, output=op["output"], kernel_shape=list(size), pads=pads, group=op["groups"]
    )


def _prelu(model: _Model, op: Operation) -> None:
    slope = model.weight(f"{op['layer']}/slope", model.layer(op["layer"])["slope"][:, None, None])
    model.add("PRelu", *op["inputs"], slope, output=op["output"])


def _affine(model: _Model, op: Operation) -> None:
    factor, shift = (model.weight(f"{op['output']}/{name}", op[name]) for name in ("factor", "shift"))
    model.add("Mul", *op["inputs"], factor, output=f"{op['output']}/scaled")
    model.add("Add", f"{op['output']}/scaled", shift, output=op["output"])


def _mix(model: _Model, op: Operation) -> None:
    matrix, shift = (
        model.weight(f"{op['output']}/{name}", array)
        for name, array in (("matrix", np.array(op["matrix"])[:, :, None, None]), ("shift", op["shift"]))
    )
    model.add("Conv", *op["inputs"], matrix, shift, output=op["output"], kernel_shape=[1, 1])


def _concat(model: _Model, op: Operation) -> None:
    model.add("Concat", *op["inputs"], output=op["output"], axis=1)


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


def _resize(model: _Model, op: Operation) -> None:
    scales = model.weight(f"scales{op['scale']}", [1, 1, op["scale"], op["scale"]])
    model.add("Resize", *op["inputs"], "", scales, output=op["output"], **_RESIZES[op["method"]])


def _simple(onnx_op: str, **named: str) -> Callable[[_Model, Operation], None]:
    """Write an operation that ONNX has under another name; `named` says which attribute of ours is which of ONNX's."""

    def write(model: _Model, op: Operation) -> None:
        model.add(onnx_op, *op["inputs"], output=op["output"], **{theirs: op[ours] for theirs, ours in named.items()})

    return write


def _shuffle(model: _Model, op: Operation) -> None:
    # DCR is the order of layers.pixel_shuffle.
    model.add("DepthToSpace", *op["inputs"], output=op["output"], blocksize=op["factor"], mode="DCR")


WRITERS: dict[str, Callable[[_Model, Operation], None]] = {
    "conv": _conv,
    "prelu": _prelu,
    "leaky_relu": _simple("LeakyRelu", alpha="slope"),
    "tanh": _simple("Tanh"),
    "add": _simple("Add"),
    "affine": _affine,
    "mix": _mix,
    "concat": _concat,
    "shuffle": _shuffle,
    "resize": _resize,
    "identity": _simple("Identity"),
}


def onnx_model(generator: Generator) -> "onnx.ModelProto":
    """Write a generator down as an onnx.ModelProto: "lr" [batch, C, height, width] -> "sr", `scale` times as large.

    C is the network's `inputs`. Images are in [0, 1], and SR is not clipped. BatchNorm is folded into the convolutions.
    """
    from onnx import TensorProto, helper

    module, variables = fold_batch_norm(generator.module, generator.variables)
    model = _Model(variables["params"])
    for operation in operations_of(module):
        WRITERS[operation["op"]](model, operation)
    images = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (
            ("lr", (module.inputs, "height", "width")),
            ("sr", (module.channels, "sr_height", "sr_width")),
        )
    ]
    network = generator.architecture["network"]
    proto = helper.make_model(
        helper.make_graph(model.nodes, network, images[:1], images[1:], list(model.weights.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="srgan_jax",
        producer_version=srgan_jax.__version__,
        doc_string=f"x{module.scale} super-resolution; images [batch, {module.channels}, height, width] in [0, 1].",
    )
    helper.set_model_props(proto, _about(generator))
    return proto


def _about(generator: Generator) -> dict[str, Any]:
    return {
        "scale": str(generator.module.scale),
        "channels": str(generator.module.channels),
        "range": "[0, 1] in and out, not clipped",
        "architecture": json.dumps(generator.architecture),
        "sha256": generator.sha256(),
    }
