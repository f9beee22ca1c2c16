"""Densities of matches, relatives and strangers over (number of edges, mean closeness).

Matches come in grades: how alike two records of one person are depends on how carefully, and how many years apart,
the two sites wrote them. Relatives and strangers come in kinds: the best of them is the closer, the more people a
source has and the closer together they live. One table for all would make careless sites of careful ones, or
relatives of the strangers in a big town. The weights of grades and kinds are estimated with the others.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.errors import DensitiesError

BINS = 12  # of the mean midpoint, from 0.05 to 0.35
_SIGMA = 0.8  # bins
_FLOOR = 0.02  # counts a cell
_SPREAD = 1000  # pairs
_UNSEEN, _SEEN = 0.3, 10_000  # pairs of a cell, among at least so many

_Grade = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,31}(?![\s\S])")]
_Row = Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=2**48)]], msgspec.Meta(min_length=BINS, max_length=BINS)]


class Tables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of pairs per class; rows: table[c - 1][bin] for c = 1..passes.

    Attributes:
        match: per grade, pairs of records of one person.
        relative: per kind, non-matches that share an address, or surname and postcode.
        stranger: per kind, all others.
    """

    match: dict[_Grade, list[_Row]]
    relative: dict[_Grade, list[_Row]]
    stranger: dict[_Grade, list[_Row]]

    @property
    def rows(self) -> list[list[_Row]]:
        """Tables of all classes: grades ascending, then relatives and strangers of the kinds ascending."""
        parts = (self.match, self.relative, self.stranger)
        return [part[name] for part in parts for name in sorted(part)]


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tables of counts as a site shares them and as they ship: no record can be read from them.

    Attributes:
        format: version of this format.
        profile: name of the set of passes they were counted with.
        passes: its number of passes.
        pairs: over all pairs with an edge.
        winners: over those that win one-to-one.
        unseen: per grade, pairs of records of one person without any edge.
        provenance: how they were made, as text.
    """

    format: Literal["trustcenter/densities/2"] = "trustcenter/densities/2"
    profile: str
    passes: Annotated[int, msgspec.Meta(ge=1, le=64)]
    pairs: Tables
    winners: Tables
    unseen: dict[_Grade, Annotated[int, msgspec.Meta(ge=0, le=2**48)]]
    provenance: dict[str, str] = {}

    @property
    def grades(self) -> tuple[str, ...]:
        """Names of the grades of matches, ascending."""
        return tuple(sorted(self.pairs.match))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of relatives and strangers, ascending."""
        return tuple(sorted(self.pairs.relative))

    def table(self) -> NDArray[np.int64]:
        """(2, K + 2N, passes, BINS): all pairs, winners; matches of K grades, relatives, strangers of N kinds."""
        return np.array([self.pairs.rows, self.winners.rows], np.int64)

    @classmethod
    def of(
        cls,
        table: NDArray[np.int64],
        grades: Sequence[str],
        kinds: Sequence[str],
        unseen: Sequence[int],
        profile: str,
        provenance: dict[str, str],
    ) -> Counts:
        """From (2, K + 2N, passes, BINS), and per grade the pairs without an edge."""
        k, n = len(grades), len(kinds)
        pairs, winners = (
            Tables(
                dict(zip(grades, part[:k], strict=True)),
                dict(zip(kinds, part[k : k + n], strict=True)),
                dict(zip(kinds, part[k + n :], strict=True)),
            )
            for part in table.tolist()
        )
        return cls(
            profile=profile,
            passes=table.shape[2],
            pairs=pairs,
            winners=winners,
            unseen=dict(zip(grades, unseen, strict=True)),
            provenance=provenance,
        )

    def __add__(self, other: Counts) -> Counts:
        """Pool the counts of two sites: class by class, one that only one of them has as it is.

        Raises:
            DensitiesError: counted with different passes.
        """
        if (self.profile, self.passes) != (other.profile, other.passes):
            raise DensitiesError("tables of different passes cannot be pooled")
        grades, kinds = (sorted({*x, *y}) for x, y in ((self.grades, other.grades), (self.kinds, other.kinds)))
        k, n = len(grades), len(kinds)
        total = np.zeros((2, k + 2 * n, self.passes, BINS), np.int64)
        for counts in (self, other):
            places = [k + kinds.index(name) for name in counts.kinds]
            total[:, [*map(grades.index, counts.grades), *places, *(n + p for p in places)]] += counts.table()
        unseen = [self.unseen.get(grade, 0) + other.unseen.get(grade, 0) for grade in grades]
        return Counts.of(total, grades, kinds, unseen, self.profile, self.provenance)

    def encode(self) -> bytes:
        """As JSON in the order of the fields, one row of a table a line."""
        text = msgspec.json.format(msgspec.json.encode(self), indent=1).decode()
        return (re.sub(r"(?<=[\[0-9,])\n\s*(?=[0-9\]])", "", text) + "\n").encode()


def parse(data: bytes) -> Counts:
    """Read a table of counts.

    Raises:
        DensitiesError: not such a table, or of the wrong shape.
    """
    try:
        counts = msgspec.json.decode(data, type=Counts)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DensitiesError("not a table of densities") from None
    pairs, winners = counts.pairs, counts.winners
    if not pairs.match or not pairs.match.keys() == winners.match.keys() == counts.unseen.keys():
        raise DensitiesError("the grades of matches do not fit each other")
    kinds = [part.keys() for part in (pairs.relative, pairs.stranger, winners.relative, winners.stranger)]
    if not kinds[0] or any(names != kinds[0] for names in kinds):
        raise DensitiesError("the kinds of relatives and strangers do not fit each other")
    tables = [*pairs.rows, *winners.rows]
    if any(len(t) != counts.passes for t in tables):
        raise DensitiesError("a table has not one row per number of edges")
    if not all(sum(map(sum, t)) for t in tables):
        raise DensitiesError("a table has no counts at all", hint="calibrate with more records, and such that differ")
    return counts


@dataclass(frozen=True, slots=True)
class Densities:
    """Frozen with a study version.

    Attributes:
        profile: set of passes.
        grades: names of the K grades of matches.
        kinds: names of the N kinds of relatives and strangers.
        table: (K + 2N, P, BINS) f8 of all pairs: matches of each grade, relatives of each kind, strangers of each; each
            sums to 1, every cell is positive.
        winners: the same of the pairs that win one-to-one. A person has many relatives and strangers with an edge, and
            the best of them is closer than any: for non-matches the two tables differ much.
        unseen: per grade, pairs of one person without an edge for each with one; no pair of a run shows them.
    """

    profile: str
    grades: tuple[str, ...]
    kinds: tuple[str, ...]
    table: NDArray[np.float64]
    winners: NDArray[np.float64]
    unseen: tuple[float, ...]

    @property
    def passes(self) -> int:
        """P."""
        return int(self.table.shape[1])

    @property
    def sha256(self) -> str:
        """Over both tables and `unseen`, all numbers as little-endian f8; 64 lower-case hex digits."""
        digest = hashlib.sha256()
        for table in (self.table, self.winners, np.array(self.unseen)):
            digest.update(np.ascontiguousarray(table, dtype="<f8").tobytes())
        return digest.hexdigest()


def smooth(counts: Counts) -> Densities:
    """What a study freezes: both tables of pooled counts, smoothed."""
    grades = len(counts.grades)
    pairs, winners = (_careful(smoothed(table), table, grades) for table in counts.table())
    seen = counts.table()[0].sum(axis=(1, 2)).tolist()
    unseen = tuple(counts.unseen[grade] / n for grade, n in zip(counts.grades, seen, strict=False))
    return Densities(counts.profile, counts.grades, counts.kinds, pairs, winners, unseen)


def _careful(density: NDArray[np.float64], counts: NDArray[np.int64], grades: int) -> NDArray[np.float64]:
    """Relatives and strangers get no cell rarer than a third of a pair among all that were counted: what was not seen
    among so many may well be there in a source with more of them, and two nearly empty records are alike by chance.
    """
    out = density.copy()
    for kind in range(grades, len(out)):
        out[kind] = np.maximum(out[kind], _UNSEEN / max(int(counts[kind].sum()), _SEEN))
    return _normal(out)


def smoothed(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts plus 1,000 pairs spread like their smoothed selves, normalised per class.

    Smoothed: Gaussian of 0.8 bins along both axes, mirrored at the edges, plus 0.02 a cell. So a table of a few
    hundred pairs is smoothed in full, and one of many thousands keeps the steps that are really there: p takes few
    values where edges are few, and a household shares just the passes on its address.

    Args:
        table: (classes, P, BINS) counts.
    """
    counts = table.astype(np.float64)
    by_c, by_p = _kernel(table.shape[1]), _kernel(BINS)
    smooth = _normal(np.einsum("ij,kjl,ml->kim", by_c, counts, by_p, optimize=False) + _FLOOR)
    return _normal(counts + _SPREAD * smooth)


def _normal(table: NDArray[np.float64]) -> NDArray[np.float64]:
    normal: NDArray[np.float64] = table / table.sum(axis=(1, 2), keepdims=True)
    return normal


def shipped(profile: str) -> Densities:
    """The densities that ship for a profile ("hyb15", …).

    Raises:
        DensitiesError: none ship for these passes.
    """
    return smooth(shipped_counts(profile))


def shipped_counts(profile: str) -> Counts:
    """The counts behind them, to be pooled with those of sites; errors as `shipped`."""
    file = resources.files("linkage") / "data" / "densities" / f"{profile}.json"
    if not re.fullmatch(r"[a-z][a-z0-9-]*", profile) or not file.is_file():
        raise DensitiesError(
            "no densities ship for the passes of this schema",
            hint="make them with `trustcenter linkage calibrate`",
        )
    return parse(file.read_bytes())


def _kernel(size: int) -> NDArray[np.float64]:
    """(size, size): row i says how much each cell gives to cell i; columns sum to 1, so mass is kept."""
    reach = 4
    weights = [math.exp(-0.5 * (d / _SIGMA) ** 2) for d in range(-reach, reach + 1)]
    total = math.fsum(weights)
    matrix = np.zeros((size, size))
    for cell in range(size):
        for d, weight in zip(range(-reach, reach + 1), weights, strict=True):
            at = (cell + d) % (2 * size)
            matrix[at if at < size else 2 * size - 1 - at, cell] += weight / total
    return matrix
