"""Packed entries in memory: taken in another order, and looked for in pages that lie one behind the other."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from .keys import U64

Entries = NDArray[np.void]


def take(entries: Entries, order: NDArray[np.int64]) -> Entries:
    """Entries in another order; as numpy does it, but without looking at the fields of each."""
    return np.ascontiguousarray(entries).view(f"V{entries.dtype.itemsize}")[order].view(entries.dtype)


def near(bodies: bytes, head: np.dtype[np.void], first: U64) -> NDArray[np.void]:
    """The entries of some pages whose keys begin with one of these halves, as bytes of one width each.

    Pages that were written together follow each other, and their entries ascend over all of them: each such run is
    searched for the halves that it can hold.

    Args:
        bodies: of the pages.
        head: of an entry, with the first half of its key as `head`.
        first: halves that are looked for, ascending, each once.
    """
    heads = np.frombuffer(bodies, head)["head"].astype(np.uint64)
    bounds = [0, *(np.flatnonzero(heads[1:] < heads[:-1]) + 1).tolist(), len(heads)]
    places = [np.empty(0, np.int64)]
    for start, end in itertools.pairwise(bounds):
        run = heads[start:end]
        wanted = first[first.searchsorted(run[0]) : first.searchsorted(run[-1], "right")]
        left = run.searchsorted(wanted)
        counts = run.searchsorted(wanted, "right") - left
        ends = counts.cumsum()
        if len(ends) and ends[-1]:
            places.append(np.repeat(start + left - ends + counts, counts) + np.arange(ends[-1]))
    found: NDArray[np.void] = np.frombuffer(bodies, f"V{head.itemsize}")[np.concatenate(places)]
    return found
