"""Threads that make batches ahead of time."""

import collections
import concurrent.futures
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from srgan_jax.data.loader import CropLoader
from srgan_jax.errors import printable

_log = logging.getLogger("srgan_jax")

POLL = 0.5  # seconds between two looks at a batch that is late
GRACE = 2.0  # seconds that batches under way are given at the end
PATIENCE = 30.0  # seconds until a warning names the pictures that a late batch waits for


def prefetch(
    loader: CropLoader,
    start: int,
    stop: int,
    *,
    shard: tuple[int, int] = (0, 1),
    workers: int = 2,
    depth: int = 4,
    place: Callable[[dict[str, np.ndarray], int], Any] = lambda batch, step: batch,
    interrupted: Callable[[int], object] = lambda step: None,
) -> Iterator[tuple[int, Any, float]]:
    """Yield (step, placed batch, seconds waited for it) for start <= step < stop. Threads make the batches ahead.

    An error in a thread is raised at its step. Close the generator to stop the threads before its end.

    Args:
      loader: what makes the batches.
      start: the first step.
      stop: the step after the last one.
      shard: as for CropLoader.batch.
      workers: the number of threads, at least one. Reading and decoding release Python's lock.
      depth: how many batches may be under way or ready, at least one.
      place: makes what is yielded, out of a batch and its step. It is called in a thread, so that batches are copied to
        the devices while these are computing.
      interrupted: called with the step again and again while a batch is late. If the answer is true, the batch that is
        yielded is None, and nothing follows.
    """

    def make(step: int) -> Any:
        return place(loader.batch(step, shard=shard), step)

    def wait(step: int, future: concurrent.futures.Future) -> Any:
        begin, named = time.perf_counter(), False
        while True:
            try:
                return future.result(timeout=POLL)
            except concurrent.futures.TimeoutError:
                if future.done():  # The worker itself raised an error of that type.
                    raise
            if interrupted(step):
                return None
            waited = time.perf_counter() - begin
            if waited > PATIENCE and not named:
                named = True
                reading = ", ".join(map(printable, loader.reading.values())) or "no picture"
                _log.warning("waiting for training pictures for %.0f s; being read: %s", waited, reading)

    workers, depth = max(workers, 1), max(depth, 1)
    pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="srgan-data")
    late, ahead = False, collections.deque()
    try:
        ahead = collections.deque(pool.submit(make, step) for step in range(start, min(start + depth, stop)))
        for step in range(start, stop):
            begin = time.perf_counter()
            batch = wait(step, ahead.popleft())
            waited = time.perf_counter() - begin
            if step + depth < stop:
                ahead.append(pool.submit(make, step + depth))
            late = batch is None
            yield step, batch, waited
            if late:
                return
    finally:
        # A picture that never arrives must not keep the program from ending, also where it belongs to a later step.
        pool.shutdown(wait=False, cancel_futures=True)
        running = [future for future in ahead if future.running()]
        stuck = late or concurrent.futures.wait(running, timeout=GRACE).not_done
        pool.shutdown(wait=not stuck)
