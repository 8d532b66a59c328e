"""Checkpoints of training runs. No other module imports orbax.

A run directory holds its checkpoints as directories `checkpoints/STEP/`. Each of these contains
  state          everything that training needs to go on
  generator      the parameters and BatchNorm statistics of the generator alone; the directory generator_NAME has those
                 of another generator that the stage exports, such as generator_ema, the running average
  config         the run's config, so that a checkpoint can be used by itself
  metrics        the scores of the checkpoint, if it was evaluated
  manifest.json  the SHA-256 of every file of the checkpoint

The manifest is written last, and after it orbax gives the checkpoint its name. Before orbax reads the files they are
compared with the manifest, which finds damage that orbax would not notice. A damaged checkpoint is named in a warning,
and the next older one takes its place.
"""

import contextlib
import logging
import pathlib
import re
import shutil
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization
from jax.experimental import multihost_utils

from srgan_jax import trees
from srgan_jax.errors import InputError, NonFiniteError
from srgan_jax.parallel import processes
from srgan_jax.types import Params, Variables
from srgan_jax.weights.manifest import DamagedError, check_files, reading, saving, write_manifest
from srgan_jax.weights.matching import check_same_arrays

FOLDER = "checkpoints"
GENERATOR = "generator"  # the item of the generator that is trained; its variants, such as generator_ema, are others
MERIT = "merit"  # the entry beside the scores by which checkpoints are compared: the best one has the highest merit
DAMAGED = ".damaged"  # the suffix of a checkpoint that was set aside

_JSON_FILES = {"config": "metadata", "metrics": "metrics"}  # the file that orbax writes each JSON item to
_STEP = re.compile("0|[1-9][0-9]*")  # the name of a whole checkpoint
_PARTIAL = ".orbax-checkpoint-tmp"  # the suffix of a checkpoint that is being written
Config = dict[str, Any]  # a run's config as a JSON object

_log = logging.getLogger("srgan_jax")


class Checkpoints:
    """The checkpoints of one run. The newest ones are kept, and the one with the highest merit.

    Args:
      workdir: the run directory. Its checkpoints are in WORKDIR/checkpoints.
      keep_last: how many of the newest checkpoints are kept, at least one.
    """

    def __init__(self, workdir: str | pathlib.Path, *, keep_last: int = 3) -> None:
        self.directory = pathlib.Path(workdir).absolute() / FOLDER
        self._keep_last = max(1, keep_last)
        if processes.is_first():
            self.directory.mkdir(parents=True, exist_ok=True)
            for leftover in self.directory.glob(f"*{_PARTIAL}*"):  # A process that was killed leaves them.
                shutil.rmtree(leftover)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("checkpoints: opened")
        handlers = {item: ocp.JsonCheckpointHandler(file) for item, file in _JSON_FILES.items()}
        items = ("state", GENERATOR, f"{GENERATOR}_ema")
        handlers |= {item: ocp.StandardCheckpointHandler() for item in items}
        self._checkpointer = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(**handlers),
            async_options=ocp.options.AsyncOptions(post_finalization_callback=self._write_manifest),
        )
        self._saving: int | None = None  # the step that is being saved

    def save(
        self,
        step: int,
        state: Params,
        config: Config,
        *,
        generators: dict[str, Variables],
        scores: dict[str, float] | None = None,
        merit: float | None = None,
    ) -> None:
        """Save a checkpoint in the background. The arrays are copied before this returns and may then be donated.

        Args:
          step: the number of updates that have been made.
          state: everything that the stage needs to go on.
          config: the config of the run, as a JSON object.
          generators: the generators that the stage exports, by item (see stages.Stage).
          scores: {metric: value}, if the state was evaluated.
          merit: the number by which checkpoints are compared. None means that this one cannot be the best.

        Raises:
          NonFiniteError: an array of the state holds NaN or an infinite value. Nothing is saved then.
          InputError: this checkpoint, or the one before it, cannot be written.
        """
        check_finite(state, step)
        with saving(self.directory / str(self._saving)):
            self._finish()
        arrays = {"state": serialization.to_state_dict(state)} | generators
        scores = (scores or {}) | ({} if merit is None else {MERIT: merit})
        texts = {"config": config} | ({"metrics": scores} if scores else {})
        items = {item: ocp.args.StandardSave(tree) for item, tree in arrays.items()}
        items |= {item: ocp.args.JsonSave(value) for item, value in texts.items()}
        self._saving = step
        with saving(self.directory / str(self._saving)):
            self._checkpointer.save(self.directory / str(step), args=ocp.args.Composite(**items))

    def restore(
        self, state: Params, *, check: Callable[[Config, pathlib.Path], object] = lambda config, path: None
    ) -> tuple[int, Params]:
        """Read the newest sound checkpoint, in the form and with the placement of `state`.

        A damaged checkpoint is named in a warning and set aside as STEP.damaged.

        Args:
          state: the state with which the run starts.
          check: called with the checkpoint's config and path, before its arrays are compared with those of `state`.

        Returns:
          The checkpoint's (step, state), or (0, `state`) if the run has no checkpoint yet.

        Raises:
          InputError: the checkpoint's arrays are not those of `state` (the message names the first that differs), or
            there are checkpoints but all are damaged.
        """
        steps = _steps(self.directory)
        for step in reversed(steps):
            path, damage = self.directory / str(step), None
            try:
                restored = _read_state(path, state, check)
            except DamagedError as error:
                damage = str(error)
            damages = [found for found in processes.gather(damage) if found]
            if not damages:
                return step, restored
            _log.warning("%s It is set aside; the next older checkpoint is tried.", damages[0])
            if processes.is_first():
                _set_aside(path)
        if steps:
            raise InputError(f"{self.directory}: every checkpoint is damaged; start anew in another directory.")
        return 0, state

    def close(self) -> None:
        """Wait for the checkpoint that is being written. An error in the background is raised here."""
        with saving(self.directory / str(self._saving)), contextlib.closing(self._checkpointer):
            self._finish()

    def _write_manifest(self) -> None:
        """Write the manifest. Orbax calls this in the background before it gives the checkpoint its name."""
        if processes.is_first():
            (partial,) = self.directory.glob(f"{self._saving}{_PARTIAL}*")
            write_manifest(partial)

    def _finish(self) -> None:
        """Wait until the last checkpoint is whole, then remove the checkpoints that it replaces."""
        self._checkpointer.wait_until_finished()
        self._checkpointer.check_for_errors()
        if processes.is_first():
            steps = _steps(self.directory)
            best = _best(self.directory, steps)
            for step in steps[: -self._keep_last]:
                if step != best:
                    # It is renamed first, lest a kill in between leave half a checkpoint under its name.
                    shutil.rmtree((self.directory / str(step)).rename(self.directory / f"{step}{_PARTIAL}"))


def check_finite(state: Params, step: int) -> None:
    """Raise a NonFiniteError that names the first array of a state with a NaN or an infinite value."""
    flags = trees.flat(jax.device_get(_finite(serialization.to_state_dict(state))))
    wrong = sorted(key for key, finite in flags.items() if not finite)
    if wrong:
        raise NonFiniteError(
            f"{wrong[0]} holds NaN or an infinite value after step {step} (as do {len(wrong) - 1} other arrays); "
            "nothing of it is saved."
        )


@jax.jit
def _finite(tree: Any) -> Any:
    return jax.tree.map(lambda array: jnp.isfinite(array).all(), tree)


def _steps(directory: pathlib.Path) -> list[int]:
    """Return the steps of all whole checkpoints, ascending."""
    return sorted(int(path.name) for path in directory.iterdir() if _STEP.fullmatch(path.name) and path.is_dir())


def _best(directory: pathlib.Path, steps: list[int]) -> int | None:
    """Return the step with the highest merit, and the newest of equals; None if no checkpoint has a merit."""
    merits = {}
    for step in steps:
        try:
            merits[step] = _merit(directory / str(step))
        except DamagedError:
            continue
    return max((step for step in merits if merits[step] is not None), key=lambda s: (merits[s], s), default=None)


def _merit(path: pathlib.Path) -> float | None:
    check_files(path, "config", "metrics")
    scores = _read_scores(path)
    if MERIT in scores or "psnr" not in scores:
        return scores.get(MERIT)
    # Checkpoints of earlier versions record PSNR alone. It cannot judge a GAN, as it falls while the pictures improve.
    return None if _read_json(path, "config").get("stage") == "adversarial" else scores["psnr"]


def _set_aside(path: pathlib.Path) -> None:
    """Give a damaged checkpoint a name by which it is not found again."""
    aside, count = path.with_name(f"{path.name}{DAMAGED}"), 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}{DAMAGED}-{count}")
    path.rename(aside)


def _read_json(path: pathlib.Path, item: str) -> dict[str, Any]:
    value = reading(path, lambda: ocp.JsonCheckpointHandler(_JSON_FILES[item]).restore(path / item))
    numbers = (int, float, type(None))
    if not isinstance(value, dict) or (item == "metrics" and not all(isinstance(v, numbers) for v in value.values())):
        raise DamagedError(f"{path} is damaged (its {item} is not what a run writes).")
    return value


def _read_arrays(path: pathlib.Path, item: str) -> Params:
    """Read the arrays of an item as NumPy arrays, whatever devices they were written from."""
    handler = ocp.PyTreeCheckpointHandler()

    def read() -> Params:
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), handler.metadata(path / item).tree)
        return handler.restore(path / item, args=ocp.args.PyTreeRestore(restore_args=as_numpy))

    return reading(path, read)


def _read_state(path: pathlib.Path, state: Params, check: Callable[[Config, pathlib.Path], object]) -> Params:
    """Read the state of a checkpoint in the form of `state`, as for Checkpoints.restore."""
    check_files(path, "state", "config")
    check(_read_json(path, "config"), path)
    template = serialization.to_state_dict(state)
    stored = reading(path, lambda: ocp.PyTreeCheckpointHandler().metadata(path / "state").tree)
    check_same_arrays(path, stored, template)
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
    restored = reading(
        path, lambda: ocp.StandardCheckpointHandler().restore(path / "state", args=ocp.args.StandardRestore(abstract))
    )
    return serialization.from_state_dict(state, restored)


def find_checkpoints(path: str | pathlib.Path, *, step: int | None = None) -> list[pathlib.Path]:
    """Return the checkpoints that a path stands for, best first. If one is damaged, the next takes its place.

    Args:
      path: one checkpoint, which stands for itself alone; or a run directory. A run directory stands for its best
        checkpoint (its newest, if none was evaluated), and then for the others from the newest on.
      step: the step of the only checkpoint to take from a run directory.

    Raises:
      InputError: the path is neither a run directory nor a checkpoint, or there is no such checkpoint in it.
    """
    path = pathlib.Path(path).absolute()
    if (path / "generator").is_dir():
        if step not in (None, int(path.name) if path.name.isdecimal() else step):
            raise InputError(f"{path} is the checkpoint of step {path.name}, not {step}; name the run directory.")
        return [path]
    if not (path / FOLDER).is_dir():
        raise InputError(f"{path}: neither a run directory nor a checkpoint (no {FOLDER}/ and no generator/ in it).")
    steps = _steps(path / FOLDER)
    if step is not None:
        if step not in steps:
            raise InputError(f"{path / FOLDER}: no checkpoint of step {step}; there are {', '.join(map(str, steps))}.")
        return [path / FOLDER / str(step)]
    if not steps:
        raise InputError(f"{path / FOLDER}: no checkpoint in it yet.")
    best = _best(path / FOLDER, steps)
    first = steps[-1] if best is None else best
    return [path / FOLDER / str(s) for s in (first, *(s for s in reversed(steps) if s != first))]


def read_generator(path: str | pathlib.Path, *, ema: bool = False) -> tuple[Config, Variables]:
    """Read the generator of a checkpoint. The number of devices that wrote the checkpoint does not matter.

    Args:
      path: the checkpoint's directory.
      ema: whether to read the generator's running average instead.

    Returns:
      (the config of the run, {"params": …, "batch_stats": …} as NumPy arrays).

    Raises:
      DamagedError: the checkpoint cannot be read, or its files are not as they were written.
      InputError: `ema` is set, and the run kept no running average.
    """
    path = pathlib.Path(path)
    item = f"{GENERATOR}_ema" if ema else GENERATOR
    if not (path / item).is_dir() and ema:
        raise InputError(f"{path} holds no running average of the generator: it was trained with ema_decay=0.")
    check_files(path, item, "config")
    return _read_json(path, "config"), _read_arrays(path, item)


def read_networks(path: str | pathlib.Path, expected: dict[str, Variables]) -> dict[str, Variables]:
    """Read networks out of the state of a run or checkpoint, such as {"d": variables}, as NumPy arrays.

    Args:
      path: as for find_checkpoints.
      expected: {the network's name in the state: variables with the shapes and dtypes that are needed}.

    Raises:
      InputError: the state lacks a network, or has one with other shapes or dtypes.
    """
    path = find_checkpoints(path)[0]
    check_files(path, "state")
    state = _read_arrays(path, "state")
    networks = {}
    for name, variables in expected.items():
        if name not in state:
            raise InputError(f"{path} has no network {name!r}; it has {', '.join(sorted(state))}.")
        networks[name] = {part: state[name].get(part) or {} for part in variables}
        check_same_arrays(f"{path}, network {name!r},", networks[name], variables)
    return networks


def read_metrics(path: str | pathlib.Path) -> dict[str, float]:
    """Read the scores of a checkpoint, such as {"psnr": 27.2}. The result is {} if the checkpoint was not evaluated."""
    path = pathlib.Path(path)
    check_files(path, "metrics")
    return {name: value for name, value in _read_scores(path).items() if name != MERIT}


def _read_scores(path: pathlib.Path) -> dict[str, float]:
    return _read_json(path, "metrics") if (path / "metrics").is_dir() else {}
