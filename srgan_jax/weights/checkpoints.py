"""Checkpoints of training runs; the only importer of orbax.

A run directory holds `checkpoints/STEP/`, each with
  state      everything that training needs to go on
  generator  parameters and BatchNorm statistics of the generator alone; generator_NAME of another one that the stage
             exports, such as generator_ema, the running average
  config     the run's config, so that a checkpoint can be used by itself
  metrics    what the checkpoint scored, where it was evaluated
  manifest.json  SHA-256 of every file of the checkpoint

The manifest is written last, and then orbax gives the checkpoint its name. It is compared with the files before orbax
reads them, so that damage that orbax would not notice is found: a damaged checkpoint is named, and the next older one
is taken.
"""

import json
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

from srgan_jax import digests
from srgan_jax.errors import InputError, NonFiniteError
from srgan_jax.files import replace_text
from srgan_jax.parallel import processes
from srgan_jax.types import Variables

FOLDER = "checkpoints"
GENERATOR = "generator"  # the item of the generator that is trained; others are its variants, such as generator_ema
MERIT = "merit"  # beside the scores of a checkpoint: what the best one has most of
DAMAGED = ".damaged"  # after the step of a checkpoint that was set aside

# The file that orbax writes each JSON item to.
_JSON_FILES = {"config": "metadata", "metrics": "metrics"}
MANIFEST = "manifest.json"
_PARTIAL = ".orbax-checkpoint-tmp"  # after the step of a checkpoint that is being written

_log = logging.getLogger("srgan_jax")


class DamagedError(InputError):
    """A checkpoint that cannot be read, or whose contents are not those that were written."""


class Checkpoints:
    """The checkpoints of one run: the last `keep_last` are kept, and the one with the most merit."""

    def __init__(self, workdir, *, keep_last: int = 3):
        self.directory = pathlib.Path(workdir).absolute() / FOLDER
        self._keep_last = max(1, keep_last)
        if processes.is_first():
            self.directory.mkdir(parents=True, exist_ok=True)
            for leftover in self.directory.glob(f"*{_PARTIAL}*"):  # of a process that was killed
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
        self._saving: int | None = None  # the step

    def save(
        self,
        step: int,
        state: dict,
        config: dict,
        *,
        generators: dict[str, Variables],
        scores: dict[str, float] | None = None,
        merit: float | None = None,
    ) -> None:
        """Save in the background; the arrays are copied before this returns, so they may be donated after.

        Args:
          step: updates that have been made.
          state: of the stage, everything that it needs to go on.
          config: of the run; JSON.
          generators: what the stage exports, see stages.Stage.
          scores: {metric: value}, where the state was evaluated.
          merit: what the best checkpoint has most of; None where none is to be better than the newest.

        Raises:
          NonFiniteError: an array of the state holds NaN or an infinite value; nothing is saved then.
        """
        check_finite(state, step)
        self._finish()
        arrays = {"state": serialization.to_state_dict(state)} | generators
        scores = (scores or {}) | ({} if merit is None else {MERIT: merit})
        texts = {"config": config} | ({"metrics": scores} if scores else {})
        self._saving = step
        self._checkpointer.save(
            self.directory / str(step),
            args=ocp.args.Composite(
                **{item: ocp.args.StandardSave(tree) for item, tree in arrays.items()},
                **{item: ocp.args.JsonSave(value) for item, value in texts.items()},
            ),
        )

    def restore(
        self, state: dict, *, check: Callable[[dict, pathlib.Path], object] = lambda config, path: None
    ) -> tuple[int, dict]:
        """The newest sound checkpoint, in the form and with the placement of `state`.

        A damaged one is named in a warning and set aside as STEP.damaged.

        Args:
          state: what the run starts with.
          check: called with the checkpoint's config and path, before its arrays are compared with those of `state`.

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

    def _write_manifest(self) -> None:
        """Called in the background once everything is written, before the checkpoint gets its name."""
        if processes.is_first():
            (partial,) = self.directory.glob(f"{self._saving}{_PARTIAL}*")
            files = {
                file.relative_to(partial).as_posix(): digests.of_file(file)
                for file in partial.glob("*/**/*")
                if file.is_file()
            }
            manifest = {"files": files, "sha256": digests.of_json(files)}
            replace_text(partial / MANIFEST, json.dumps(manifest, indent=1) + "\n")

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
                    shutil.rmtree((self.directory / str(step)).rename(self.directory / f"{step}{_PARTIAL}"))


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


def _steps(directory: pathlib.Path) -> list[int]:
    """The steps of all whole checkpoints, ascending."""
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdecimal() and path.is_dir())


def _best(directory: pathlib.Path, steps: list[int]) -> int | None:
    """The step whose checkpoint has the most merit, the newest of equals; None if none has any."""
    merits = {}
    for step in steps:
        try:
            merits[step] = _merit(directory / str(step))
        except DamagedError:
            continue
    return max((step for step in merits if merits[step] is not None), key=lambda s: (merits[s], s), default=None)


def _merit(path: pathlib.Path) -> float | None:
    _check_files(path, "config", "metrics")
    scores = _read_scores(path)
    if MERIT in scores or "psnr" not in scores:
        return scores.get(MERIT)
    # Checkpoints of earlier versions record PSNR alone, which says nothing of a GAN: it falls as the pictures improve.
    return None if _read_json(path, "config").get("stage") == "adversarial" else scores["psnr"]


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


def _check_files(path: pathlib.Path, *items: str) -> None:
    """Raise a DamagedError unless the files of these items are as they were written.

    There is nothing to compare with in checkpoints of earlier versions, which have no manifest.
    """
    if not (path / MANIFEST).is_file():
        return
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        files = manifest["files"]
        sound = manifest["sha256"] == digests.of_json(files)
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise _damaged(path, f"{MANIFEST} is not as it was written")
    for name, sha256 in files.items():
        if name.split("/")[0] in items and not ((path / name).is_file() and digests.of_file(path / name) == sha256):
            raise _damaged(path, f"{name} is not as it was written")


def _read_json(path: pathlib.Path, item: str) -> dict:
    return _reading(path, lambda: ocp.JsonCheckpointHandler(_JSON_FILES[item]).restore(path / item))


def _read_arrays(path: pathlib.Path, item: str) -> dict:
    """An item of arrays as NumPy arrays, whatever devices it was written on."""
    handler = ocp.PyTreeCheckpointHandler()

    def read():
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), handler.metadata(path / item).tree)
        return handler.restore(path / item, args=ocp.args.PyTreeRestore(restore_args=as_numpy))

    return _reading(path, read)


def _read_state(path: pathlib.Path, state: dict, check: Callable[[dict, pathlib.Path], object]) -> dict:
    """The state in a checkpoint, in the form of `state`; see Checkpoints.restore."""
    _check_files(path, "state", "config")
    check(_read_json(path, "config"), path)
    template = serialization.to_state_dict(state)
    check_same_arrays(
        path, _reading(path, lambda: ocp.PyTreeCheckpointHandler().metadata(path / "state").tree), template
    )
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
    restored = _reading(
        path, lambda: ocp.StandardCheckpointHandler().restore(path / "state", args=ocp.args.StandardRestore(abstract))
    )
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

    It does not matter on how many devices the checkpoint was written. `ema` takes the generator's running average.

    Raises:
      DamagedError: it cannot be read, or not all of it is as it was written.
      InputError: `ema`, and the run kept no running average.
    """
    path = pathlib.Path(path)
    item = f"{GENERATOR}_ema" if ema else GENERATOR
    if not (path / item).is_dir() and ema:
        raise InputError(f"{path} holds no running average of the generator: it was trained with ema_decay=0.")
    _check_files(path, item, "config")
    return _read_json(path, "config"), _read_arrays(path, item)


def read_networks(path, expected: dict[str, Variables]) -> dict[str, Variables]:
    """Networks out of the state of a run or checkpoint, such as {"d": variables}, as NumPy arrays.

    Args:
      path: see find_checkpoints.
      expected: {name in the state: arrays of the shapes that are needed}.

    Raises:
      InputError: the state has no such network, or one of another shape.
    """
    path = find_checkpoints(path)[0]
    _check_files(path, "state")
    state = _read_arrays(path, "state")
    networks = {}
    for name, variables in expected.items():
        if name not in state:
            raise InputError(f"{path} has no network {name!r}; it has {', '.join(sorted(state))}.")
        networks[name] = {part: state[name].get(part) or {} for part in variables}
        check_same_arrays(f"{path}, network {name!r},", networks[name], variables)
    return networks


def read_metrics(path) -> dict[str, float]:
    """What a checkpoint scored when it was saved, such as {"psnr": 27.2}; {} if it was not evaluated."""
    path = pathlib.Path(path)
    _check_files(path, "metrics")
    return {name: value for name, value in _read_scores(path).items() if name != MERIT}


def _read_scores(path: pathlib.Path) -> dict[str, float]:
    return _read_json(path, "metrics") if (path / "metrics").is_dir() else {}
