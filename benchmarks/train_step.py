"""One training step of the paper's networks, ours beside PyTorch's, in turns in one run; prints a Markdown table.

python -m benchmarks.train_step                                           on a CPU: the batch of the paper
python -m benchmarks.train_step --batch 16 64 256 --steps 50 --compile    on a GPU: bfloat16, torch.compile
python -m benchmarks.train_step --without strided winograd                on a CPU: what these kernels gain

VGG19 has random weights, which take as long as others. The comparison needs requirements-torch.txt; --without does not.
"""

import argparse
import gc
import os
import tempfile
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory too

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import CONFIGS, GFLOP, PAPER, make_batch, processor, vgg_file
from srgan_jax import cpu
from srgan_jax.parallel import sharding
from srgan_jax.training import stages


def make_ours(config, batch, kernels):
    """Return run(steps) of our step, compiled with `kernels` (of cpu.use), and the seconds that compiling took."""
    mesh = sharding.create_mesh(jax.devices()[:1])
    stage = stages.create_stage(config)
    state = sharding.compile_init(stage.init, mesh)(jax.random.key(0))
    frozen = jax.device_put(stage.frozen, sharding.replicated(mesh))
    placed = sharding.place_batch(batch, mesh)
    start = time.perf_counter()
    with kernels:
        step = sharding.compile_step(stage.step, mesh).lower(state, placed, frozen, np.int32(0)).compile()
    seconds = time.perf_counter() - start

    def run(steps):
        nonlocal state
        for _ in range(steps):
            state, metrics = step(state, placed, frozen, np.int32(0))
        jax.block_until_ready(metrics)

    return run, seconds


def medians_in_turns(runs, *, rounds: int, steps: int) -> dict[str, np.ndarray]:
    """Return [time, CPU time] of a step of each of `runs` (name -> run), in seconds; in each round all take a turn.

    Medians over the rounds. The CPU time, of all cores together, suffers less from other programs on the machine.
    """

    def now():
        return np.array([time.perf_counter(), time.process_time()])

    seconds = {name: [] for name in runs}
    for _ in range(rounds + 1):  # the first warms up
        for name, run in runs.items():
            start = now()
            run(steps)
            seconds[name].append((now() - start) / steps)
    return {name: np.median(times[1:], axis=0) for name, times in seconds.items()}


def matrix_rate(dtype) -> float:
    """Return the FLOP/s of a large matrix product on this device."""
    n = 2048 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((n, n), dtype)
    product = jax.jit(jnp.matmul)

    def run(steps):
        for _ in range(steps):
            product(a, a).block_until_ready()

    return 2 * n**3 / medians_in_turns({"": run}, rounds=10, steps=1)[""][0]


def compare_kernels(cases, arguments) -> None:
    """Print what each kernel of `--without` gains: a step with all of them, and with all but that one, in turns."""
    print(f"jax {jax.__version__} on {processor()}; {arguments.rounds} rounds\n")
    print("| stage | batch | without | all kernels, ms | without it, ms | ratio | ratio of CPU times |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for stage, size, config, batch in cases:
        ours, _ = make_ours(config, batch, cpu.use("auto"))
        for name in arguments.without:
            runs = {"all": ours, "without": make_ours(config, batch, cpu.use("auto", without=name))[0]}
            medians = medians_in_turns(runs, rounds=arguments.rounds, steps=arguments.steps)
            ours_ms, without_ms = 1e3 * medians["all"][0], 1e3 * medians["without"][0]
            ratio, cpu_ratio = medians["without"] / medians["all"]
            print(
                f"| {stage} | {size} | {name} | {ours_ms:.0f} | {without_ms:.0f} | {ratio:.3f} | {cpu_ratio:.3f} |",
                flush=True,
            )
            del runs
            gc.collect()
            cpu.return_freed_memory()


def compare_torch(cases, arguments) -> None:
    """Print the time of our step and of PyTorch's, and on a CPU of ours with XLA's convolutions alone."""
    from benchmarks import train_step_torch

    rate = matrix_rate(arguments.dtype)
    print(f"jax {jax.__version__} on {processor()}, {train_step_torch.describe()}")
    print(f"{arguments.dtype}; a matrix product reaches {rate / 1e12:.2f} TFLOP/s here\n")
    print(
        "| stage | batch | | ms a step | images/s | PyTorch's time / this | of matrix rate | compile, s | memory, GiB |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for stage, size, config, batch in cases:
        made = {"ours": make_ours(config, batch, cpu.use("auto"))}
        if jax.default_backend() == "cpu":
            made["ours, kernels=xla"] = make_ours(config, batch, cpu.use("xla"))
        made["PyTorch"] = train_step_torch.make(config, batch, compiled=arguments.compile)
        runs = {name: run for name, (run, _) in made.items()}
        medians = medians_in_turns(runs, rounds=arguments.rounds, steps=arguments.steps)
        medians = {name: took for name, (took, _) in medians.items()}
        for name, took in medians.items():
            memory = "–"
            if jax.default_backend() != "cpu":
                ours = jax.devices()[0].memory_stats()["peak_bytes_in_use"]
                memory = f"{(train_step_torch.peak_memory() if name == 'PyTorch' else ours) / 2**30:.2f}"
            share = GFLOP[stage] * 1e9 * size / took / rate
            print(
                f"| {stage} | {size} | {name} | {took * 1e3:.1f} | {size / took:.1f} "
                f"| {medians['PyTorch'] / took:.2f} | {share:.0%} | {made[name][1]:.0f} | {memory} |",
                flush=True,
            )
        if size == 16:
            hours = medians["ours"] * PAPER[stage] / 3600
            print(f"| {stage} | | the paper's {PAPER[stage]:,} updates | {hours:.1f} hours | | | | | |")


def main():
    cpu.keep_freed_memory()  # as train.py does; so does PyTorch, in the same process
    dtype = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stages", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--batch", nargs="+", type=int, default=[16])
    parser.add_argument("--dtype", default=dtype, choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=9, help="in each, every implementation takes its turn")
    parser.add_argument("--steps", type=int, default=1, help="in a turn")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--without", nargs="+", choices=cpu.NAMES, help="measure what these kernels gain")
    arguments = parser.parse_args()

    def cases(directory):
        vgg = vgg_file(directory)
        for stage in arguments.stages:
            for size in arguments.batch:
                config = CONFIGS[stage].get_config()
                config.batch_size, config.vgg_weights, config.dtype = size, vgg, arguments.dtype
                yield stage, size, config, make_batch(config, rows=size)

    with tempfile.TemporaryDirectory() as directory:
        (compare_kernels if arguments.without else compare_torch)(cases(directory), arguments)


if __name__ == "__main__":
    main()
