"""The programs that draw the curves of a run: rows of one table, each of which config.loggers may name."""

import os
import pathlib
import secrets
import time
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from srgan_jax import trees
from srgan_jax.errors import InputError, install, nearest_name, printable
from srgan_jax.files import replace_text
from srgan_jax.types import Picture

PROJECT = "srgan_jax"  # the name under which other programs collect our runs


@runtime_checkable
class Logger(Protocol):
    """Takes what a run logs."""

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Record metrics at a step."""

    def image(self, step: int, name: str, image: Picture) -> None:
        """Record a picture, uint8 [H, W, C], at a step."""

    def close(self) -> None:
        """Write down all that has not been written yet."""


class TensorBoard:
    """Files for TensorBoard in WORKDIR/tensorboard, written without TensorFlow.

    tensorboardX's SummaryWriter would write them in a thread. When the disk is full this thread dies, and the program
    then waits for it for ever. So each event is written at once here.
    """

    def __init__(self, workdir: pathlib.Path, *, start: int, config: dict[str, Any]) -> None:
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        folder = workdir / "tensorboard"
        folder.mkdir(exist_ok=True)
        self._summary, self._event = summary, event_pb2.Event
        self._file = event_file_writer.EventsWriter(str(folder / "events"))
        # TensorBoard then forgets what an earlier start wrote from this step on.
        session = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._file.write_event(self._event(wall_time=time.time(), step=start + 1, session_log=session))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self._add(step, self._summary.scalar(name, value))
        self._file.flush()

    def image(self, step: int, name: str, image: Picture) -> None:
        self._add(step, self._summary.image(printable(name), image, dataformats="HWC"))

    def _add(self, step: int, summary: Any) -> None:
        self._file.write_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        self._file.close()


class WeightsAndBiases:
    """A run of Weights & Biases, named like the work directory.

    The environment of wandb applies: WANDB_PROJECT, WANDB_ENTITY, and WANDB_MODE=offline, with which everything stays
    in WORKDIR/wandb until `wandb sync` sends it.
    """

    def __init__(self, workdir: pathlib.Path, *, start: int, config: dict[str, Any]) -> None:
        import wandb

        identity = _kept_identity(workdir / "wandb_run_id", new=not start, create=lambda: secrets.token_hex(8))
        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=workdir.resolve().name,
            id=identity,
            resume="allow",
            dir=str(workdir),
            config=config,
        )
        self._run.define_metric("*", step_metric="step")  # wandb's own steps cannot go back to a checkpoint

    def write(self, step: int, metrics: dict[str, float]) -> None:
        self._run.log({"step": step, **metrics})

    def image(self, step: int, name: str, image: Picture) -> None:
        self._run.log({"step": step, name: self._wandb.Image(image)})

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """A run of MLflow, named like the work directory.

    MLFLOW_TRACKING_URI says where runs are kept; by default in WORKDIR/mlflow.db, and their pictures in WORKDIR/mlruns.
    """

    def __init__(self, workdir: pathlib.Path, *, start: int, config: dict[str, Any]) -> None:
        import mlflow

        uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        if not uri:
            uri, artifacts = f"sqlite:///{workdir.resolve()}/mlflow.db", (workdir / "mlruns").resolve().as_uri()
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(name, artifacts)
        created = []

        def create() -> str:
            run = self._client.create_run(experiment_id, run_name=workdir.resolve().name)
            created.append(run)
            return run.info.run_id

        self._run_id = _kept_identity(workdir / "mlflow_run_id", new=not start, create=create)
        self._client.set_terminated(self._run_id, "RUNNING")
        if created:
            for field, value in trees.flat(config, ".").items():
                self._client.log_param(self._run_id, field, value)

    def write(self, step: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self._client.log_metric(self._run_id, name, value, step=step)

    def image(self, step: int, name: str, image: Picture) -> None:
        self._client.log_image(self._run_id, image, f"{name}/{step:08d}.png")

    def close(self) -> None:
        self._client.set_terminated(self._run_id)


# The class, and the package that it needs besides the core, by its name for Python and by the extra that brings it.
LOGGERS: dict[str, tuple[Callable[..., Logger], str, str]] = {
    "tensorboard": (TensorBoard, "tensorboardX", "train"),
    "wandb": (WeightsAndBiases, "wandb", "wandb"),
    "mlflow": (MLflow, "mlflow", "mlflow"),
}


def select_loggers(names: str) -> list[Callable[..., Logger]]:
    """Return the rows of LOGGERS that `config.loggers` names, with commas between them; "" stands for none.

    Raises:
      InputError: there is no such row, or its package is not installed.
    """
    selected = []
    for name in filter(None, names.split(",")):
        if name not in LOGGERS:
            raise InputError(f"config.loggers: no {name!r}; {nearest_name(name, LOGGERS)}")
        create, package, extra = LOGGERS[name]
        try:
            __import__(package)
        except ImportError:
            raise InputError(f"config.loggers={name} needs {package}: {install(extra)}.") from None
        selected.append(create)
    return selected


def _kept_identity(file: pathlib.Path, *, new: bool, create: Callable[[], str]) -> str:
    """Return the name by which another program knows a run: that of an earlier start, or for a new run a new one."""
    if not new and file.exists():
        return file.read_text(encoding="utf-8").strip()
    identity = create()
    replace_text(file, identity + "\n")
    return identity
