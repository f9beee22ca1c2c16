"""How the service treats memory that large arrays leave behind."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

_TRIM, _MMAP, _ARENAS = -1, -3, -8  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX of mallopt(3)
_LARGE: Final = 2**20  # bytes; what is larger lies on pages of its own
_SPARE: Final = 2**24  # bytes at the end of the heap that are kept for what comes next
_HEAPS: Final = 2  # for all threads


def give_back() -> None:
    """Have arrays of more than a megabyte given back to the system when they are freed.

    By itself the C library raises this bound to 32 MB with the first such array, and keeps what is freed on a heap of
    the thread that made it: maps, rows and readers each have their own, so the process grew to the sum of all peaks.
    Mapping pages anew costs a tenth of the processor time of an upload. Where the library is another than glibc,
    nothing happens.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP, _LARGE)
        mallopt(_TRIM, _SPARE)
        mallopt(_ARENAS, _HEAPS)
