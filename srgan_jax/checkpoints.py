"""Checkpoints of training runs; the only importer of orbax.

A run directory holds `checkpoints/STEP/`, each with
  state      everything that training needs to go on
  generator  parameters and BatchNorm statistics of G alone
  generator_ema  their running average, where the run keeps one (config.ema_decay)
  config     the run's config, so that a checkpoint can be used by itself
"""

import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization, traverse_util

from srgan_jax.errors import InputError
from srgan_jax.state import variables_of

FOLDER = "checkpoints"


def _flat(tree) -> dict[str, Any]:
    return traverse_util.flatten_dict(tree, sep="/")


class Checkpoints:
    """The checkpoints of one run: the last `keep_last` and, by `psnr`, the best are kept."""

    def __init__(self, workdir, *, keep_last: int = 3):
        policies, by_psnr = ocp.checkpoint_managers, lambda metrics: metrics["psnr"]
        self.directory = pathlib.Path(workdir).absolute() / FOLDER
        best = policies.BestN(get_metric_fn=by_psnr, n=1, keep_checkpoints_without_metrics=False)
        self._manager = ocp.CheckpointManager(
            self.directory,
            item_names=("state", "generator", "generator_ema", "config"),
            options=ocp.CheckpointManagerOptions(
                best_fn=by_psnr,  # without it, metrics are not written
                preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(max(1, keep_last)), best]),
                cleanup_tmp_directories=True,
            ),
        )

    def latest_step(self) -> int | None:
        """The newest whole checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: dict, config: dict, *, psnr: float | None = None) -> None:
        """Save in the background; the arrays are copied before this returns, so they may be donated after."""
        generators = {"generator": variables_of(state["g"])}
        if "g_ema" in state:
            generators["generator_ema"] = state["g_ema"]
        saved = self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(serialization.to_state_dict(state)),
                config=ocp.args.JsonSave(config),
                **{name: ocp.args.StandardSave(variables) for name, variables in generators.items()},
            ),
            metrics=None if psnr is None else {"psnr": psnr},
            force=True,
        )
        if not saved:
            raise RuntimeError(f"{self.directory}: checkpoint {step} was not saved.")

    def config(self) -> dict:
        """The config that the newest checkpoint was made with."""
        config = ocp.args.Composite(config=ocp.args.JsonRestore())
        return self._manager.restore(self.latest_step(), args=config)["config"]

    def restore(self, state: dict) -> dict:
        """The newest checkpoint, in the form and with the placement of `state`.

        Raises:
          InputError: its arrays are not those of `state`; the message names the first that differs.
        """
        step = self.latest_step()
        template = serialization.to_state_dict(state)
        path = self.directory / str(step)
        # The manager's own item_metadata() knows nothing of what another process saved.
        check_same_arrays(path, ocp.PyTreeCheckpointHandler().metadata(path / "state").tree, template)
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        restored = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract)))
        return serialization.from_state_dict(state, restored["state"])

    def close(self) -> None:
        """Wait for what is being written; raises what went wrong in the background."""
        self._manager.wait_until_finished()
        self._manager.check_for_errors()
        self._manager.close()


def check_same_arrays(path, stored, expected) -> None:
    """Raise an InputError that names the first array in which two trees (of arrays or metadata) differ."""
    stored, expected = (
        {key: f"{tuple(array.shape)} {array.dtype}" for key, array in _flat(tree).items()}
        for tree in (stored, expected)
    )
    for key in sorted(stored.keys() | expected.keys()):
        has, wanted = (arrays.get(key, "no such array") for arrays in (stored, expected))
        if has != wanted:
            raise InputError(
                f"{path} holds another network: {key} is {has} there, but {wanted} is expected; "
                "take the config that it was made with, or another directory."
            )


def find_checkpoint(path, *, step: int | None = None) -> pathlib.Path:
    """A run directory -> its checkpoint of `step`, or the best, or the last if none was evaluated; one -> itself."""
    path = pathlib.Path(path).absolute()
    if (path / "generator").is_dir():
        if step not in (None, int(path.name)):
            raise InputError(f"{path} is the checkpoint of step {path.name}, not {step}; name the run directory.")
        return path
    if not (path / FOLDER).is_dir():
        raise InputError(f"{path}: neither a run directory nor a checkpoint (no {FOLDER}/ and no generator/ in it).")
    options = ocp.CheckpointManagerOptions(
        best_fn=lambda metrics: metrics["psnr"], create=False, save_root_metadata=False
    )
    with ocp.CheckpointManager(path / FOLDER, options=options) as manager:
        steps = manager.all_steps()
        if step is not None and step not in steps:
            raise InputError(f"{path / FOLDER}: no checkpoint of step {step}; there are {', '.join(map(str, steps))}.")
        if step is None:
            step = manager.best_step() if manager.best_step() is not None else manager.latest_step()
    if step is None:
        raise InputError(f"{path / FOLDER}: no checkpoint in it yet.")
    return path / FOLDER / str(step)


def read_generator(path, *, ema: bool = False) -> tuple[dict, dict]:
    """Read a checkpoint directory -> (its config, {"params": …, "batch_stats": …} as NumPy arrays).

    It does not matter on how many devices the checkpoint was written. `ema` takes G's running average; an InputError
    says that the run kept none.
    """
    path = pathlib.Path(path)
    item = path / ("generator_ema" if ema else "generator")
    if not item.is_dir():
        raise InputError(f"{path} holds no running average of the generator: it was trained with ema_decay=0.")
    config = ocp.JsonCheckpointHandler().restore(path / "config")
    handler = ocp.PyTreeCheckpointHandler()
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), handler.metadata(item).tree)
    return config, handler.restore(item, args=ocp.args.PyTreeRestore(restore_args=as_numpy))


def read_metrics(path) -> dict[str, float]:
    """What a checkpoint scored when it was saved, such as {"psnr": 27.2}; {} if it was not evaluated."""
    path = pathlib.Path(path) / "metrics"
    return ocp.JsonCheckpointHandler("metrics").restore(path) if path.is_dir() else {}
