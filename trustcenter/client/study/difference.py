"""What of a source the centre does not hold yet.

A site's rows are a pure function of its current records. Sent are only rows with refs that the registrar does
not hold for the site, and mapped only the records they belong to; refs that a changed record no longer has are
retired by the registrar.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from linkage.maps import pack_map
from linkage.rows import sort_order

if TYPE_CHECKING:
    from linkage.encode import Encoded

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """One upload: rows for the comparator (sorted by ref) and entries for the registrar (by record number)."""

    rows: NDArray[np.void]
    entries: bytes
    records: int


def new_records(encoded: Encoded, held: bytes) -> tuple[int, int]:
    """How many records have a ref that is not among the held ones, and how many such refs there are.

    Args:
        encoded: the whole source.
        held: refs that the registrar holds for the site, 16 bytes each, joined.
    """
    fresh = _fresh(encoded, held)
    return int(fresh.any(axis=1).sum()), int(fresh.sum())


def parts(encoded: Encoded, held: bytes, most: int) -> Iterator[Part]:
    """The difference as uploads of at most `most` records and nearly equal size, by record number."""
    fresh = _fresh(encoded, held)
    chosen = np.flatnonzero(fresh.any(axis=1))
    if not len(chosen):
        return
    chosen = chosen[sort_order(encoded.record_numbers[chosen])]
    # Rows are sorted by ref over the whole source: where each one stands.
    places = np.empty(fresh.shape, np.int64)
    places.reshape(-1)[sort_order(encoded.refs.reshape(-1, 16))] = np.arange(fresh.size)
    for indices in np.array_split(chosen, -(-len(chosen) // most)):
        entries = pack_map(encoded.record_numbers[indices], encoded.refs[indices])
        rows = encoded.rows[np.sort(places[indices][fresh[indices]])]
        yield Part(rows, entries.tobytes(), len(indices))


def _fresh(encoded: Encoded, held: bytes) -> NDArray[np.bool_]:
    """(n, P) bool: refs of each record that are not held."""
    flat = ~_held(encoded.refs.reshape(-1, 16), held)
    return flat.reshape(encoded.refs.shape[:2])


def _held(refs: U8, held: bytes) -> NDArray[np.bool_]:
    if not held:
        return np.zeros(len(refs), bool)
    return _among(refs, np.frombuffer(held, np.uint8).reshape(-1, 16))


def _among(refs: U8, others: U8) -> NDArray[np.bool_]:
    # All refs have 16 bytes, so that numpy's padding of byte strings cannot make two of them equal.
    return np.isin(np.ascontiguousarray(refs).view("S16")[:, 0], np.ascontiguousarray(others).view("S16")[:, 0])
