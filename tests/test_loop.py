"""The training loop: what a run writes, how it ends, and that it goes on where it ended, bit for bit."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from flax import serialization
from PIL import Image
from tiny import ADVERSARIAL, make_tiny_config, read_state

from srgan_jax import generators
from srgan_jax.data.loader import CropLoader
from srgan_jax.errors import InputError, Interrupted, NonFiniteError
from srgan_jax.files import locked
from srgan_jax.models import MSRResNet, SRResNet
from srgan_jax.parallel import sharding
from srgan_jax.training import loop, stages
from srgan_jax.training.logs import drop_lines_after
from srgan_jax.weights.release import write_release

ROOT = pathlib.Path(__file__).parents[1]
TIMES = ("images_per_second", "data/wait_share")


def make_config(**changes):
    changes = ADVERSARIAL | {"data__crop_size": 32} | changes
    return make_tiny_config(
        **{"generator__num_blocks": 1, "eval_images": 1, "eval_every": 2, "save_every": 2} | changes
    )


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def training_lines(workdir):
    """{step: metrics}, but for those that measure time."""
    return {
        line["step"]: {name: value for name, value in line.items() if name not in TIMES}
        for line in lines(workdir)
        if "g/loss" in line
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The directory of a finished run of four steps."""
    workdir = tmp_path_factory.mktemp("runs") / "new" / "run"
    loop.train(make_config(), workdir)
    return workdir


def test_a_run_writes_its_config_metrics_samples_and_checkpoints(run):
    assert json.loads((run / "config.json").read_text()) == json.loads(make_config().to_json())
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["2", "4"]
    samples = sorted(path.relative_to(run / "samples") for path in (run / "samples").rglob("*.png"))
    assert [path.name for path in samples] == ["00000002.png", "00000004.png"]
    assert samples[0].parts[0] == "held_out"
    assert any((run / "tensorboard").glob("events.out.tfevents.*"))
    assert not [path for path in run.rglob("*") if "partial" in path.name or "tmp" in path.name]


def test_metrics_of_a_run(run):
    training = [line for line in lines(run) if "g/loss" in line]
    assert [line["step"] for line in training] == [1, 2, 3, 4]
    names = {"step", "g/loss", "g/mse", "g/adversarial", "g/grad_norm", "g/learning_rate"}
    names |= {"d/loss", "d/real", "d/fake", "d/grad_norm", *TIMES}
    for line in training:
        assert set(line) == names and all(np.isfinite(value) for value in line.values())
        assert line["g/loss"] == pytest.approx(line["g/mse"] + 1e-3 * line["g/adversarial"], rel=1e-5)
        assert 0 < line["d/real"] < 1 and 0 < line["d/fake"] < 1 and 0 <= line["data/wait_share"] <= 1
        assert line["g/learning_rate"] == pytest.approx(1e-4) and line["images_per_second"] > 0
    evaluations = [line for line in lines(run) if "g/loss" not in line]
    assert [line["step"] for line in evaluations] == [2, 4]
    assert all(set(line) == {"step", "held_out/psnr_y", "held_out/ssim_y"} for line in evaluations)


def signal_after(monkeypatch, step, number=signal.SIGTERM):
    """Send this process a signal while its `step`-th step runs."""
    compile_step, count = sharding.compile_step, iter(range(1, 1000))

    def compile_with_signal(*arguments, **options):
        step_fn = compile_step(*arguments, **options)

        def run(*inputs):
            if next(count) == step:
                os.kill(os.getpid(), number)
            return step_fn(*inputs)

        return run

    monkeypatch.setattr(sharding, "compile_step", compile_with_signal)


def test_a_signal_saves_and_the_same_call_goes_on(run, tmp_path, monkeypatch):
    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        signal_after(patch, 3)
        with pytest.raises(Interrupted, match="stopped at step 3 by SIGTERM"):
            loop.train(make_config(), tmp_path)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["2", "3"]
    assert sorted(training_lines(tmp_path)) == [1, 2, 3]

    loop.train(make_config(), tmp_path)
    # Bit for bit only where one core computes, see below.
    ours, theirs = training_lines(tmp_path), training_lines(run)
    assert ours.keys() == theirs.keys()
    for step, metrics in theirs.items():
        assert ours[step] == pytest.approx(metrics, rel=1e-3), step


def fake_step(monkeypatch, change=lambda count, state, metrics: (state, metrics)):
    """In place of the compiled step, one that does nothing; `change` sees the number of its call."""

    def compile_step(step, mesh, *, seed, placement):
        count = iter(range(1, 1000))
        return lambda state, batch, frozen, number: change(next(count), state, {"g/loss": np.array(1, np.float32)})

    monkeypatch.setattr(sharding, "compile_step", compile_step)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_not_saved(tmp_path, monkeypatch, value):
    def change(count, state, metrics):
        return state, {"g/loss": np.array(value if count == 3 else 1, np.float32)}

    fake_step(monkeypatch, change)
    config = make_config(num_steps=6, log_every=5, eval_every=0, save_every=2)
    with pytest.raises(NonFiniteError, match=f"g/loss is {value} at step 3"):
        loop.train(config, tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]
    assert sorted(training_lines(tmp_path)) == [2]


@pytest.mark.slow
def test_a_real_divergence_stops_the_run(tmp_path):
    config = make_config(num_steps=20, eval_every=0, save_every=20, optimizer__learning_rate=1e30)
    with pytest.raises(NonFiniteError, match="at step"):
        loop.train(config, tmp_path)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_another_architecture_in_the_same_directory_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    with pytest.raises(InputError, match=r"checkpoints/4 holds another network: d/.* there, but .* is expected"):
        loop.train(make_config(num_steps=6, discriminator__features=4), tmp_path / "run")
    with pytest.raises(InputError, match=r"trained with generator.num_blocks=1, but this config has 2; set"):
        loop.train(make_config(num_steps=6, generator__num_blocks=2), tmp_path / "run")
    for name in ("config.json", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.parametrize("origin", ["run", "checkpoint", "release"])
def test_init_from_copies_parameters_and_statistics(run, origin, tmp_path, monkeypatch):
    trained = generators.load(run / "checkpoints" / "4" if origin == "checkpoint" else run)
    path = {"run": run, "checkpoint": run / "checkpoints" / "4", "release": tmp_path / "model.safetensors"}[origin]
    if origin == "release":
        write_release(path, trained.architecture, trained.variables)
    fake_step(monkeypatch)
    config = make_config(stage="content", losses__adversarial=0.0, num_steps=1, eval_every=0, init_from=str(path))
    config.ema_decay = 0.9
    loop.train(config, tmp_path / "next")
    for started in (generators.load(tmp_path / "next"), generators.load(f"{tmp_path / 'next'}:ema")):
        jax.tree.map(np.testing.assert_array_equal, started.variables, trained.variables)
        assert started.sha256() == trained.sha256()


def test_a_running_average_is_evaluated_saved_and_chosen(run, tmp_path):
    changes = {"stage": "content", "losses__adversarial": 0.0, "data__crop_size": 16, "ema_decay": 0.5}
    config = make_config(**changes, num_steps=2)
    loop.train(config, tmp_path / "run")
    (evaluated,) = (line for line in lines(tmp_path / "run") if "g/loss" not in line)
    names = {f"{name}/{metric}_y" for name in ("held_out", "held_out_ema") for metric in ("psnr", "ssim")}
    assert set(evaluated) == {"step", *names}
    assert evaluated["held_out/psnr_y"] != evaluated["held_out_ema/psnr_y"]
    assert {path.name for path in (tmp_path / "run" / "samples").iterdir()} == {"held_out", "held_out_ema"}

    step, state = read_state(tmp_path / "run", config)
    average, plain = (generators.load(f"{tmp_path / 'run'}{end}") for end in (":ema", ""))
    jax.tree.map(np.testing.assert_array_equal, average.variables, state["g_ema"])
    jax.tree.map(np.testing.assert_array_equal, plain.variables["params"], state["g"].params)
    assert average.sha256() != plain.sha256() and average.name == f"{plain.name}:ema" and step == 2

    loop.train(make_config(**changes, num_steps=4), tmp_path / "run")
    assert read_state(tmp_path / "run", config)[0] == 4

    for path, message in (
        (f"{run}:ema", "4 holds no running average of the generator: it was trained with ema_decay=0"),
        ("model.safetensors:ema", "model.safetensors:ema: expected a run or checkpoint directory before :ema"),
    ):
        with pytest.raises(InputError, match=message):
            generators.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator__features": 4}, "features=8, but this config has 4; set config.generator.features=8"),
        ({"scale": 2}, "trained with scale=4, but this config has 2; set config.scale=4"),
        ({"generator__global_skip": "bicubic"}, "trained with generator.global_skip='none', but this config has"),
        ({"generator__output_activation": "tanh"}, "trained with generator.output_activation='none', but this config"),
        ({"init_from": "nowhere"}, "nowhere: no such file or directory"),
        ({"init_from": "."}, "neither a run directory nor a checkpoint"),
    ],
    ids=str,
)
def test_init_from_something_else_is_refused(run, changes, message, tmp_path):
    changes = {"stage": "content", "losses__adversarial": 0.0, "init_from": str(run)} | changes
    with pytest.raises(InputError, match=message):
        loop.train(make_config(**changes), tmp_path / "next")
    assert not (tmp_path / "next" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (MSRResNet(), "there: trained with generator.network='msrresnet', but this config has 'srresnet'"),
        (SRResNet(batch_norm=False, features=8, num_blocks=1), "there: a network with batch_norm=False cannot be"),
    ],
)
def test_init_from_a_network_that_is_not_trained_here_is_refused(module, message):
    with pytest.raises(InputError, match=message):
        stages.check_module(module, "there", make_config())


@pytest.mark.parametrize(
    ("changes", "merit"),
    [
        ({"stage": "content"}, 25.0),
        ({"stage": "adversarial"}, None),  # its PSNR falls: none is better than the newest
        ({"stage": "adversarial", "best_metric": "psnr"}, 25.0),
        ({"stage": "adversarial", "best_metric": "vgg54"}, -0.5),  # the lower the better
        ({"stage": "content", "best_metric": "newest"}, None),
    ],
)
def test_a_run_names_the_metric_that_chooses_its_best_checkpoint(changes, merit):
    config = make_config(eval_metrics="psnr,vgg54", **changes)
    assert loop.metric_names(config) == ["psnr", "vgg54"]
    assert loop.merit_of(config, {"psnr": 25.0, "vgg54": 0.5}) == merit
    assert loop.merit_of(config, None) is None
    with pytest.raises(InputError, match=r"best_metric='niqe' is not evaluated; it must be one of config.eval_metrics"):
        loop.metric_names(make_config(best_metric="niqe"))


def write_pictures(folder, names):
    folder.mkdir(exist_ok=True)
    for name in names:
        pixels = np.random.default_rng(len(name)).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")


def test_changed_pictures_are_named_when_a_run_goes_on(tmp_path, monkeypatch, capsys):
    write_pictures(tmp_path / "photos", ["a", "bb", "ccc", "dddd"])
    changes = {"data__source": "folder", "data__path": str(tmp_path / "photos"), "data__holdout": 0.0, "eval_every": 0}
    fake_step(monkeypatch)
    loop.train(make_config(**changes, num_steps=1), tmp_path / "run")
    loop.train(make_config(**changes, num_steps=2), tmp_path / "run")
    assert "have changed" not in capsys.readouterr().err
    (tmp_path / "photos" / "a.png").unlink()
    write_pictures(tmp_path / "photos", ["eeeee"])
    (tmp_path / "photos" / "bb.png").write_bytes((tmp_path / "photos" / "ccc.png").read_bytes() + b"\0")
    loop.train(make_config(**changes, num_steps=3), tmp_path / "run")
    expected = "have changed since the last start: 1 added (eeeee.png); 1 removed (a.png); 1 replaced (bb.png)."
    assert expected in capsys.readouterr().err


def test_a_second_program_in_the_same_directory_is_refused(tmp_path, monkeypatch):
    fake_step(monkeypatch)
    with locked(tmp_path), pytest.raises(InputError, match="is in use by another program"):
        loop.train(make_config(), tmp_path)
    loop.train(make_config(eval_every=0), tmp_path)


@pytest.mark.parametrize("ahead", [False, True], ids=["waited for", "made ahead"])
def test_a_signal_is_heard_while_pictures_do_not_come(ahead, tmp_path, monkeypatch):
    """What has been trained by then is saved, also where the missing batch is one that a thread makes ahead."""
    release, batch = threading.Event(), CropLoader.batch

    def slow_batch(self, step, **options):
        if step == 3:
            if not ahead:
                os.kill(os.getpid(), signal.SIGTERM)
            release.wait(60)
        return batch(self, step, **options)

    def change(count, state, metrics):
        if ahead and count == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return state, metrics

    monkeypatch.setattr(CropLoader, "batch", slow_batch)
    fake_step(monkeypatch, change)
    start = time.perf_counter()
    with pytest.raises(Interrupted, match="stopped at step 3 by SIGTERM"):
        loop.train(make_config(num_steps=6, eval_every=0, save_every=2, data__prefetch=1), tmp_path)
    assert time.perf_counter() - start < 30
    release.set()
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["2", "3"]


def test_lines_beyond_the_restored_step_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    drop_lines_after(path, 3)
    assert not path.exists()
    whole = [json.dumps({"step": step, "g/loss": 0.5}) + "\n" for step in (1, 2, 3, 3, 4, 5)]
    path.write_text("".join(whole) + '{"step": 3, "g/lo')
    drop_lines_after(path, 3)
    assert path.read_text() == "".join(whole[:4])


def test_a_finished_run_is_left_as_it_is(run, monkeypatch, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    fake_step(monkeypatch)
    loop.train(make_config(), tmp_path / "run")
    assert lines(tmp_path / "run") == lines(run)


# Whole runs, each in a process of its own that is held to one core and one thread, as bit-exactness needs on a CPU.

PROGRAM = """
import sys, time
from srgan_jax.training import loop
from srgan_jax.parallel import sharding
from srgan_jax.commands.common import report_input_errors
from tiny import ADVERSARIAL, make_tiny_config, read_state

compile_step = sharding.compile_step

def compile_slow_step(*arguments, **options):  # steps of milliseconds would all be done before a signal comes
    step = compile_step(*arguments, **options)
    def run(*inputs):
        time.sleep(float(sys.argv[2]))
        return step(*inputs)
    return run

sharding.compile_step = compile_slow_step
with report_input_errors():
    loop.train(make_tiny_config(
        **ADVERSARIAL, num_steps=20, data__workers=2, data__holdout=0.3,
        optimizer__schedule="cosine", optimizer__warmup_steps=5, eval_images=1, save_every=10,
    ), sys.argv[1])
"""


def start(workdir, *, pause=0.0):
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths}
    # -W error would end the process for warnings that pytest lets through.
    return subprocess.Popen(
        ["taskset", "-c", "0", sys.executable, "-c", PROGRAM, str(workdir), str(pause)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, status=0):
    out, error = process.communicate(timeout=600)
    assert process.returncode == status, out + error
    assert "Traceback" not in error
    return error


needs_taskset = pytest.mark.skipif(shutil.which("taskset") is None, reason="needs taskset")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    finish(start(workdir))
    return workdir


@needs_taskset
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(uninterrupted, number, tmp_path):
    process = start(tmp_path, pause=0.3)
    steps = 10 if number == signal.SIGKILL else 3
    while process.poll() is None and not (tmp_path / "metrics.jsonl").exists():
        time.sleep(0.05)
    while process.poll() is None and len(lines_so_far(tmp_path)) < steps:
        time.sleep(0.01)
    if number == signal.SIGKILL:
        while process.poll() is None and not (tmp_path / "checkpoints" / "10").exists():
            time.sleep(0.01)
    process.send_signal(number)
    error = finish(process, 143 if number == signal.SIGTERM else -signal.SIGKILL)
    stopped = len(lines_so_far(tmp_path))
    assert stopped < 20, "too fast to be stopped"
    if number == signal.SIGTERM:
        assert f"stopped at step {stopped} by SIGTERM" in error
        assert (tmp_path / "checkpoints" / str(stopped)).is_dir()

    finish(start(tmp_path))
    ours, theirs = training_lines(tmp_path), training_lines(uninterrupted)
    assert list(ours) == list(theirs) == list(range(1, 21))
    assert ours == theirs
    config = make_tiny_config(**ADVERSARIAL, num_steps=20)
    (ours_step, ours), (theirs_step, theirs) = (read_state(path, config) for path in (tmp_path, uninterrupted))
    assert ours_step == theirs_step == 20
    ours, theirs = (serialization.to_state_dict(state) for state in (ours, theirs))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def lines_so_far(workdir):
    return (workdir / "metrics.jsonl").read_text().splitlines()
