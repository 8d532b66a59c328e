"""Checkpoints of training runs; the only importer of orbax.

A run directory holds `checkpoints/STEP/`, each with
  state      everything that training needs to go on
  generator  parameters and BatchNorm statistics of G alone
  generator_ema  their running average, where the run keeps one (config.ema_decay)
  config     the run's config, so that a checkpoint can be used by itself
  metrics    what the checkpoint scored, where it was evaluated
  digests    SHA-256 of every array, of the config and of the metrics

Orbax gives a checkpoint its name once all of it is written. The digests are compared with what was read, so that
damage that orbax does not notice is found: a damaged checkpoint is named, and the next older one is taken.
"""

import logging
import pathlib
import shutil
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization
from jax.experimental import multihost_utils

from srgan_jax import digests, processes
from srgan_jax.errors import InputError, NonFiniteError
from srgan_jax.state import variables_of

FOLDER = "checkpoints"
METRIC = "psnr"  # by which the best checkpoint is chosen; the higher the better
DAMAGED = ".damaged"  # after the step of a checkpoint that was set aside

# The file that orbax writes each JSON item to.
_JSON_FILES = {"config": "metadata", "metrics": "metrics", "digests": "metadata"}

_log = logging.getLogger("srgan_jax")


class DamagedError(InputError):
    """A checkpoint that cannot be read, or whose contents are not those that were written."""


class Checkpoints:
    """The checkpoints of one run: the last `keep_last` and, by METRIC, the best are kept."""

    def __init__(self, workdir, *, keep_last: int = 3):
        self.directory = pathlib.Path(workdir).absolute() / FOLDER
        self._keep_last = max(1, keep_last)
        if processes.is_first():
            self.directory.mkdir(parents=True, exist_ok=True)
            for leftover in self.directory.glob("*.orbax-checkpoint-tmp*"):  # of a process that was killed
                shutil.rmtree(leftover)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("checkpoints: opened")
        handlers = {item: ocp.JsonCheckpointHandler(file) for item, file in _JSON_FILES.items()}
        handlers |= {item: ocp.StandardCheckpointHandler() for item in ("state", "generator", "generator_ema")}
        self._checkpointer = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler(**handlers))

    def save(self, step: int, state: dict, config: dict, *, psnr: float | None = None) -> None:
        """Save in the background; the arrays are copied before this returns, so they may be donated after.

        Raises:
          NonFiniteError: an array of the state holds NaN or an infinite value; nothing is saved then.
        """
        check_finite(state, step)
        self._finish()
        arrays = {"state": serialization.to_state_dict(state), "generator": variables_of(state["g"])}
        if "g_ema" in state:
            arrays["generator_ema"] = state["g_ema"]
        texts = {"config": config} | ({} if psnr is None else {"metrics": {METRIC: psnr}})
        written = {item: digests.of_each(_on_host(tree)) for item, tree in arrays.items()}
        written |= {item: digests.of_json(value) for item, value in texts.items()}
        texts["digests"] = {"items": written, "sha256": digests.of_json(written)}
        self._checkpointer.save(
            self.directory / str(step),
            args=ocp.args.Composite(
                **{item: ocp.args.StandardSave(tree) for item, tree in arrays.items()},
                **{item: ocp.args.JsonSave(value) for item, value in texts.items()},
            ),
        )

    def restore(self, state: dict, *, check: Callable[[dict], object] = lambda config: None) -> tuple[int, dict]:
        """The newest sound checkpoint, in the form and with the placement of `state`.

        A damaged one is named in a warning and set aside as STEP.damaged.

        Args:
          state: what the run starts with.
          check: called with the checkpoint's config, before its arrays are compared with those of `state`.

        Returns:
          (its step, its state); (0, `state`) where the run has no checkpoint yet.

        Raises:
          InputError: its arrays are not those of `state` (the message names the first that differs), or there are
            checkpoints but all are damaged.
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
        """Wait for what is being written; raises what went wrong in the background."""
        try:
            self._finish()
        finally:
            self._checkpointer.close()

    def _finish(self) -> None:
        """Wait until the last checkpoint is whole, then remove those that it replaces."""
        self._checkpointer.wait_until_finished()
        self._checkpointer.check_for_errors()
        if processes.is_first():
            steps = _steps(self.directory)
            best = _best(self.directory, steps)
            for step in steps[: -self._keep_last]:
                if step != best:
                    # Renamed first: a kill in between must not leave half a checkpoint under its name.
                    shutil.rmtree((self.directory / str(step)).rename(self.directory / f"{step}.orbax-checkpoint-tmp"))


def check_finite(state: dict, step: int) -> None:
    """Raise a NonFiniteError that names the first array which holds NaN or an infinite value."""
    flags = digests.flat(jax.device_get(_finite(serialization.to_state_dict(state))))
    wrong = sorted(key for key, finite in flags.items() if not finite)
    if wrong:
        raise NonFiniteError(
            f"{wrong[0]} holds NaN or an infinite value after step {step} (as do {len(wrong) - 1} other arrays); "
            "nothing of it is saved."
        )


@jax.jit
def _finite(tree):
    return jax.tree.map(lambda array: jnp.isfinite(array).all(), tree)


def _on_host(tree):
    """Arrays that every device has a copy of, as NumPy arrays."""
    return jax.device_get(
        jax.tree.map(lambda array: array.addressable_data(0) if isinstance(array, jax.Array) else array, tree)
    )


def _steps(directory: pathlib.Path) -> list[int]:
    """The steps of all whole checkpoints, ascending."""
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdecimal() and path.is_dir())


def _best(directory: pathlib.Path, steps: list[int]) -> int | None:
    """The step with the highest METRIC, the newest of equals; None if no sound checkpoint was evaluated."""
    scores = {}
    for step in steps:
        try:
            scores[step] = read_metrics(directory / str(step)).get(METRIC)
        except DamagedError:
            continue
    return max((step for step in scores if scores[step] is not None), key=lambda s: (scores[s], s), default=None)


def _set_aside(path: pathlib.Path) -> None:
    aside, count = path.with_name(f"{path.name}{DAMAGED}"), 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}{DAMAGED}-{count}")
    path.rename(aside)


def _damaged(path, reason) -> DamagedError:
    return DamagedError(f"{path} is damaged ({' '.join(str(reason).split())[:200]}).")


def _reading(path, read: Callable):
    """`read()`, in which whatever orbax raises on damaged files becomes a DamagedError."""
    try:
        return read()
    except InputError:
        raise
    except Exception as error:  # tensorstore, JSON and orbax raise nearly any type
        raise _damaged(path, error or type(error).__name__) from None


def _read_digests(path: pathlib.Path) -> dict | None:
    """{item: {array: SHA-256}, or for JSON its SHA-256}; None for a checkpoint of a version that wrote none."""
    if not (path / "digests").is_dir():
        return None
    written = _reading(path, lambda: ocp.JsonCheckpointHandler().restore(path / "digests"))
    if not isinstance(written, dict) or written.get("sha256") != digests.of_json(written.get("items")):
        raise _damaged(path, "its digests are not as they were written")
    return written["items"]


def _read_json(path: pathlib.Path, item: str, written: dict | None) -> dict:
    value = _reading(path, lambda: ocp.JsonCheckpointHandler(_JSON_FILES[item]).restore(path / item))
    if not isinstance(value, dict) or (written is not None and digests.of_json(value) != written.get(item)):
        raise _damaged(path, f"{item} is not as it was written")
    return value


def _check_digests(path: pathlib.Path, item: str, tree: dict, written: dict | None) -> None:
    if written is None:
        return
    found, expected = digests.of_each(tree), written.get(item, {})
    for key in sorted(found.keys() | expected.keys()):
        if found.get(key) != expected.get(key):
            raise _damaged(path, f"{item}: {key} is not as it was written")


def _read_state(path: pathlib.Path, state: dict, check: Callable[[dict], object]) -> dict:
    """The state in a checkpoint, in the form of `state`; see Checkpoints.restore."""
    written = _read_digests(path)
    check(_read_json(path, "config", written))
    template = serialization.to_state_dict(state)
    stored = _reading(path, lambda: ocp.PyTreeCheckpointHandler().metadata(path / "state").tree)
    if written is not None and digests.flat(stored).keys() != written["state"].keys():
        raise _damaged(path, "its list of arrays is not as it was written")
    check_same_arrays(path, stored, template)
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
    restored = _reading(
        path, lambda: ocp.StandardCheckpointHandler().restore(path / "state", args=ocp.args.StandardRestore(abstract))
    )
    _check_digests(path, "state", _on_host(restored), written)
    return serialization.from_state_dict(state, restored)


def check_same_arrays(path, stored, expected) -> None:
    """Raise an InputError that names the first array in which two trees (of arrays or metadata) differ."""
    stored, expected = (
        {key: f"{tuple(array.shape)} {array.dtype}" for key, array in digests.flat(tree).items()}
        for tree in (stored, expected)
    )
    for key in sorted(stored.keys() | expected.keys()):
        has, wanted = (arrays.get(key, "no such array") for arrays in (stored, expected))
        if has != wanted:
            raise InputError(
                f"{path} holds another network: {key} is {has} there, but {wanted} is expected; "
                "take the config that it was made with, or another directory."
            )


def find_checkpoints(path, *, step: int | None = None) -> list[pathlib.Path]:
    """The checkpoints that a path stands for, the one to take first; the others take its place if it is damaged.

    Args:
      path: a run directory: its best checkpoint, or the newest where none was evaluated, then the others from the
        newest on; or one checkpoint, which stands for itself alone.
      step: of a run directory, the only checkpoint to take.
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


def read_generator(path, *, ema: bool = False) -> tuple[dict, dict]:
    """Read a checkpoint directory -> (its config, {"params": …, "batch_stats": …} as NumPy arrays).

    It does not matter on how many devices the checkpoint was written. `ema` takes G's running average.

    Raises:
      DamagedError: it cannot be read, or not all of it is as it was written.
      InputError: `ema`, and the run kept no running average.
    """
    path = pathlib.Path(path)
    item = "generator_ema" if ema else "generator"
    written = _read_digests(path)
    if item not in written if written is not None else not (path / item).is_dir():
        raise InputError(f"{path} holds no running average of the generator: it was trained with ema_decay=0.")
    config = _read_json(path, "config", written)
    handler = ocp.PyTreeCheckpointHandler()

    def read():
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), handler.metadata(path / item).tree)
        return handler.restore(path / item, args=ocp.args.PyTreeRestore(restore_args=as_numpy))

    variables = _reading(path, read)
    _check_digests(path, item, variables, written)
    return config, variables


def read_metrics(path) -> dict[str, float]:
    """What a checkpoint scored when it was saved, such as {"psnr": 27.2}; {} if it was not evaluated."""
    path = pathlib.Path(path)
    written = _read_digests(path)
    evaluated = "metrics" in written if written is not None else (path / "metrics").is_dir()
    return _read_json(path, "metrics", written) if evaluated else {}
