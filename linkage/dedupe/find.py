"""Front door: from normalised records to pairs that may be one person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.dedupe.blocks import blocks as blocks_of
from linkage.dedupe.blocks import runs
from linkage.dedupe.defaults import without_defaults
from linkage.dedupe.model import CUT, LEVELS, PATTERNS, Model, fit, levels_of
from linkage.normalise import Prepared
from linkage.schema import Schema

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
F8 = NDArray[np.float64]
Progress = Callable[[int, int], None]

PAIR = np.dtype([("a", "i8"), ("b", "i8"), ("pattern", "i8"), ("posterior", "f8"), ("match", "?")])
LOWEST = 0.05
_LONGEST = 63  # characters of a text that are compared
_SAMPLE = 400_000  # pairs from which the levels of strangers are estimated


@dataclass(frozen=True)
class Duplicates:
    """Pairs of records that may be one person.

    Attributes:
        pairs: (m,) PAIR, best first; `match` is what the rule would decide, the rest is "possible".
        model: what was estimated.
        compared: pairs of records that were compared.
        blocks_skipped: blocks that were left out because they are huge, even cut by further components.
        defaults: values that far too many records share, taken as missing (`dedupe.defaults`).
        equal: records that are equal to another one in every field.
    """

    pairs: NDArray[np.void]
    model: Model
    compared: int
    blocks_skipped: int
    defaults: int
    equal: int

    def levels(self) -> dict[str, list[int]]:
        """Comparison → level of each pair; 0 missing, 1 equal, then less and less alike."""
        return {name: v.tolist() for name, v in levels_of(self.pairs["pattern"]).items()}


def find(schema: Schema, prepared: Prepared, *, lowest: float = LOWEST, progress: Progress | None = None) -> Duplicates:
    """Find the duplicates of one source: all pairs that share a block of any pass, without caps.

    In a block of more than 4,000 records only pairs that share one more component are compared (`dedupe.blocks`).

    Args:
        schema: its passes are the blocking rules.
        prepared: n records; further surnames are used if they were prepared.
        lowest: pairs below this probability are not returned.
        progress: called with (steps done, steps), two a rule: to estimate, then to list. May raise to cancel.
    """
    equal = _equal(schema, prepared)
    prepared, defaults = without_defaults(schema, prepared)
    fields, text, size = text_numbers(schema, prepared)
    blocks, skipped = blocks_of(schema, prepared)
    tell = progress or (lambda done, total: None)
    model, compared = _estimate(fields, text, size, blocks, prepared.n, tell)
    wanted = model.posterior >= lowest
    parts = []
    for at in range(len(blocks)):
        parts.append(_listed(at, blocks, fields, text, size, wanted))
        tell(len(blocks) + at + 1, 2 * len(blocks))
    a, b, pattern = (np.concatenate([p[k] for p in parts]) for k in range(3))
    table = np.empty(len(a), PAIR)
    table["a"], table["b"], table["pattern"], table["posterior"] = a, b, pattern, model.posterior[pattern]
    table["match"] = table["posterior"] >= CUT
    if schema.rules == "german/1":
        table["match"] &= ~never_alone(pattern)
    table = table[np.lexsort((b, a, -table["posterior"]))]
    return Duplicates(table, model, compared, skipped, defaults, equal)


def _equal(schema: Schema, prepared: Prepared) -> int:
    """Records that are equal to another one in every field, and not empty."""
    rows = zip(*(prepared.values[f.name] for f in schema.fields), strict=True)
    numbers = np.fromiter((hash(row) if any(row) else 0 for row in rows), np.int64, prepared.n)
    counts = np.unique(numbers[numbers != 0], return_counts=True)[1]
    return int(counts[counts > 1].sum())


def never_alone(pattern: I8) -> NDArray[np.bool_]:
    """Pairs that no rule joins by itself: twins at one address, and a changed surname at another address."""
    level = levels_of(pattern)
    insured = level["insured_number"] == 1
    twins = (level["birth_date"] == 1) & (level["surname"] <= 2) & (level["given_name"] == 4)
    renamed = (level["surname"] == 4) & (level["address"] != 1) & (level["address"] != 2)
    alone: NDArray[np.bool_] = ~insured & (twins | renamed)
    return alone


def text_numbers(schema: Schema, prepared: Prepared) -> tuple[I4, NDArray[np.uint16], I8]:
    """Numbers of texts, (11, n); the texts as characters, (texts, 63); and their lengths."""
    numbers: dict[str, int] = {"": 0}
    n = prepared.n

    def numbered(column: Sequence[str]) -> I4:
        return np.array([numbers.setdefault(v, len(numbers)) for v in column], np.int32)

    def field(kind: str) -> I4:
        known = next((f.name for f in schema.fields if f.kind == kind), None)
        return numbered(prepared.values[known]) if known is not None else np.zeros(n, np.int32)

    others = np.zeros((2, n), np.int32)
    for more in prepared.further:
        if more.group == "surname":
            for i, number in zip(more.record, numbered(more.values["surname"]).tolist(), strict=True):
                others[1 if others[0, i] else 0, i] = number
    rows = [field("given_name"), field("surname"), *others]
    rows += [field(k) for k in ("birth_date", "street", "house_number", "postcode", "town", "insured_number", "sex")]
    text = np.zeros((len(numbers), _LONGEST), np.uint16)
    size = np.zeros(len(numbers), np.int64)
    for value, number in numbers.items():
        cut = value[:_LONGEST]
        size[number] = len(cut)
        text[number, : len(cut)] = [ord(c) & 0xFFFF for c in cut]
    return np.ascontiguousarray(np.stack(rows)), text, size


def _estimate(fields: I4, text: NDArray[np.uint16], size: I8, blocks: I4, n: int, tell: Progress) -> tuple[Model, int]:
    from linkage.kernels.compare import scan_pass

    counts = np.zeros(PATTERNS, np.int64)
    none, no = np.zeros(0, np.int64), np.zeros(0, np.bool_)
    for at in range(len(blocks)):
        order, starts = runs(blocks[at])
        scan_pass(order, starts, blocks, at, fields, text, size, counts, no, none, none, none)
        tell(at + 1, 2 * len(blocks))
    pairs = n * (n - 1) // 2
    totals, resolution = _totals(fields, text, size, n, pairs)
    return fit(counts, totals, resolution, pairs), int(counts.sum())


def _listed(
    at: int, blocks: I4, fields: I4, text: NDArray[np.uint16], size: I8, wanted: NDArray[np.bool_]
) -> tuple[I8, I8, I8]:
    from linkage.kernels.compare import scan_pass

    order, starts = runs(blocks[at])
    none = np.zeros(0, np.int64)
    room = 4096
    while True:
        first, second, pattern = (np.zeros(room, np.int64) for _ in range(3))
        found = scan_pass(order, starts, blocks, at, fields, text, size, none, wanted, first, second, pattern)
        if found <= room:
            return first[:found], second[:found], pattern[:found]
        room = found


def _totals(fields: I4, text: NDArray[np.uint16], size: I8, n: int, pairs: int) -> tuple[dict[str, F8], dict[str, F8]]:
    """Pairs per level among all pairs, and what one sampled pair stands for (1 where they were counted).

    Equal values are counted exactly, all other levels come from pairs drawn under a constant.
    """
    from linkage.kernels.compare import compare_pairs

    unit = max(1.0, pairs / _SAMPLE)
    resolution = {name: np.full(count, unit) for name, count in LEVELS.items()}
    if n < 2:
        return {name: np.zeros(count) for name, count in LEVELS.items()}, resolution
    draw = np.random.Philox(key=0).random_raw(2 * _SAMPLE).astype(np.uint64)
    i = (draw[:_SAMPLE] % np.uint64(n)).astype(np.int64)
    j = (i + 1 + (draw[_SAMPLE:] % np.uint64(n - 1)).astype(np.int64)) % n
    out = np.zeros(_SAMPLE, np.int64)
    compare_pairs(i, j, fields, text, size, out)
    totals = {}
    for name, level in levels_of(out).items():
        seen = np.bincount(level, minlength=LEVELS[name]).astype(np.float64) * (pairs / _SAMPLE)
        row = {"given_name": 0, "surname": 1, "birth_date": 4, "insured_number": 9}.get(name)
        if row is not None:
            values = np.bincount(fields[row])[1:].astype(np.float64)
            seen[1] = (values * (values - 1) / 2).sum()
            resolution[name][1] = 1.0
        totals[name] = seen
    return totals, resolution
