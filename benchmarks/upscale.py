"""How fast the paper's network enlarges pictures on a CPU, against PyTorch and onnxruntime, in one run.

python -m benchmarks.upscale --out benchmarks/upscale.md          the table of the documentation; an idle machine
python -m benchmarks.upscale --sizes 64x64 128x96 --repeats 1     a quick look
python -m benchmarks.upscale --sizes                              only the time from start to end of a program

All compute the same network with the same weights in float32, on the same number of threads, BatchNorm folded into the
convolutions. PyTorch runs channels_last in inference mode, whole and in tiles of that size with our overlap; the best
of several runs counts, which take turns. Needs requirements-torch.txt; onnxruntime and onnx are compared if they are
there. A last table says what it costs to make a photo consistent with LR, as `srgan-x4` does by default.
"""

import argparse
import functools
import importlib.util
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
import skimage.data
from flax import traverse_util

from benchmarks.common import ROOT, machine
from srgan_jax import generators
from srgan_jax.files import replace_text
from srgan_jax.images import save_image
from srgan_jax.models import SRResNet
from srgan_jax.upscaling import TILE, Upscaler
from srgan_jax.weights.release import write_release

MODULE = SRResNet()


def create_variables():
    """Make weights and statistics that keep the features' size, whatever they are: speed does not depend on them."""
    rng = np.random.default_rng(0)
    made = jax.device_get(jax.jit(MODULE.init)(jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32)))
    return jax.tree.map(lambda x: (np.asarray(x) * rng.uniform(0.9, 1.1, x.shape)).astype(np.float32), made)


def create_torch(variables):
    """Make the network in PyTorch, BatchNorm folded by PyTorch itself."""
    import torch

    from benchmarks import torch_reference

    arrays = {k: v for tree in variables.values() for k, v in traverse_util.flatten_dict(tree, sep="/").items()}
    module = torch_reference.load(torch_reference.SRResNet(), arrays).eval()
    fuse = torch.nn.utils.fusion.fuse_conv_bn_eval
    for parent, pairs in [(module, {"trunk": "trunk_bn"})] + [
        (module.get_submodule(f"block{i}"), {"conv1": "bn1", "conv2": "bn2"}) for i in range(module.blocks)
    ]:
        for conv, norm in pairs.items():
            setattr(parent, conv, fuse(getattr(parent, conv), getattr(parent, norm)))
            setattr(parent, norm, torch.nn.Identity())
    return module.to(memory_format=torch.channels_last)


def run_torch(module, lr):
    """Enlarge a picture: uint8 [H, W, 3] -> uint8 [4 H, 4 W, 3]."""
    import torch

    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(lr)).permute(2, 0, 1)[None].float().div_(255)
        sr = module(x.to(memory_format=torch.channels_last))[0]
        return sr.add_(1).mul_(127.5).clamp_(0, 255).round_().byte().permute(1, 2, 0).numpy()


def run_tiled(run, lr, *, tile, margin=MODULE.receptive_radius, scale=MODULE.scale):
    """Apply `run` to tiles whose windows end at the picture's borders: what other tools do."""
    sr = np.empty((scale * lr.shape[0], scale * lr.shape[1], 3), np.uint8)
    for y in range(0, lr.shape[0], tile):
        for x in range(0, lr.shape[1], tile):
            top, left = max(0, y - margin), max(0, x - margin)
            window = run(lr[top : y + tile + margin, left : x + tile + margin])
            part = window[scale * (y - top) :, scale * (x - left) :][: scale * tile, : scale * tile]
            sr[scale * y : scale * (y + tile), scale * x : scale * (x + tile)] = part
    return sr


def create_onnx(module, folder):
    """Return an onnxruntime session of PyTorch's network, or None where something for it is missing."""
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"onnxruntime is left out: {', '.join(missing)} not installed.")
        return None
    import onnxruntime
    import torch

    path = str(folder / "network.onnx")
    names = {"input_names": ["lr"], "output_names": ["sr"]}
    dynamic = {"lr": {2: torch.export.Dim("height", min=8), 3: torch.export.Dim("width", min=8)}}
    program = torch.onnx.export(
        module, (torch.zeros(1, 3, 32, 48),), dynamo=True, dynamic_shapes=dynamic, verbose=False, **names
    )
    program.save(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_onnx(session, lr):
    x = np.ascontiguousarray((lr.astype(np.float32) / 255).transpose(2, 0, 1)[None])
    sr = session.run(None, {"lr": x})[0][0]
    return np.floor(np.clip((sr + 1) * 127.5, 0, 255) + 0.5).astype(np.uint8).transpose(1, 2, 0)


def best_times(methods, lr, repeats):
    """Return {name: seconds} of methods that take turns, and must agree."""
    times, results = dict.fromkeys(methods, float("inf")), {}
    for turn in range(repeats + 1):  # the first one warms up
        for name, run in methods.items():
            start = time.perf_counter()
            results[name] = run(lr)
            if turn:
                times[name] = min(times[name], time.perf_counter() - start)
    first, *others = results.values()
    for name, other in zip(list(results)[1:], others, strict=True):
        difference = np.abs(first.astype(int) - other)
        assert difference.max() <= 1 and np.mean(difference > 0) < 0.01, f"{name} computes something else"
    return times


def consistency_times(lr, repeats):
    """Return the median seconds in which `srgan-x4` enlarges a photo, [as the network does, consistent with LR]."""
    model = generators.load("srgan-x4")
    seconds = [[], []]
    for turn in range(repeats + 1):  # the first one warms up
        for consistent in (False, True):
            start = time.perf_counter()
            model.upscale(lr, consistent=consistent)
            if turn:
                seconds[consistent].append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def latencies(folder, release, repeats, side=128):
    """Return {name: median seconds} from starting Python to the written picture, of commands that take turns."""
    save_image(folder / "in.png", np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "SRGAN_JAX_"))}
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "JAX_PLATFORMS": "cpu"}
    ours = [sys.executable, ROOT / "upscale.py", folder / "in.png", "-o", folder / "out.png", "--ckpt"]
    commands = {
        "PyTorch": ([sys.executable, "-m", "benchmarks.upscale", "--torch-once", folder / "in.png", release], {})
    }
    for name, model in {"srgan_jax": release, "srgan_jax, fast-x4": "fast-x4"}.items():
        for kernels in ("auto", "xla"):
            for kept in ("true", "false"):
                described = f"{name}, kernels={kernels}, programs {'kept' if kept == 'true' else 'not kept'}"
                settings = {"SRGAN_JAX_KERNELS": kernels, "JAX_ENABLE_COMPILATION_CACHE": kept}
                commands[described] = ([*ours, model], settings)
    seconds = {name: [] for name in commands}
    for turn in range(repeats + 1):  # the first one fills the caches
        for name, (command, settings) in commands.items():
            start = time.perf_counter()
            subprocess.run(command, cwd=ROOT, env=environment | settings, check=True, capture_output=True)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def torch_once(picture, release):
    """Enlarge one picture with PyTorch, from start to file. The arrays are read without JAX."""
    import torch
    from PIL import Image
    from safetensors.numpy import load_file

    from benchmarks import torch_reference

    arrays = {key.split("/", 1)[1]: array for key, array in load_file(release).items()}
    module = torch_reference.load(torch_reference.SRResNet(), arrays).eval().to(memory_format=torch.channels_last)
    Image.fromarray(run_torch(module, np.asarray(Image.open(picture)))).save(picture.with_name("torch.png"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", default=["128x128", "512x512", "750x1000"], help="HEIGHTxWIDTH of LR")
    parser.add_argument("--tile", type=int, default=TILE)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path, help="write the table there too")
    flags = parser.parse_args()

    import torch

    torch.set_num_threads(os.cpu_count())
    variables = create_variables()
    generator, module = generators.Generator(MODULE, variables, "random", {}), create_torch(variables)
    upscaler = Upscaler(generator, tile=flags.tile)
    whole = functools.partial(run_torch, module)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        release = folder / "network.safetensors"
        write_release(release, generator.architecture, variables)
        first = latencies(folder, release, flags.repeats)
        methods = {"srgan_jax": upscaler, "PyTorch, whole": whole}
        tiled = {"PyTorch, tiled": functools.partial(run_tiled, whole, tile=flags.tile)}
        session = create_onnx(module, folder) if flags.sizes else None
        if session:
            methods["onnxruntime, whole"] = functools.partial(run_onnx, session)
        lines = [
            "| LR | method | seconds | images/s | megapixels/s of the result | srgan_jax is |",
            "|---|---|---|---|---|---|",
        ]
        for size in flags.sizes:
            height, width = map(int, size.split("x"))
            lr = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
            times = best_times(methods | (tiled if max(height, width) > flags.tile else {}), lr, flags.repeats)
            for name, seconds in times.items():
                megapixels = MODULE.scale**2 * height * width / 1e6
                ratio = "" if name == "srgan_jax" else f"{seconds / times['srgan_jax']:.2f} times as fast"
                cells = (size, name, f"{seconds:.2f}", f"{1 / seconds:.3f}", f"{megapixels / seconds:.2f}", ratio)
                lines.append(f"| {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    lines += ["", "`srgan-x4` on a photo:", "", "| LR | seconds | consistent with LR | ratio |", "|---|---|---|---|"]
    for size in flags.sizes:
        height, width = map(int, size.split("x"))
        photo = skimage.data.astronaut()
        beyond = [(0, max(0, wanted - had)) for wanted, had in zip((height, width), photo.shape, strict=False)]
        photo = np.pad(photo, (*beyond, (0, 0)), "symmetric")[:height, :width]
        plain, consistent = consistency_times(photo, flags.repeats)
        lines.append(f"| {size} | {plain:.2f} | {consistent:.2f} | {consistent / plain:.2f} |")
        print(lines[-1], flush=True)
    lines += ["", "From the start of Python to the written picture, LR 128x128:", "", "| | seconds |", "|---|---|"]
    lines += [f"| {name} | {seconds:.1f} |" for name, seconds in first.items()]
    packages = [name for name in ("jax", "torch", "onnxruntime") if importlib.util.find_spec(name)]
    about = f"{machine(*packages)}; tile {flags.tile}."
    command = "python -m benchmarks.upscale --sizes " + " ".join(flags.sizes) + f" --repeats {flags.repeats}"
    text = "\n".join(
        ["# How fast pictures are enlarged", "", f"`{command}`: the paper's network, ×4. {about}", "", *lines, ""]
    )
    print(f"\n{text}")
    if flags.out:
        replace_text(flags.out, text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--torch-once"]:
        torch_once(pathlib.Path(sys.argv[2]), sys.argv[3])
    else:
        main()
