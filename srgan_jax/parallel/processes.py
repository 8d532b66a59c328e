"""Run several processes as one program: join them, divide work among them, and collect what each has found."""

import glob
import importlib.util
import os
import pickle
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from srgan_jax.errors import InputError

# The environment variables in which a launcher tells a process (how many processes there are, which of them this is).
_COUNTED = {
    "Slurm": ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),  # srun sets them; a batch script without srun is one process
    "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
}

HEARTBEAT = 60  # seconds: a process that is silent for so long counts as dead, and all others end


def join(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    heartbeat: int = HEARTBEAT,
) -> None:
    """Join the other processes of this run, if there are any. Call this before JAX computes anything.

    Without arguments, the launcher tells where the others are. A TPU pod slice, Slurm, Open MPI and Kubernetes are such
    launchers. A program that was started by itself stays by itself.

    Args:
      coordinator: the address "HOST:PORT" of process 0, where the launcher does not tell it.
      processes: the number of processes, where the launcher does not tell it.
      process: the number of this process, counted from 0, where the launcher does not tell it.
      heartbeat: seconds of silence after which a process counts as dead.

    Raises:
      InputError: the arguments do not belong together, or JAX cannot find the launcher's coordinator.
    """
    launcher, counted, ranked = _launcher()
    processes, process = (
        given if given is not None else told for given, told in ((processes, counted), (process, ranked))
    )
    if coordinator and (processes is None or process is None):
        raise InputError(
            "coordinator also needs processes and process: how many processes there are, and which of them this is."
        )
    if not coordinator and (processes, process) != (counted, ranked):
        raise InputError("processes and process also need coordinator: the address HOST:PORT of process 0.")
    if not coordinator and not launcher:
        return
    if process is not None and not 0 <= process < processes:
        raise InputError(f"process must be from 0 to {processes - 1}, one less than processes, got {process}.")
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            heartbeat_timeout_seconds=heartbeat,
            shutdown_timeout_seconds=heartbeat,
        )
    except ValueError as error:
        raise InputError(
            f"{launcher or 'the caller'} asks for several processes, but JAX cannot join them ({error}). Give each "
            "process all three of coordinator (HOST:PORT), processes and process; see docs/launching.md."
        ) from None


def _launcher() -> tuple[str | None, int | None, int | None]:
    """Return (the launcher's name, the number of processes, the number of this one), with None for what is unknown."""
    for name, (count, rank) in _COUNTED.items():
        if int(os.environ.get(count, 1)) > 1 and rank in os.environ:
            return name, int(os.environ[count]), int(os.environ[rank])
    if "KUBERNETES_SERVICE_HOST" in os.environ and "JOB_COMPLETION_INDEX" in os.environ:
        return "Kubernetes", None, None  # This is an indexed job; JAX asks Kubernetes for the rest.
    if importlib.util.find_spec("libtpu") and (glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")):
        return "TPU", None, None  # JAX asks the machine. A slice of one host has one process.
    return None, None, None


def is_first() -> bool:
    """Say whether this is process 0, which prints, and writes what only one process may write."""
    return jax.process_index() == 0


def share(items: Sequence[Any]) -> Sequence[Any]:
    """Return this process's part of some work. Every item is in the part of exactly one process."""
    return items[jax.process_index() :: jax.process_count()]


def gather(value: Any) -> list[Any]:
    """Collect one value of every process; all processes must call this and get the whole list.

    Args:
      value: what this process contributes; pickle must be able to store it.

    Returns:
      The values of all processes, in the order of the processes' numbers.
    """
    if jax.process_count() == 1:
        return [value]
    data = np.frombuffer(pickle.dumps(value), np.uint8)
    sizes = multihost_utils.process_allgather(np.array(data.size)).ravel()
    rows = multihost_utils.process_allgather(np.pad(data, (0, sizes.max() - data.size)))
    return [pickle.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]
