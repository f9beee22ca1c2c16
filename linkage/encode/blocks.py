"""Block values of a source: which rows live, which are dummies (specification, sections 3 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.encode.values import OWN, alternatives
from linkage.normalise.further import Further
from linkage.schema import Pass, Schema

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """The n rows that a source has for one value of a pass.

    Attributes:
        at: number of the pass.
        nth: number of the value in the pass, from 0.
        parts: per part of the pass, n parts of block values.
        variant: (n,) which further value each is made with, `OWN` for none.
        live: (n,) bool, rows that are no dummies.
    """

    at: int
    nth: int
    parts: list[Sequence[str]]
    variant: I64
    live: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which rows of a source live.

    Attributes:
        rows: P of them, pass by pass.
        missing: per pass, rows for which there is no block value.
        capped: per pass, rows whose block has more rows of this source than the cap.
    """

    rows: tuple[Rows, ...]
    missing: tuple[int, ...]
    capped: tuple[int, ...]

    @property
    def live(self) -> NDArray[np.bool_]:
        """(P, n) bool."""
        return np.array([r.live for r in self.rows])


def values_of(
    schema: Schema, components: Mapping[str, Sequence[str]], n: int, further: Sequence[Further]
) -> list[tuple[int, int, list[Sequence[str]], I64]]:
    """(pass, number of the value in it, parts, variant) of each of the P values that n records have."""
    own = np.full(n, OWN, np.int64)
    found: list[tuple[int, int, list[Sequence[str]], I64]] = []
    for at, rule in enumerate(schema.passes):
        columns: list[Sequence[str]] = [components[part] for part in rule.parts]
        several = alternatives(rule, columns, components, further) if rule.values > 1 else [(columns, own)]
        found += [(at, nth, parts, variant) for nth, (parts, variant) in enumerate(several)]
    return found


def plan(schema: Schema, components: Mapping[str, Sequence[str]], n: int, further: Sequence[Further] = ()) -> Plan:
    """Look at the whole source, so that the answer depends neither on the order of records nor on chunks."""
    coded = {name: codes(components[name]) for name in schema.components}
    all_values = values_of(schema, components, n, further)
    rows: list[Rows] = []
    missing, capped = [], []
    for at, rule in enumerate(schema.passes):
        several = [(parts, variant) for number, _, parts, variant in all_values if number == at]
        if rule.values == 1:
            present, live = _live(rule, [coded[part] for part in rule.parts], n)
        else:
            joined = [codes([v for parts, _ in several for v in parts[k]]) for k in range(len(rule.parts))]
            present, live = _live(rule, joined, n * rule.values)
        for nth, (parts, variant) in enumerate(several):
            rows.append(Rows(at, nth, parts, variant, live[nth * n : (nth + 1) * n]))
        missing.append(len(present) - int(present.sum()))
        capped.append(int(present.sum()) - int(live.sum()))
    return Plan(tuple(rows), tuple(missing), tuple(capped))


def _live(rule: Pass, parts: Sequence[I64], n: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of n rows of a pass have a block value, and which of them a block within the cap."""
    present, block = combine(parts, n)
    sizes = np.bincount(block[present], minlength=n + 1)
    return present, present & (sizes[block] <= rule.cap)


def combine(parts: Sequence[I64], n: int) -> tuple[NDArray[np.bool_], I64]:
    """Which of n records have all parts of a block value, and a number per distinct value, from 0."""
    present = np.ones(n, np.bool_)
    block = np.zeros(n, np.int64)
    for code in parts:
        present &= code > 0
        # Dense after every step: the product of two numbers of values stays below n squared.
        block = np.unique(block * (int(code.max(initial=0)) + 1) + code, return_inverse=True)[1]
    return present, block


def codes(column: Sequence[str]) -> I64:
    """A number per distinct value; 0 is missing."""
    numbers: dict[str, int] = {"": 0}
    take = numbers.setdefault
    return np.array([take(value, len(numbers)) for value in column], np.int64)
