"""One training step of the paper's networks, ours beside PyTorch's, in turns in one run.

python benchmarks/train_step.py                                                  on a CPU: the batch of the paper
python benchmarks/train_step.py --batch 16 64 256 --steps 50 --compile           on a GPU: bfloat16, torch.compile

PyTorch has channels_last, fused Adam, autocast where we have bfloat16, LR images made beforehand, and D frozen while G
learns. Needs requirements-torch.txt. Prints a Markdown table; VGG19 has random weights, which take as long as others.
"""

import argparse
import contextlib
import os
import pathlib
import statistics
import sys
import tempfile
import time
from unittest import mock

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory too

import jax
import jax.numpy as jnp
import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

from configs import srgan_vgg54, srresnet_mse
from srgan_jax import sharding, stages
from srgan_jax.memory import keep_freed_memory
from srgan_jax.models.vgg import BLOCKS

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests"))
import torch_reference as reference
from tiny import make_tiny_batch

CONFIGS = {"SRResNet-MSE": srresnet_mse, "SRGAN-VGG54": srgan_vgg54}
GFLOP = {"SRResNet-MSE": 7.7, "SRGAN-VGG54": 43.3}  # for each crop: convolutions and dense layers, 2 per multiply-add
PAPER = {"SRResNet-MSE": 1_000_000, "SRGAN-VGG54": 200_000}  # updates, section 3.2


def vgg_file(directory) -> str:
    """A file of random weights under Keras' names."""
    rng, arrays, fan_in = np.random.default_rng(0), {}, 3
    for block, (convs, features) in enumerate(BLOCKS, 1):
        for i in range(1, convs + 1):
            kernel = rng.normal(size=(3, 3, fan_in, features)) * np.sqrt(2 / (9 * fan_in))
            arrays[f"block{block}_conv{i}/kernel"] = kernel.astype(np.float32)
            arrays[f"block{block}_conv{i}/bias"] = np.zeros(features, np.float32)
            fan_in = features
    save_file(arrays, f"{directory}/vgg19.safetensors")
    return f"{directory}/vgg19.safetensors"


def make_ours(config, batch, *, plain: bool):
    """run(steps) of our compiled step, and the seconds that compiling took."""
    mesh = sharding.create_mesh(jax.devices()[:1])
    stage = stages.create_stage(config)
    state = sharding.compile_init(stage.init, mesh)(jax.random.key(0))
    frozen = jax.device_put(stage.frozen, sharding.replicated(mesh))
    placed = sharding.place_batch(batch, mesh)
    as_xla_has_them = (
        mock.patch("jax.default_backend", lambda: "other"),  # what convolutions.py asks
        mock.patch.object(sharding, "compiler_options", lambda device: {}),
    )
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        for patch in as_xla_has_them if plain else ():
            stack.enter_context(patch)
        step = sharding.compile_step(stage.step, mesh).lower(state, placed, frozen).compile()
    seconds = time.perf_counter() - start

    def run(steps):
        nonlocal state
        for _ in range(steps):
            state, metrics = step(state, placed, frozen)
        jax.block_until_ready(metrics)

    return run, seconds


def make_torch(config, batch, vgg, *, compiled: bool):
    """run(steps) of PyTorch's step, and the seconds that the first one took."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    lr, hr = (
        reference.nchw(x).to(device, memory_format=torch.channels_last)
        for x in jax.jit(lambda batch: stages.degrade(batch, config.scale))(batch)
    )
    reference.BatchNorm = nn.BatchNorm2d  # the reference's own follows Flax's variance, and is slower

    def network(module):
        module = module.to(device, memory_format=torch.channels_last).train()
        return module, torch.optim.Adam(module.parameters(), lr=1e-4, fused=True)

    g, g_optimizer = network(reference.SRResNet())
    bce, ones = nn.functional.binary_cross_entropy_with_logits, torch.ones(len(hr), device=device)
    adversarial = config.stage == "adversarial"
    if adversarial:
        d, d_optimizer = network(reference.Discriminator())
        features = torch_vgg(vgg).to(device, memory_format=torch.channels_last).requires_grad_(False)
        mean = torch.tensor([103.939, 116.779, 123.68], device=device)[:, None, None]

    def content(sr, hr):
        if not adversarial:
            return nn.functional.mse_loss(sr.float(), hr)
        with torch.no_grad():
            wanted = features(127.5 * (hr.flip(1) + 1) - mean)
        return nn.functional.mse_loss(features(127.5 * (sr.flip(1) + 1) - mean).float(), wanted.float()) / 12.75**2

    def step():
        with torch.autocast(device, torch.bfloat16, enabled=config.dtype == "bfloat16"):
            sr = g(lr)
            if adversarial:
                loss = bce(d(hr).float(), ones) + bce(d(sr.detach()).float(), 0 * ones)
        if adversarial:
            d_optimizer.zero_grad()
            loss.backward()
            d_optimizer.step()
            d.requires_grad_(False)
        with torch.autocast(device, torch.bfloat16, enabled=config.dtype == "bfloat16"):
            loss = content(sr, hr) + (1e-3 * bce(d(sr).float(), ones) if adversarial else 0)
        g_optimizer.zero_grad()
        loss.backward()
        g_optimizer.step()
        if adversarial:
            d.requires_grad_(True)
        return loss

    if compiled:
        g, content = torch.compile(g), torch.compile(content)
        d = torch.compile(d) if adversarial else None

    def run(steps):
        for _ in range(steps):
            loss = step()
        loss.item()

    start = time.perf_counter()
    run(1)
    return run, time.perf_counter() - start


def torch_vgg(path) -> nn.Sequential:
    """VGG19 up to conv5_4's activation."""
    params, layers = stages.load_vgg19(path, ("vgg54",))[0], []
    for name, layer in params.items():
        if name.endswith("_1") and layers:
            layers.append(nn.MaxPool2d(2))
        conv = reference.conv(*layer["kernel"].shape[2:], 3)
        conv.weight.data, conv.bias.data = (
            reference.tensor(layer["kernel"], (3, 2, 0, 1)),
            reference.tensor(layer["bias"]),
        )
        layers += [conv, nn.ReLU()]
    return nn.Sequential(*layers)


def matrix_rate(dtype) -> float:
    """FLOP/s of a large matrix product on this device."""
    n = 2048 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((n, n), dtype)
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        product(a, a).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / statistics.median(seconds)


def memory(name: str) -> str:
    """Most device memory in use so far."""
    if jax.default_backend() == "cpu":
        return "–"
    used = (
        torch.cuda.max_memory_allocated() if name == "PyTorch" else jax.devices()[0].memory_stats()["peak_bytes_in_use"]
    )
    return f"{used / 2**30:.2f}"


def main():
    keep_freed_memory()  # as train.py does; so does PyTorch, in the same process
    accelerator = jax.default_backend() != "cpu"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stages", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--batch", nargs="+", type=int, default=[16])
    parser.add_argument("--dtype", default="bfloat16" if accelerator else "float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=7, help="in each, every implementation takes its turn")
    parser.add_argument("--steps", type=int, default=1, help="in a turn")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    arguments = parser.parse_args()

    rate = matrix_rate(arguments.dtype)
    torch_device = (
        torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    )
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, torch {torch.__version__} on {torch_device}")
    print(f"{arguments.dtype}; a matrix product reaches {rate / 1e12:.2f} TFLOP/s here\n")
    print(
        "| stage | batch | | ms a step | images/s | PyTorch's time / this | of matrix rate | compile, s | memory, GiB |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        vgg = vgg_file(directory)
        for stage in arguments.stages:
            for size in arguments.batch:
                config = CONFIGS[stage].get_config()
                config.batch_size, config.vgg_weights, config.dtype = size, vgg, arguments.dtype
                batch = make_tiny_batch(config, rows=size)
                runs = {"ours": make_ours(config, batch, plain=False)}
                if not accelerator:
                    runs["ours, as XLA has it"] = make_ours(config, batch, plain=True)
                runs["PyTorch"] = make_torch(config, batch, vgg, compiled=arguments.compile)
                seconds = {name: [] for name in runs}
                for _ in range(arguments.rounds + 1):  # the first warms up
                    for name, (run, _) in runs.items():
                        start = time.perf_counter()
                        run(arguments.steps)
                        seconds[name].append((time.perf_counter() - start) / arguments.steps)
                medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
                for name, (_, compiling) in runs.items():
                    took = medians[name]
                    share = GFLOP[stage] * 1e9 * size / took / rate
                    print(
                        f"| {stage} | {size} | {name} | {took * 1e3:.1f} | {size / took:.1f} "
                        f"| {medians['PyTorch'] / took:.2f} | {share:.0%} | {compiling:.0f} | {memory(name)} |",
                        flush=True,
                    )
                if size == 16:
                    hours = medians["ours"] * PAPER[stage] / 3600
                    print(f"| {stage} | | the paper's {PAPER[stage]:,} updates | {hours:.1f} hours | | | | | |")


if __name__ == "__main__":
    main()
