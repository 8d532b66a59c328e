"""What glibc does with the memory that a process frees: on a CPU, XLA asks for hundreds of MB at each step.

Without glibc nothing happens here.
"""

import contextlib
import ctypes

_no_glibc = contextlib.suppress(AttributeError, OSError, TypeError)


def keep_freed_memory() -> None:
    """Let glibc keep what the process frees, and hand it out again. To be called before JAX starts.

    Otherwise it comes from the kernel every time, which clears every page of it: a tenth of a training step.
    """
    with _no_glibc:
        mallopt = ctypes.CDLL(None).mallopt
        # malloc.h: M_ARENA_MAX one, M_MMAP_MAX none, M_TRIM_THRESHOLD never.
        for option, value in ((-8, 1), (-4, 0), (-1, -1)):
            mallopt(option, value)


def return_freed_memory() -> None:
    """Let glibc return what it keeps, this once.

    What compiling has left is GBs. And a step's memory may not fit where the last one's was, once something small lies
    there: then the process grows by as much again, which happens some times in its first steps.
    """
    with _no_glibc:
        ctypes.CDLL(None).malloc_trim(0)
