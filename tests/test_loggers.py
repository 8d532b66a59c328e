"""What draws the curves of a run: TensorBoard, Weights & Biases, MLflow, each offline."""

import contextlib
import json

import numpy as np
import pytest

from srgan_jax.errors import InputError
from srgan_jax.training import loggers
from srgan_jax.training.loggers import LOGGERS, select_loggers
from srgan_jax.training.logs import Log

IMAGE = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
CONFIG = {"batch_size": 2, "data": {"path": "photos"}}


def log_two_steps(workdir, name, *, start=0):
    workdir.mkdir(exist_ok=True)
    log = Log(workdir, start=start, stop=start + 2, loggers=select_loggers(name), config=CONFIG)
    with contextlib.closing(log):
        for step in (start + 1, start + 2):
            log.write(step, {"g/loss": 1.0 / step, "held_out/psnr_y": 20.0 + step})
        log.image(start + 2, "held_out/chelsea.png", IMAGE)


def test_the_table_is_chosen_from_by_name():
    assert select_loggers("") == [] and select_loggers("tensorboard") == [loggers.TensorBoard]
    with pytest.raises(InputError, match=r"config\.loggers: no 'wand'; did you mean 'wandb'"):
        select_loggers("tensorboard,wand")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(LOGGERS, "curves", (loggers.TensorBoard, "no_such_package", "curves"))
    with pytest.raises(InputError, match=r"needs no_such_package: pip install 'srgan-jax\[curves\]'"):
        select_loggers("curves")


def test_tensorboard(tmp_path):
    log_two_steps(tmp_path / "run", "tensorboard")
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1] == {"step": 2, "g/loss": 0.5, "held_out/psnr_y": 22.0}


@pytest.mark.slow
def test_weights_and_biases_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", exc_type=ImportError)
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    log_two_steps(tmp_path / "run", "wandb")
    identity = (tmp_path / "run" / "wandb_run_id").read_text().strip()
    assert len(list((tmp_path / "run" / "wandb").glob(f"offline-run-*-{identity}/run-{identity}.wandb"))) == 1
    log_two_steps(tmp_path / "run", "wandb", start=2)  # the run goes on under its name
    assert (tmp_path / "run" / "wandb_run_id").read_text().strip() == identity


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # which MLflow uses
def test_mlflow_offline(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", exc_type=ImportError)
    pytest.importorskip("sqlalchemy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for start in (0, 2):
        log_two_steps(tmp_path / "run", "mlflow", start=start)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/run/mlflow.db")
    experiment = client.get_experiment_by_name(loggers.PROJECT)
    (run,) = client.search_runs([experiment.experiment_id])  # one, though it started twice
    assert run.info.run_name == "run" and run.info.status == "FINISHED"
    assert run.data.params == {"batch_size": "2", "data.path": "photos"}
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "g/loss")] == [
        (step, 1.0 / step) for step in (1, 2, 3, 4)
    ]
    assert (tmp_path / "run" / "mlruns").is_dir()
    assert [file.path for file in client.list_artifacts(run.info.run_id, "held_out/chelsea.png")]
