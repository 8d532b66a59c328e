"""What several processes lose against one: a training whose work for each process stays the same, on one machine.

PYTHONPATH=. python benchmarks/processes.py --counts 1 2 4 8 --write benchmarks/processes.md

Every process has 8 crops of a step of configs/demo.py, whatever their number, and sums gradients and BatchNorm's
statistics with the others over the loopback interface. More processes than cores share the cores, so that steps per
second say little. What one can compare is the time that the processors spend on a crop, over all processes: the
arithmetic of a crop is the same in all rows, and the rest is what the processes cost. It is the difference between a
long run and a short one, so that starting and compiling do not count. Keep the machine idle.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile

from train_step import processor

from srgan_jax.evaluation import Table

ROOT = pathlib.Path(__file__).parents[1]
CROPS = 8  # of each process
SHORT, LONG, LOG = 40, 240, 20  # steps


def train(count: int, steps: int, workdir: pathlib.Path) -> tuple[float, float]:
    """Train with `count` processes -> (seconds of all processors, median of the logged crops per second)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    fields = {"batch_size": CROPS * count, "num_steps": steps, "log_every": LOG, "eval_every": 0, "save_every": 0}
    fields |= {"data.holdout": 0.0, "data.workers": 1, "optimizer.schedule": "piecewise"}
    command = [sys.executable, "train.py", "--config=configs/demo.py", f"--workdir={workdir}", "--quiet"]
    command += [f"--config.{field}={value}" for field, value in fields.items()]
    group = [f"--coordinator={coordinator}", f"--processes={count}"] if count > 1 else []
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    running = [
        subprocess.Popen([*command, *group, *([f"--process={number}"] if group else [])], cwd=ROOT, env=environment)
        for number in range(count)
    ]
    spent = 0.0
    for process in running:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}.")
        spent += usage.ru_utime + usage.ru_stime
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return spent, statistics.median(line["images_per_second"] for line in lines[1:])


def measure(count: int, rounds: int) -> dict[str, float]:
    """Medians over the rounds: milliseconds of the processors for a crop, and crops per second."""
    spent, speeds = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            short, _ = train(count, SHORT, pathlib.Path(folder) / "short")
            long, speed = train(count, LONG, pathlib.Path(folder) / "long")
        spent.append(1e3 * (long - short) / (CROPS * count * (LONG - SHORT)))
        speeds.append(speed)
    return {"spent": statistics.median(spent), "speed": statistics.median(speeds)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 2, 4, 8], help="of processes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=pathlib.Path, help="put the table into this file, between its marks")
    arguments = parser.parse_args()
    measured = {count: measure(count, arguments.rounds) for count in arguments.counts}
    first = measured[arguments.counts[0]]
    rows = [
        [f"{count}", f"{CROPS * count}", f"{m['speed']:.1f}", f"{m['spent']:.1f}", f"{first['spent'] / m['spent']:.2f}"]
        for count, m in measured.items()
    ]
    header = ["processes", "crops of a step", "crops/s", "processors' ms for a crop", "efficiency"]
    table = f"{Table(header, rows).markdown()}\n\n{processor()}."
    print(table)
    if arguments.write:
        head, _, rest = arguments.write.read_text(encoding="utf-8").partition("<!-- table -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        arguments.write.write_text(f"{head}<!-- table -->\n{table}\n{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
