"""A generator for programs without srgan_jax: StableHLO, ONNX, and PyTorch state dicts of other projects.

StableHLO and ONNX take and give images in [0, 1], of any batch, height and width, and SR is not clipped. BatchNorm is
folded into the convolutions. Each file is run on three sizes, and its pictures are compared with those of the network
itself, before the file gets its name.
"""

import functools
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from srgan_jax.errors import InputError, install
from srgan_jax.exchange import layouts
from srgan_jax.files import replacing
from srgan_jax.generators import Generator
from srgan_jax.images import signed_to_unit
from srgan_jax.models import fold_batch_norm
from srgan_jax.types import AnyArray
from srgan_jax.weights.arrays import write_safetensors

SIZES = ((1, 16, 16), (2, 9, 14), (1, 21, 8))  # batch, height, width of what the exports are compared on
TOLERANCE = 1e-4  # of images in [0, 1]: sums run in another order, through all layers


def export(generator: Generator, path: str | pathlib.Path, *, layout: str | None = None) -> str:
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
        problem = _layout_needed(generator) if takes_layout else "only a state dict takes a layout"
        raise InputError(f"{path}: {problem}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        return EXPORTS[path.suffix](generator, partial, **({"layout": layout} if layout else {}))


def _layout_needed(generator: Generator) -> str:
    """Return what to say where a state dict is wanted and no layout is named."""
    known = [name for name in layouts.LAYOUTS if layouts.holds(generator.module, name)]
    if known:
        return f"a state dict needs a layout; this network fits {', '.join(known)}"
    return (
        "no layout of another project holds this network; write .onnx or .stablehlo, or run the release file in "
        "PyTorch by docs/pytorch_generator.py"
    )


def largest_difference(generator: Generator, run: Callable[[np.ndarray], AnyArray]) -> float:
    """Return the largest difference between `run(lr)` and the network over SIZES; [N, H, W, C] in [0, 1] both ways.

    Where SR leaves that range, relative to the largest value.
    """

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})  # each size is run once
    def expected(variables, lr):
        with jax.default_matmul_precision("highest"):
            return signed_to_unit(generator.module.apply(variables, lr))

    rng, differences = np.random.default_rng(0), []
    for size in SIZES:
        lr = rng.random((*size, generator.module.inputs), np.float32)
        ours = np.asarray(expected(generator.variables, lr))
        differences.append(np.abs(run(lr) - ours).max() / max(1, np.abs(ours).max()))
    largest = float(np.max(differences))  # NaN if any is
    if not largest <= TOLERANCE:
        raise RuntimeError(f"the export gives other pictures than the network: they differ by {largest:.2g}")
    return largest


def _write_stablehlo(generator: Generator, path: pathlib.Path) -> str:
    try:
        import flatbuffers  # noqa: F401 (what jax.export serialises with)
    except ImportError:
        raise InputError(f"StableHLO needs flatbuffers ({install('convert')}).") from None
    module, variables = fold_batch_norm(generator.module, generator.variables)

    @jax.jit
    def upscale(lr):
        with jax.default_matmul_precision("highest"):
            return signed_to_unit(module.apply(variables, lr))

    shape = (*jax.export.symbolic_shape("batch, height, width"), module.inputs)
    exported = jax.export.export(upscale, platforms=("cpu", "cuda", "tpu"))(jax.ShapeDtypeStruct(shape, jnp.float32))
    path.write_bytes(exported.serialize())
    largest = largest_difference(generator, jax.export.deserialize(bytearray(path.read_bytes())).call)
    return f"StableHLO, NHWC; largest difference on {len(SIZES)} sizes {largest:.1e}"


def _write_onnx(generator: Generator, path: pathlib.Path) -> str:
    try:
        import onnx
        import onnxruntime

        from srgan_jax.exchange.onnx import OPSET, onnx_model
    except ImportError as error:
        raise InputError(f"ONNX needs {error.name} ({install('convert')}).") from None
    model = onnx_model(generator)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = largest_difference(
        generator, lambda lr: session.run(None, {"lr": lr.transpose(0, 3, 1, 2)})[0].transpose(0, 2, 3, 1)
    )
    return f"ONNX opset {OPSET}, NCHW; largest difference on {len(SIZES)} sizes {largest:.1e}"


def _write_state_dict(generator: Generator, path: pathlib.Path, *, layout: str) -> str:
    state = layouts.to_state_dict(generator.module, generator.variables, layout)
    about = layouts.LAYOUTS[layout]
    if path.suffix == ".safetensors":
        write_safetensors(path, state, {"format": "pt"})
    else:
        try:
            import torch
        except ImportError:
            raise InputError(f"{path.suffix} needs PyTorch ({install('torch')}); .safetensors does not.") from None
        tensors = {f"{about.prefix}{key}": torch.from_numpy(array) for key, array in state.items()}
        torch.save({about.wrapper: tensors} if about.wrapper else tensors, path)
    return f"state dict of {about.about}"


_STATE_DICTS = (".pth", ".pt", ".safetensors")

EXPORTS = {".onnx": _write_onnx, ".stablehlo": _write_stablehlo} | dict.fromkeys(_STATE_DICTS, _write_state_dict)
