"""Programs in processes of their own, for the campaigns."""

import dataclasses
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).parents[2]
PATIENCE = 900  # seconds until a program counts as hanging

STAGES = {
    "content": {"stage": "content"},
    "adversarial": {"stage": "adversarial", "losses__adversarial": 1e-3, "batch_size": 4},
}
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


@dataclasses.dataclass
class Ended:
    """A program that has ended: its exit status, what it printed, and the seconds since it was told to end."""

    status: int
    out: str
    error: str
    seconds: float = 0.0

    def saved(self) -> dict[int, str]:
        """Return {step: digest} of the states that a trainee saved."""
        words = (line.split() for line in self.out.splitlines() if line.startswith("saved "))
        return {int(step): digest for _, step, digest in words}

    def complaint(self, *statuses: int) -> str:
        """Return "" if the program ended with one of the statuses and without a traceback; otherwise a sentence."""
        if "Traceback" in self.error:
            return f"a traceback: {self.error.strip().splitlines()[-1]}"
        if self.status not in statuses:
            last = (self.error.strip().splitlines() or ["nothing"])[-1]
            return f"the status is {self.status}, where {statuses} was expected; the last line: {last}"
        return ""


class Program:
    """A running program. Its output goes to files, so that it never waits for somebody to read."""

    def __init__(self, *arguments: object, one_core: bool = False, **environment: str) -> None:
        core = ["taskset", "-c", "0"] if one_core and shutil.which("taskset") else []
        environment = {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(cache()), **environment}
        environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2", "PYTHONPATH": str(ROOT)}
        environment |= {"XLA_FLAGS": ONE_THREAD} if one_core else {}
        self._files = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by end)
        self.process = subprocess.Popen(
            [*core, sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=self._files[0],
            stderr=self._files[1],
        )

    def wait_for(self, condition: Callable[[], bool], *, pause: float = 0.005) -> bool:
        """Wait until a condition holds. Return whether it does, which it may not if the program ends."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(pause)
        return True

    def end(self, *, patience: float = PATIENCE) -> Ended:
        """Wait for the end. A program that hangs is killed, and its status is then that of the kill."""
        start = time.monotonic()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read())
            file.close()
        return Ended(self.process.returncode, *texts, seconds=time.monotonic() - start)


def cache() -> pathlib.Path:
    """Return the folder of compiled programs, which all campaigns share."""
    return pathlib.Path(tempfile.gettempdir()) / "srgan_jax_reliability_cache"


def train(workdir: pathlib.Path, changes: dict[str, object], *, pause: float = 0.0, one_core: bool = False) -> Program:
    """Start a trainee."""
    arguments = ["-m", "tests.reliability.trainee", workdir, json.dumps(changes), pause]
    return Program(*arguments, one_core=one_core)


def train_together(
    workdir: pathlib.Path, changes: dict[str, object], *, count: int, pause: float = 0.0
) -> list[Program]:
    """Start several trainees that work as one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    arguments = ["-m", "tests.reliability.trainee", workdir, json.dumps(changes), pause]
    return [Program(*arguments, coordinator, count, index) for index in range(count)]


def logged_steps(workdir: pathlib.Path) -> list[int]:
    """Return the steps of training that a run has logged so far; a line that is being written is left out."""
    steps = []
    path = workdir / "metrics.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            steps += [json.loads(line)["step"]] if "g/loss" in line else []
        except json.JSONDecodeError:
            continue
    return steps


def saved_steps(workdir: pathlib.Path) -> list[int]:
    """Return the steps of the whole checkpoints of a run."""
    folder = workdir / "checkpoints"
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []
