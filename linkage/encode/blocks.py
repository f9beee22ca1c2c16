"""Block values of a source: which rows live, which are dummies (specification, sections 3 and 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.schema import Schema


@dataclass(frozen=True, slots=True)
class Plan:
    """Which rows of a source live.

    Attributes:
        live: (P, n) bool.
        missing: per pass, records that lack a component.
        capped: per pass, records whose block has more rows of this source than the cap.
    """

    live: NDArray[np.bool_]
    missing: tuple[int, ...]
    capped: tuple[int, ...]


def plan(schema: Schema, components: Mapping[str, Sequence[str]], n: int) -> Plan:
    """Look at the whole source, so that the answer depends neither on the order of records nor on chunks."""
    coded = {name: codes(components[name]) for name in schema.components}
    live = np.zeros((schema.P, n), np.bool_)
    missing, capped = [], []
    for at, rule in enumerate(schema.passes):
        present, block = combine([coded[part] for part in rule.parts], n)
        sizes = np.bincount(block[present], minlength=n + 1)
        live[at] = present & (sizes[block] <= rule.cap)
        missing.append(n - int(present.sum()))
        capped.append(int(present.sum()) - int(live[at].sum()))
    return Plan(live, tuple(missing), tuple(capped))


def combine(parts: Sequence[NDArray[np.int64]], n: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which of n records have all parts of a block value, and a number per distinct value, from 0."""
    present = np.ones(n, np.bool_)
    block = np.zeros(n, np.int64)
    for code in parts:
        present &= code > 0
        # Dense after every step: the product of two numbers of values stays below n squared.
        block = np.unique(block * (int(code.max(initial=0)) + 1) + code, return_inverse=True)[1]
    return present, block


def codes(column: Sequence[str]) -> NDArray[np.int64]:
    """A number per distinct value; 0 is missing."""
    numbers: dict[str, int] = {"": 0}
    take = numbers.setdefault
    return np.array([take(value, len(numbers)) for value in column], np.int64)
