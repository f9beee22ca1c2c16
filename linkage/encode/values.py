"""Several block values per record and pass: birth names, double names, former addresses (specification, section 3.1).

A further value takes the place of the record's own one, in the block value and in the filter of that row alike: so
a record under the birth name meets the other one where it stands under it, and is as close as if both had it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from linkage.normalise.further import COMPONENTS, KINDS, Further
from linkage.schema import GROUPS, Field, Pass

I64 = NDArray[np.int64]
OWN = -1
_PAIRS = {"{g3,s3}": ("g3", "s3"), "{G,S}": ("G", "S")}
_ORDER = ("surname", "given_name", "address")


def alternatives(
    rule: Pass, own: Sequence[Sequence[str]], components: Mapping[str, Sequence[str]], further: Sequence[Further]
) -> list[tuple[list[Sequence[str]], I64]]:
    """The rows of a pass of several values: for each, its parts and the variant that it is made with.

    Args:
        rule: the pass.
        own: per part, n own values.
        components: of the records.
        further: further values; variants are numbered through all of them, in this order.
    """
    n = len(own[0])
    slots = [[list(column) for column in own]] + [[[""] * n for _ in own] for _ in range(rule.values - 1)]
    variants = np.full((rule.values, n), OWN, np.int64)
    for i, found in _by_record(rule, further).items():
        values = {tuple(column[i] for column in own): OWN}
        for variant, group, nth in found:
            values.setdefault(_replaced(rule, components, i, group, nth), variant)
        kept = [(value, variant) for value, variant in values.items() if "" not in value][: rule.values]
        for slot in range(rule.values):
            value, variant = kept[slot] if slot < len(kept) else (("",) * len(own), OWN)
            variants[slot, i] = variant
            for k, part in enumerate(value):
                slots[slot][k][i] = part
    return [(list(parts), variant) for parts, variant in zip(slots, variants, strict=True)]


def _by_record(rule: Pass, further: Sequence[Further]) -> dict[int, list[tuple[int, Further, int]]]:
    """Record → its further values that this pass can use: (variant, group, place in the group), in order of preference.

    The first of every group come first, then the second ones: a record with many given names keeps its birth name.
    """
    out: dict[int, list[tuple[int, int, int, Further, int]]] = defaultdict(list)
    start = 0
    for group in further:
        if any(part in GROUPS[group.group] for part in rule.parts):
            rank, last, count = _ORDER.index(group.group), -1, 0
            for at, record in enumerate(group.record):
                count = count + 1 if record == last else 0
                last = record
                out[record].append((count, rank, start + at, group, at))
        start += len(group.record)
    return {i: [v[2:] for v in sorted(found, key=lambda v: v[:2])] for i, found in out.items()}


def _replaced(rule: Pass, components: Mapping[str, Sequence[str]], i: int, group: Further, at: int) -> tuple[str, ...]:
    """The block value of record i with one further value in place of its own."""

    def part(name: str) -> str:
        return group.components[name][at] if name in COMPONENTS[group.group] else components[name][i]

    def value(name: str) -> str:
        if name not in _PAIRS:
            return part(name)
        a, b = sorted(map(part, _PAIRS[name]))
        return f"{a} {b}" if a else ""  # the smaller one is empty if either is

    return tuple(map(value, rule.parts))


def replaced_fields(
    fields: Sequence[Field], values: Mapping[str, Sequence[str]], further: Sequence[Further], variants: Sequence[int]
) -> list[list[str]]:
    """Per field, the values of the records that these variants belong to, with the further value in its place."""
    starts = np.cumsum([0, *(len(group.record) for group in further)])
    homes = (np.searchsorted(starts, variants, side="right") - 1).tolist()
    chosen = [(further[g], v - int(starts[g])) for g, v in zip(homes, variants, strict=True)]
    return [
        [
            group.values[f.kind][at] if f.kind in KINDS[group.group] else values[f.name][group.record[at]]
            for group, at in chosen
        ]
        for f in fields
    ]
