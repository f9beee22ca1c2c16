"""How a worker process treats the memory that one array no longer needs and the next one will."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

_TRIM, _PAD, _MMAP = -1, -2, -3  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD of mallopt(3)
_LARGEST = 1 << 25  # bytes; glibc takes no more
_HEAP = 1 << 26  # bytes of glibc's heap for a thread, which it gives back as a whole unless so much is to be padded
_NEVER = 2**31 - 1


@cache
def keep_memory() -> None:
    """Let this process keep freed memory instead of giving it back: for workers, whose chunks are all of one size.

    A chunk makes and drops some hundreds of arrays of a megabyte. The C library fetches and returns the pages of each;
    under Dask, which tells it to (MALLOC_TRIM_THRESHOLD_), that took nearly half of the processor time of the chunks
    that compare, elsewhere a quarter. Where the library is another than glibc, nothing happens.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP, _LARGEST)
        mallopt(_PAD, _HEAP)
        mallopt(_TRIM, _NEVER)
