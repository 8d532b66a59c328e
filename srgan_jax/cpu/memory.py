"""Have glibc keep the memory that a process frees: on a CPU, each training step asks for hundreds of MB anew.

Where there is no glibc, these functions do nothing.
"""

import contextlib
import ctypes

_no_glibc = contextlib.suppress(AttributeError, OSError, TypeError)


def keep_freed_memory() -> None:
    """Have glibc keep what the process frees, and hand it out again. Call this before JAX computes anything.

    Otherwise each step gets its memory from the operating system, which clears every page of it: that takes a tenth of
    a training step.
    """
    with _no_glibc:
        mallopt = ctypes.CDLL(None).mallopt
        # malloc.h: one arena (M_ARENA_MAX), no mmap for large blocks (M_MMAP_MAX), and nothing is ever returned
        # (M_TRIM_THRESHOLD).
        for option, value in ((-8, 1), (-4, 0), (-1, -1)):
            mallopt(option, value)


def return_freed_memory() -> None:
    """Have glibc return what is free now to the operating system, this once.

    Compiling leaves gigabytes behind. And a step's memory may not fit into the hole that the last step has left, if
    something small has been put there meanwhile. Then the process grows by as much again, several times in its first
    steps.
    """
    with _no_glibc:
        ctypes.CDLL(None).malloc_trim(0)
