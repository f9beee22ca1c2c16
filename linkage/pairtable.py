"""Decided pairs as a table, made as far as it is asked for: the whole of it takes as much room as deciding did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.decide import Class, Decision, one_name_differs

PAIR = np.dtype(
    [
        ("a", "i4"),
        ("b", "i4"),
        ("edges", "i4"),
        ("closeness", "f8"),
        ("posterior", "f8"),
        ("class", "u1"),
        ("band", "?"),
        ("other_name", "?"),
    ]
)
_AT_ONCE = 1 << 20  # pairs


@dataclass(frozen=True, slots=True)
class PairTable:
    """All pairs that were decided about, sorted by (a, b). A slice of it is an array of PAIR.

    Attributes:
        decision: about them.
        looks: how pairs look of which one name differs (`linkage.decide.other_names`).
    """

    decision: Decision
    looks: tuple[tuple[float, ...], ...]

    def __len__(self) -> int:
        return len(self.decision.pairs)

    def __getitem__(self, some: slice) -> NDArray[np.void]:
        pairs, decision = self.decision.pairs.part(some), self.decision
        table = np.empty(len(pairs), PAIR)
        table["a"], table["b"], table["edges"] = pairs.a, pairs.b, pairs.c
        table["closeness"], table["posterior"] = pairs.p, decision.posterior[some]
        table["class"], table["band"] = decision.cls[some], decision.band[some]
        table["other_name"] = one_name_differs(pairs, self.looks) & (table["class"] != Class.NON_MATCH)
        return table

    def parts(self) -> Iterator[NDArray[np.void]]:
        """PAIR, a million at a time."""
        for begin in range(0, len(self), _AT_ONCE):
            yield self[begin : begin + _AT_ONCE]

    def whole(self) -> NDArray[np.void]:
        """(m,) PAIR: 31 bytes a pair."""
        table = np.empty(len(self), PAIR)
        for at, part in enumerate(self.parts()):
            table[at * _AT_ONCE : at * _AT_ONCE + len(part)] = part
        return table
