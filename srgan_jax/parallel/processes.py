"""Several processes as one program: joining them, dividing work among them, and collecting what each has found."""

import glob
import importlib.util
import os
import pickle
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

from srgan_jax.errors import InputError

# What launchers tell every process of its number: (how many there are, which of them this is).
_COUNTED = {
    "Slurm": ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),  # of srun; a batch script by itself is one process
    "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
}

HEARTBEAT = 60  # seconds of silence after which a process is taken for dead, and all others end


def join(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    heartbeat: int = HEARTBEAT,
) -> None:
    """Join the other processes of this run, if there are any. Must come before JAX computes anything.

    Without arguments they are found as the launcher tells: a TPU pod slice, Slurm, Open MPI, or Kubernetes. A program
    that was started by itself stays by itself.

    Args:
      coordinator: "HOST:PORT" of process 0, where the launcher does not tell it.
      processes: how many there are.
      process: which of them this is, from 0.
      heartbeat: seconds of silence after which a process is taken for dead.

    Raises:
      InputError: arguments that do not belong together, or a launcher whose coordinator JAX cannot find.
    """
    launcher, counted, ranked = _launcher()
    processes, process = (
        given if given is not None else told for given, told in ((processes, counted), (process, ranked))
    )
    if coordinator and (processes is None or process is None):
        raise InputError("--coordinator also needs --processes and --process: how many there are, and which this is.")
    if not coordinator and (processes, process) != (counted, ranked):
        raise InputError("--processes and --process also need --coordinator: HOST:PORT of process 0.")
    if not coordinator and not launcher:
        return
    if process is not None and not 0 <= process < processes:
        raise InputError(f"--process must be from 0 to {processes - 1}, one less than --processes, got {process}.")
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
            f"{launcher or 'the command line'} asks for several processes, but JAX cannot join them ({error}). "
            "Give each --coordinator HOST:PORT --processes N --process I; see docs/launching.md."
        ) from None


def _launcher() -> tuple[str | None, int | None, int | None]:
    """(the launcher of several processes, how many it started, which of them this is); None for what is not known."""
    for name, (count, rank) in _COUNTED.items():
        if int(os.environ.get(count, 1)) > 1 and rank in os.environ:
            return name, int(os.environ[count]), int(os.environ[rank])
    if "KUBERNETES_SERVICE_HOST" in os.environ and "JOB_COMPLETION_INDEX" in os.environ:
        return "Kubernetes", None, None  # an indexed job; JAX asks Kubernetes for the rest
    if importlib.util.find_spec("libtpu") and (glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")):
        return "TPU", None, None  # JAX asks the machine; a slice of one host has one process
    return None, None, None


def is_first() -> bool:
    """Is this the process that prints, and writes what only one may write?"""
    return jax.process_index() == 0


def share(items: Sequence) -> Sequence:
    """This process's part of some work; the parts of all processes are all of it."""
    return items[jax.process_index() :: jax.process_count()]


def gather(value) -> list:
    """One value of every process, in their order, on all of them. Any value that pickle takes."""
    if jax.process_count() == 1:
        return [value]
    data = np.frombuffer(pickle.dumps(value), np.uint8)
    sizes = multihost_utils.process_allgather(np.array(data.size)).ravel()
    rows = multihost_utils.process_allgather(np.pad(data, (0, sizes.max() - data.size)))
    return [pickle.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]
