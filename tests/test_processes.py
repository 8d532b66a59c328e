"""Several real processes on this machine: they train, evaluate and resume as one does, and end together."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from tiny import ADVERSARIAL, initialise, make_tiny_config, read_state

from srgan_jax.errors import InputError
from srgan_jax.images import save_image
from srgan_jax.models import SRResNet, architecture_of
from srgan_jax.parallel import processes
from srgan_jax.weights.release import write_release

ROOT = pathlib.Path(__file__).parents[1]

# Trains; prints a digest of every state that is saved or restored.
TRAIN = """
import hashlib, sys, time
import jax
from jax.experimental import multihost_utils
from srgan_jax.weights import checkpoints
from srgan_jax.training import loop
from srgan_jax.parallel import processes, sharding
from srgan_jax.commands.common import report_input_errors
from test_processes import make_config

workdir, steps, pause, optimizer, *group = sys.argv[1:]

def telling(word, function):
    def tell(self, *arguments, **options):
        result = function(self, *arguments, **options)
        step, state = result if word == "restored" else arguments[:2]
        if not step:  # a new run
            return result
        digest = hashlib.sha256()
        for array in jax.tree.leaves(state):
            if not array.is_fully_addressable:  # a part of it is with another process
                array = multihost_utils.process_allgather(array, tiled=True)
            digest.update(jax.device_get(array).tobytes())
        print(word, digest.hexdigest(), flush=True)
        return result
    return tell

checkpoints.Checkpoints.restore = telling("restored", checkpoints.Checkpoints.restore)
checkpoints.Checkpoints.save = telling("saved", checkpoints.Checkpoints.save)
compile_step = sharding.compile_step

def compile_slow_step(*arguments, **options):
    step = compile_step(*arguments, **options)
    def run(*inputs):
        time.sleep(float(pause))
        return step(*inputs)
    return run

sharding.compile_step = compile_slow_step
with report_input_errors():
    processes.join(*group[:1], *map(int, group[1:]), heartbeat=10)
    loop.train(make_config(num_steps=int(steps), optimizer__sharded=optimizer == "divided"), workdir)
"""


def make_config(**changes):
    return make_tiny_config(**ADVERSARIAL, batch_size=4, data__holdout=0.4, eval_every=4, save_every=2, **changes)


def start(count, command, *arguments, flags=("{coordinator}", "{count}", "{index}")):
    """Start `count` processes of a command, each with `arguments` and, where they are several, its own `flags`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return [
        subprocess.Popen(
            [sys.executable, *command, *map(str, arguments)]
            + [flag.format(coordinator=coordinator, count=count, index=i) for flag in flags * (count > 1)],
            cwd=ROOT,
            env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(count)
    ]


def finish(group, status=0):
    """Wait for all; returns what each printed."""
    done = [process.communicate(timeout=300) for process in group]
    assert [process.returncode for process in group] == [status] * len(group), done
    return [out for out, _ in done]


def train(workdir, *, count, steps, optimizer="copied"):
    return finish(start(count, ["-c", TRAIN], workdir, steps, 0, optimizer))


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("processes") / "alone"
    train(workdir, count=1, steps=4)
    return workdir


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_train_and_evaluate_as_one(alone, count, tmp_path):
    train(tmp_path, count=count, steps=4)
    for ours, theirs in zip(lines(tmp_path), lines(alone), strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"images_per_second", "data/wait_share"}:
            # Adam makes of rounding what later steps see: exact to 1e-5 at first, a little less then.
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5 if ours["step"] == 1 else 1e-4), name
    (_, ours), (_, theirs) = (read_state(workdir, make_config()) for workdir in (tmp_path, alone))
    for name in ("g", "d"):
        for field in ("params", "batch_stats"):
            pairs = zip(*(jax.tree.leaves(getattr(state[name], field)) for state in (ours, theirs)), strict=True)
            for mine, its in pairs:
                error = np.abs(mine - its)
                # Adam turns the rounding of a vanishing gradient into a step of 1e-4.
                assert np.mean(error <= 1e-5 * np.maximum(np.abs(its), 1)) > 0.99 and error.max() < 4 * 2.01e-4
    samples = [sorted(p.relative_to(w) for p in w.glob("samples/**/*.png")) for w in (tmp_path, alone)]
    assert samples[0] == samples[1] and len(samples[0]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("optimizers", [("copied",) * 4, ("copied", "divided", "divided", "copied")], ids="/".join)
def test_what_some_processes_saved_others_restore_to_the_byte(optimizers, tmp_path):
    saved = None
    for i, (count, optimizer) in enumerate(zip((1, 2, 4, 1), optimizers, strict=True)):
        told = [
            [line.split() for line in out.splitlines() if line.startswith(("saved", "restored"))]
            for out in train(tmp_path, count=count, steps=2 * (i + 1), optimizer=optimizer)
        ]
        assert len({tuple(map(tuple, words)) for words in told}) == 1  # all processes hold the same
        words = dict(told[0])
        assert words.get("restored") == saved
        saved = words["saved"]
    assert [line["step"] for line in lines(tmp_path) if "g/loss" in line] == list(range(1, 9))


def wait_for(condition, group):
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline and all(process.poll() is None for process in group)
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_one_killed_ends_all_and_the_run_goes_on(victim, tmp_path):
    group = start(2, ["-c", TRAIN], tmp_path, 40, 0.5, "copied")
    wait_for((tmp_path / "checkpoints" / "4").exists, group)
    group[victim].kill()
    killed = time.monotonic()
    for process in group:
        process.communicate(timeout=60)
    assert all(process.returncode != 0 for process in group) and time.monotonic() - killed < 45
    reached = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit())
    train(tmp_path, count=2, steps=reached + 2)
    assert [line["step"] for line in lines(tmp_path) if "g/loss" in line] == list(range(1, reached + 3))


@pytest.mark.slow
def test_a_signal_to_one_saves_the_step_on_which_all_agree(tmp_path):
    group = start(2, ["-c", TRAIN], tmp_path, 400, 0.2, "copied")
    wait_for((tmp_path / "checkpoints" / "2").exists, group)
    group[1].send_signal(signal.SIGTERM)
    out = finish(group, 143)
    last = [[line for line in text.splitlines() if line.startswith("saved")][-1] for text in out]
    assert last[0] == last[1]
    stopped = lines(tmp_path)[-1]["step"]
    assert (tmp_path / "checkpoints" / str(stopped)).is_dir() and stopped < 400


def test_evaluation_is_divided(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        save_image(tmp_path / "pictures" / f"{i}.png", rng.integers(0, 256, (32, 36, 3), np.uint8))
    results, printed = {}, {}
    for count in (1, 2):
        out = tmp_path / str(count)
        flags = ("--coordinator={coordinator}", "--processes={count}", "--process={index}")
        data = f"set={tmp_path / 'pictures'}"
        arguments = ["--ckpt=bicubic", "--data", data, f"--out={out}", f"--report={out / 'page'}", "--vs=nearest"]
        printed[count] = finish(start(count, ["eval.py"], *arguments, "--protocol=matlab", flags=flags))
        results[count] = json.loads((out / "results.json").read_text()), (out / "page" / "index.html").read_text()
        assert len(list((out / "set").glob("*.png"))) == 3
    assert results[1] == results[2]
    assert "| set | 3 |" in printed[2][0] and "|" not in printed[2][1]


def test_upscaling_is_divided(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        save_image(tmp_path / "pictures" / f"{i}.png", rng.integers(0, 256, (9, 8, 3), np.uint8))
    (tmp_path / "pictures" / "broken.png").write_bytes(b"no picture")
    module = SRResNet(features=4, num_blocks=0)
    variables = initialise(module, np.zeros((1, 8, 8, 3), np.float32))
    write_release(tmp_path / "x4.safetensors", architecture_of(module), variables)
    arguments = [tmp_path / "pictures", "-o", tmp_path / "out", "--ckpt", tmp_path / "x4.safetensors"]
    flags = ("--coordinator={coordinator}", "--processes={count}", "--process={index}")
    group = start(2, ["upscale.py"], *arguments, flags=flags)
    errors = [process.communicate(timeout=300)[1] for process in group]
    assert [process.returncode for process in group] == [1, 1], errors
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png", "2.png"]
    assert ["broken.png: not an image" in error for error in errors] == [True, False]


@pytest.fixture
def joined(monkeypatch):
    """What jax.distributed.initialize is called with, and an environment without any launcher."""
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *arguments, **options: calls.append(arguments))
    monkeypatch.setattr(processes.glob, "glob", lambda pattern: [])
    for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    return calls


SLURM = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "3"}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({}, (), []),
        (SLURM, (), [(None, 8, 3)]),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, (), []),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, (), []),  # in a batch script, without srun
        (OPEN_MPI, (), [(None, 2, 1)]),
        (OPEN_MPI, ("host:1234",), [("host:1234", 2, 1)]),
        (KUBERNETES, (), []),  # a pod of its own
        (KUBERNETES | {"JOB_COMPLETION_INDEX": "0"}, (), [(None, None, None)]),
        ({}, ("host:1234", 4, 0), [("host:1234", 4, 0)]),
        (SLURM, ("host:1234", 2, 1), [("host:1234", 2, 1)]),
    ],
    ids=str,
)
def test_a_launcher_is_joined_and_nothing_else(environment, arguments, expected, joined, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    processes.join(*arguments)
    assert joined == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("host:1234",), "coordinator also needs processes and process"),
        ((None, 2, 0), "processes and process also need coordinator"),
        (("host:1234", 2, 2), "process must be from 0 to 1"),
    ],
)
def test_coordinates_that_do_not_belong_together_are_refused(arguments, message, joined):
    with pytest.raises(InputError, match=message):
        processes.join(*arguments)
    assert joined == []
