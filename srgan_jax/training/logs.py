"""What a run writes down: metrics.jsonl, what config.loggers names, and how far it has come."""

import contextlib
import json
import math
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from srgan_jax import progress
from srgan_jax.errors import InputError
from srgan_jax.files import replace_text
from srgan_jax.training.loggers import Logger
from srgan_jax.types import Picture


class Log:
    """Metrics of a run, appended to WORKDIR/metrics.jsonl (one JSON object per line) and given to the loggers.

    Args:
      workdir: the run's directory.
      start, stop: the steps that are done, and the number of all.
      loggers: rows of loggers.LOGGERS, see loggers.select_loggers.
      config: the run's config, as a JSON object.
    """

    def __init__(
        self,
        workdir: str | pathlib.Path,
        *,
        start: int,
        stop: int,
        loggers: Iterable[Callable[..., Logger]] = (),
        config: dict[str, Any] | None = None,
    ) -> None:
        self._workdir = workdir = pathlib.Path(workdir)
        drop_lines_after(workdir / "metrics.jsonl", start)
        self._jsonl = (workdir / "metrics.jsonl").open("a", encoding="utf-8")
        self._loggers = [create(workdir, start=start, config=config or {}) for create in loggers]
        self._progress = progress.Progress(stop, unit="step", done=start)

    def advance(self) -> None:
        """Count one more step as done."""
        self._progress.update()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Record metrics at a step."""
        # JSON has no infinity: identical pictures have a PSNR of null.
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        with self._writing():
            self._jsonl.write(json.dumps({"step": step, **finite}) + "\n")
            self._jsonl.flush()
            for logger in self._loggers:
                logger.write(step, metrics)

    def show(self, metrics: dict[str, float]) -> None:
        """Put numbers behind those of the progress."""
        self._progress.note("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))

    def image(self, step: int, name: str, image: Picture) -> None:
        """Give a picture, uint8 [H, W, C], to the loggers."""
        with self._writing():
            for logger in self._loggers:
                logger.image(step, name, image)

    def say(self, text: str) -> None:
        """Print a line without disturbing the progress bar."""
        progress.say(text)

    def done(self, text: str) -> None:
        """Print a line behind the last one of the progress."""
        self._progress.close(last_line=True)
        progress.say(text)

    def close(self) -> None:
        """Flush and close everything."""
        self._progress.close(last_line=True)
        with self._writing(), contextlib.ExitStack() as stack:
            for closed in (self._jsonl, *self._loggers):
                stack.callback(closed.close)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Say what a full disk or a lost folder means for the run."""
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self._workdir}: the log of the run cannot be written ({error.strerror or error}). Once this is "
                "mended, the same command goes on from the newest checkpoint."
            ) from error


class NoLog:
    """The log of all processes but the first."""

    def advance(self) -> None:
        """Do nothing, like all methods of this class."""

    def write(self, step: int, metrics: dict[str, float]) -> None: ...

    def show(self, metrics: dict[str, float]) -> None: ...

    def image(self, step: int, name: str, image: Picture) -> None: ...

    def say(self, text: str) -> None: ...

    def done(self, text: str) -> None: ...


def drop_lines_after(path: pathlib.Path, step: int) -> None:
    """Forget what a run logged beyond the checkpoint that it goes on from, and a last line cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except json.JSONDecodeError:
            continue
    replace_text(path, "".join(kept))
