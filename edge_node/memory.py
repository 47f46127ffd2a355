"""What a process that runs for a night does about its memory.

glibc gives every new thread a heap (an arena) of its own, up to eight a core, and what is freed in
one is not given to the others. So a node of 25 threads that is overloaded for minutes keeps what
that took for the rest of the night: 16 MB in one soak of two hours, and nothing with two arenas.
"""

from __future__ import annotations

import ctypes
import os

ARENAS = 2
"""Heaps that the process' threads share. Most of what is allocated is so under Python's own lock,
so that more of them would seldom be used at one time."""
_M_ARENA_MAX = -8
"""The name of the limit in glibc's malloc.h."""


def share_heaps() -> bool:
    """Have the threads that are still to come share few heaps.

    Call it early: heaps that are there stay. Whoever sets MALLOC_ARENA_MAX has decided otherwise.

    Returns:
        Whether it was done; another C library has no such limit.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_ARENA_MAX, ARENAS))
