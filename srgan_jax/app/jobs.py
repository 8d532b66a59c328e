"""Work in a thread of its own, which can be watched while it goes on, and cancelled between two tiles."""

import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

Result = TypeVar("Result")

EVERY = 0.5  # seconds between two looks at a job


class CancelledError(Exception):
    """Somebody has cancelled the job."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
      share: of the work that is done, 0 to 1.
      elapsed: seconds since the job began.
      left: seconds until all tiles are computed, as far as this is known; else None.
      cancelled: whether the job will end at its next tile.
    """

    share: float
    elapsed: float
    left: float | None
    cancelled: bool


class Job(Generic[Result]):
    """A function that runs in a thread and reports to the job.

    Args:
      work: called with the job; it sets `total`, calls `advance` after each tile, and returns the result.
      pace: seconds for a unit of the work, if they are known from earlier jobs.
      clock: gives the time in seconds.
    """

    def __init__(
        self,
        work: Callable[["Job"], Result],
        *,
        pace: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.total = 0.0  # units of work, such as pixels
        self.pace = pace
        self._work, self._clock = work, clock
        self._start = clock()
        self._done, self._first, self._last = 0.0, None, self._start  # units; (time, units) of the first tile
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Let the job end at its next tile. This is done at once, from any thread, also if the job has ended."""
        self._cancelled.set()

    def check(self) -> None:
        """Raise a CancelledError if somebody has cancelled the job."""
        if self._cancelled.is_set():
            raise CancelledError

    def advance(self, units: float) -> None:
        """Note that a further tile of so many units is done.

        Raises:
          CancelledError: somebody has cancelled the job.
        """
        self._done, self._last = self._done + units, self._clock()
        if self._first is None:
            self._first = (self._last, self._done)
        elif self._last > self._first[0]:  # The first tile takes longer, as the network is compiled for it.
            self.pace = (self._last - self._first[0]) / (self._done - self._first[1])
        if self.pace is None:
            self.pace = (self._last - self._start) / self._done
        self.check()

    def progress(self) -> Progress:
        """Say how far the job is."""
        now = self._clock()
        left = None
        if self.pace is not None and self.total:
            left = max(0.0, self.pace * (self.total - self._done) - (now - self._last))
        share = min(1.0, self._done / self.total) if self.total else 0.0
        return Progress(share, now - self._start, left, self._cancelled.is_set())

    def watch(self, every: float = EVERY) -> Iterator[Progress | Result]:
        """Run the job. Yields its progress every so many seconds, and at the end the result of the work.

        If the caller stops watching, as a closed page does, the job is cancelled.

        Raises:
          CancelledError: the job was cancelled.
          Exception: whatever the work raised.
        """
        pool = concurrent.futures.ThreadPoolExecutor(1, "srgan-app")
        running = pool.submit(self._work, self)
        try:
            while not concurrent.futures.wait([running], timeout=every).done:
                yield self.progress()
            yield running.result()
        finally:
            self.cancel()
            pool.shutdown(wait=False)  # the thread ends at its next tile, and nobody waits for it


class Sessions:
    """The jobs of the pages that are open. The server lets one job run at a time; the others wait.

    What kind of work a job does is anything that can be the key of a dictionary. Jobs of one kind have about one pace.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job | None] = {}  # of each page with a job, or None while the job waits
        self._paces: dict[Hashable, float] = {}  # seconds for a unit of work, by kind

    def expect(self, page: str) -> None:
        """Note that a page is about to start a job."""
        with self._lock:
            self._jobs[page] = None

    def cancel(self, page: str) -> None:
        """Cancel the job of a page, also one that waits."""
        with self._lock:
            if job := self._jobs.pop(page, None):
                job.cancel()

    def run(self, page: str, kind: Hashable, work: Callable[[Job[Result]], Result]) -> Iterator[Progress | Result]:
        """Run the job that a page has announced by `expect`; yields and raises what Job.watch does."""
        job = Job(work, pace=self._paces.get(kind))
        with self._lock:
            if page not in self._jobs:  # it was cancelled while it waited
                raise CancelledError
            self._jobs[page] = job
        try:
            yield from job.watch()
            self._paces[kind] = job.pace
        finally:
            self.cancel(page)

    def cancel_all(self) -> None:
        """Cancel the jobs of all pages, because the server ends."""
        for page in list(self._jobs):
            self.cancel(page)

    def forecast(self, kind: Hashable, units: float) -> float | None:
        """Return the seconds that so many units of work will take, if a job of this kind has been done before."""
        pace = self._paces.get(kind)
        return None if pace is None else pace * units
