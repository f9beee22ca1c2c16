"""Counts of matches, relatives and strangers from records whose truth is known (specification, section 9.1).

A site links its records with a corrupted copy of themselves, in plaintext and alone, and shares three tables of
counts. The copy may be any list of records of which it is known whose they are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from linkage.decide import Counts, RefIndex, aggregate, tie_ranks
from linkage.decide.densities import BINS, smoothed
from linkage.decide.fit import first_winners
from linkage.decide.weights import cells
from linkage.encode import Columns, Encoded, Secrets, encode
from linkage.join import join
from linkage.schema import Kind, Schema

I64 = NDArray[np.int64]
Progress = Callable[[str, int, int], None]


def calibrate(
    schema: Schema,
    original: Columns,
    copy: Columns,
    whose: Sequence[int],
    *,
    grade: str = "own",
    kind: str = "own",
    provenance: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> Counts:
    """Count over (edges, mean closeness) how matches, relatives and strangers look.

    Nothing secret comes in or out: the encoding is made under constants, used here and thrown away.

    Args:
        schema: passes, caps and levels.
        original: n prepared records.
        copy: m prepared records.
        whose: for each record of the copy the number of its original, or -1 if it has none.
        grade: name of this sort of matches; counts of one grade are pooled.
        kind: name of this sort of relatives and strangers.
        provenance: kept with the counts.
        progress: called with (stage, done, total), the stages encode and compare; may raise to cancel.
    """
    return calibrate_several(
        schema, original, [(copy, whose)], grade=grade, kind=kind, provenance=provenance, progress=progress
    )


def calibrate_several(
    schema: Schema,
    original: Columns,
    copies: Sequence[tuple[Columns, Sequence[int]]],
    *,
    grade: str,
    kind: str,
    provenance: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> Counts:
    """As `calibrate`, the sum over several sources that each meet the original: practices and a hospital."""
    constants = [hashlib.sha256(b"linkage/calibrate/" + s).digest() for s in (b"study", b"left", b"right")]
    own = Secrets(constants[0], constants[1], "calibrate", 1)
    secrets = Secrets(constants[0], constants[2], "calibrate", 1)
    every = original.n + sum(copy.n for copy, _ in copies)
    encoded = 0

    def encoding(done: int, total: int) -> None:
        if progress is not None:
            progress("encode", encoded + done, every)

    left = encode(schema, original, _ids(original.n), own, progress=encoding)
    encoded = original.n
    table, unseen = np.zeros((2, 3, schema.P, BINS), np.int64), 0
    for copy, whose in copies:
        right = encode(schema, copy, _ids(copy.n), secrets, progress=encoding)
        encoded += copy.n
        counted = _count(schema, original, left, copy, right, whose, progress)
        table += counted
        unseen += sum(i >= 0 for i in whose) - int(counted[0, 0].sum())
    return Counts.of(table, (grade,), (kind,), (unseen,), schema.profile, provenance or {})


def _count(
    schema: Schema,
    original: Columns,
    left: Encoded,
    copy: Columns,
    right: Encoded,
    whose: Sequence[int],
    progress: Progress | None,
) -> I64:
    """(2, 3, P, BINS): all pairs, winners; matches, relatives, strangers."""
    tick = None if progress is None else partial(progress, "compare")
    edges = join([left.rows, right.rows], schema.levels, caps=[p.cap for p in schema.passes], progress=tick)
    pairs = aggregate(edges.table, RefIndex.build(np.concatenate([left.refs, right.refs])))
    i, j = pairs.a.astype(np.int64), pairs.b.astype(np.int64) - original.n
    owner = np.array(whose, np.int64)
    match = owner[j] == i
    related = _related(schema, original, copy, i, j, owner[j])
    # 0 match, 1 relative, 2 stranger
    group = np.where(match, 0, np.where(related, 1, 2))
    shape = (3, schema.P, BINS)
    key = group * schema.P * BINS + cells(pairs.c, pairs.s, schema.P)
    every = np.bincount(key, minlength=math.prod(shape)).reshape(shape)
    ties = tie_ranks(np.concatenate([left.record_numbers, right.record_numbers]))
    won = first_winners(pairs, np.full(original.n + copy.n, -1, np.int32), smoothed(every), 1, ties)
    return np.stack((every, np.bincount(key[won], minlength=math.prod(shape)).reshape(shape)))


def _ids(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def _related(schema: Schema, original: Columns, copy: Columns, i: I64, j: I64, owner: I64) -> NDArray[np.bool_]:
    """Whether record i shares an address, or surname and postcode, with record j or with the original of j.

    Where the schema has no postcode, who shares the surname has to stand for relatives.
    """
    related = np.zeros(len(i), np.bool_)
    known = {f.kind for f in schema.fields}
    signs: tuple[tuple[Kind, ...], ...] = (("street", "house_number", "postcode"), ("surname", "postcode"))
    signs = tuple(kinds for kinds in signs if known.issuperset(kinds)) or (("surname",),)
    for kinds in signs:
        names = [f.name for f in schema.fields if f.kind in kinds]
        numbers: dict[tuple[str, ...], int] = {}
        left, right = _codes(original, names, numbers), _codes(copy, names, numbers)
        related |= (left[i] >= 0) & (left[i] == right[j])
        related |= (left[i] >= 0) & (owner >= 0) & (left[i] == left[owner])
    return related


def _codes(columns: Columns, names: list[str], numbers: dict[tuple[str, ...], int]) -> I64:
    """A number per distinct tuple of values, -1 where one is missing."""
    rows = zip(*(columns.values[name] for name in names), strict=True)
    return np.array([-1 if "" in row else numbers.setdefault(row, len(numbers)) for row in rows], np.int64)
