"""What it costs that several processes train as one, without the arithmetic; prints a Markdown table.

python -m benchmarks.processes
python -m benchmarks.processes --stages SRGAN-VGG54 --counts 2 4

Every process has the same work, a few crops of its own, whatever their number. Its peer does that work by itself: so
many processes at the same time on the same cores, none of which waits for another. The two groups take turns, and the
ratio of their times is the efficiency of what joining them adds: sums of gradients and of BatchNorm's statistics over
the loopback device, and the waiting for the slowest. More processes than cores slow both groups down. Keep the machine
idle.
"""

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from benchmarks.common import CONFIGS, ROOT, make_batch, processor, vgg_file
from srgan_jax.parallel import processes, sharding
from srgan_jax.training import stages

STEPS = 3  # in each turn
ANSWER = "answer:"  # begins the lines that a process prints for the one that measures

WORKER = "import sys; from benchmarks.processes import work; work(*sys.argv[1:])"


def work(kind: str, index: str, coordinator: str, count: str, stage_name: str, crops: str, vgg: str) -> None:
    """Be one process: tell when the step is compiled, then time STEPS steps for every line of the standard input."""
    if kind == "together" and int(count) > 1:
        processes.join(coordinator, int(count), int(index))
    config = CONFIGS[stage_name].get_config()
    config.vgg_weights = vgg
    mesh, stage = sharding.create_mesh(), stages.create_stage(config)
    state = sharding.compile_init(stage.init, mesh)(jax.random.key(0))
    frozen = jax.device_put(stage.frozen, sharding.replicated(mesh))
    batch = sharding.place_batch(make_batch(config, rows=int(crops), seed=int(index)), mesh)
    step = sharding.compile_step(stage.step, mesh)
    state, metrics = step(state, batch, frozen, np.int32(0))
    jax.block_until_ready(metrics)
    print(ANSWER, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(STEPS):
            state, metrics = step(state, batch, frozen, np.int32(0))
        jax.block_until_ready(metrics)
        print(ANSWER, (time.perf_counter() - start) / STEPS, flush=True)


@contextlib.contextmanager
def group(kind: str, count: int, *words):
    """Start `count` processes and wait until they have compiled; yields turn() -> the seconds of each one's step."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    members = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, kind, str(index), coordinator, str(count), *map(str, words)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]

    def answer(member: subprocess.Popen) -> str:
        for line in member.stdout:  # the library that joins the processes prints lines, too
            if line.startswith(ANSWER):
                return line.removeprefix(ANSWER)
        raise SystemExit(f"A process of the {count} that train {kind} has ended; its message is above.")

    def turn() -> list[float]:
        for member in members:
            member.stdin.write("\n")
            member.stdin.flush()
        return [float(answer(member)) for member in members]

    try:
        for member in members:  # each says that it is ready
            answer(member)
        yield turn
        for member in members:
            member.stdin.close()
        for member in members:
            member.wait()
    finally:
        for member in members:
            member.kill()


def measure(stage: str, count: int, crops: int, rounds: int, vgg: str) -> dict[str, float]:
    """Return the median seconds of a step of `count` processes, {"alone", "together"}; the slowest counts."""
    words = (stage, crops, vgg)
    with group("alone", count, *words) as alone, group("together", count, *words) as together:
        turns = [(max(alone()), max(together())) for _ in range(rounds + 1)][1:]  # the first warms up
    return dict(zip(("alone", "together"), map(statistics.median, zip(*turns, strict=True)), strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stages", nargs="+", choices=CONFIGS, default=["SRResNet-MSE"])
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 2, 4, 8], help="of processes")
    parser.add_argument("--crops", type=int, default=2, help="of each process (default: 2)")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(f"{processor()}; {arguments.crops} crops for each process, {arguments.rounds} rounds of {STEPS} steps\n")
    print("| stage | processes | each alone, ms | together, ms | efficiency |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        vgg = vgg_file(directory)
        for stage in arguments.stages:
            for count in arguments.counts:
                seconds = measure(stage, count, arguments.crops, arguments.rounds, vgg)
                times = [f"{1e3 * seconds[kind]:.0f}" for kind in ("alone", "together")]
                print(f"| {stage} | {count} | {' | '.join(times)} | {seconds['alone'] / seconds['together']:.2f} |")


if __name__ == "__main__":
    main()
