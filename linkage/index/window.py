"""What a window brings: new rows per source, and refs that are retired."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from linkage.errors import TokenIndexError
from linkage.rows import ROW, as_words, sort_order
from linkage.words import pack

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]


@dataclass(frozen=True)
class Window:
    """One batch of changes.

    Attributes:
        rows: name of a source → (n,) ROW, new rows.
        retired: (k, 16) u1, refs whose rows are no more.
        name: of the window, if it has one. Windows of equal content are one window unless their names differ: records
            that left and come back have the refs that they had.
    """

    rows: Mapping[str, NDArray[np.void]]
    retired: U8 = field(default_factory=lambda: np.empty((0, 16), np.uint8))
    name: str = ""

    def check(self, passes: int) -> None:
        """Raises: TokenIndexError: wrong types, an unknown pass, a ref that occurs twice, or is new and retired."""
        if any(rows.dtype != ROW for rows in self.rows.values()) or self.retired.shape[1:] != (16,):
            raise TokenIndexError("rows are not of dtype ROW, or retired refs not of 16 bytes")
        if any(len(rows) and int(rows["pass"].max()) >= passes for rows in self.rows.values()):
            raise TokenIndexError("a row has a pass that the index does not know")
        refs = [rows["ref"] for rows in self.rows.values()]
        if _twice(refs):
            raise TokenIndexError("a ref occurs twice in the window")
        if len(self.retired) and _twice([*refs, np.unique(self.retired, axis=0)]):
            raise TokenIndexError("a ref of the window is new and retired")

    @property
    def identity(self) -> str:
        """SHA-256 over content and name, whatever the order: applying the same window again changes nothing."""
        digest = hashlib.sha256()
        for name in sorted(self.rows):
            rows = self.rows[name]
            body = rows[sort_order(rows["ref"])].tobytes()
            digest.update(len(name.encode()).to_bytes(8, "big") + name.encode())
            digest.update(len(rows).to_bytes(8, "big") + body)
        refs = self.retired[sort_order(self.retired)]
        digest.update(len(refs).to_bytes(8, "big") + refs.tobytes())
        digest.update(self.name.encode())
        return digest.hexdigest()

    def entries(self, sources: Sequence[str]) -> dict[int, U64]:
        """Pass → (n, 9) u8: packed rows and the position of their source."""
        found: dict[int, list[U64]] = {}
        for name, rows in self.rows.items():
            for number in np.unique(rows["pass"]).tolist():
                chosen = rows[rows["pass"] == number]
                words = pack(chosen["token"], chosen["filter"], chosen["ref"])
                source = np.full((len(words), 1), sources.index(name), np.uint64)
                found.setdefault(number, []).append(np.hstack((words, source)))
        return {number: np.concatenate(found[number]) for number in sorted(found)}


def _twice(refs: Sequence[U8]) -> bool:
    together = np.concatenate([np.empty((0, 16), np.uint8), *refs])
    high, low = as_words(together)
    order = np.lexsort((low, high))
    high, low = high[order], low[order]
    return bool(((high[1:] == high[:-1]) & (low[1:] == low[:-1])).any())
