"""Densities of matches, relatives and strangers over (number of edges, mean closeness)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.errors import DensitiesError

CLASSES = ("match", "relative", "stranger")
BINS = 12  # of the mean midpoint, from 0.05 to 0.35
_SIGMA = 0.8  # bins
_FLOOR = 0.02  # counts a cell

_Row = Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(min_length=BINS, max_length=BINS)]


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tables of counts as a site shares them and as they ship: no record can be read from them.

    Attributes:
        format: version of this format.
        profile: name of the set of passes they were counted with.
        passes: its number of passes.
        match: [c - 1][bin] for c = 1..passes.
        relative: the same for non-matches that share an address, or surname and postcode.
        stranger: the same for all others.
        provenance: how they were made, as text.
    """

    format: Literal["trustcenter/densities/1"] = "trustcenter/densities/1"
    profile: str
    passes: Annotated[int, msgspec.Meta(ge=1, le=64)]
    match: list[_Row]
    relative: list[_Row]
    stranger: list[_Row]
    provenance: dict[str, str] = {}

    def table(self) -> NDArray[np.int64]:
        """(3, passes, BINS), in the order of `CLASSES`."""
        return np.array([self.match, self.relative, self.stranger], np.int64)

    @classmethod
    def of(cls, table: NDArray[np.int64], profile: str, provenance: dict[str, str]) -> Counts:
        """From (3, passes, BINS)."""
        match, relative, stranger = table.tolist()
        return cls(
            profile=profile,
            passes=table.shape[1],
            match=match,
            relative=relative,
            stranger=stranger,
            provenance=provenance,
        )

    def __add__(self, other: Counts) -> Counts:
        """Pool the counts of two sites.

        Raises:
            DensitiesError: counted with different passes.
        """
        if (self.profile, self.passes) != (other.profile, other.passes):
            raise DensitiesError("tables of different passes cannot be pooled")
        return Counts.of(self.table() + other.table(), self.profile, self.provenance)

    def encode(self) -> bytes:
        """As JSON in the order of the fields, one row of a table a line."""
        text = msgspec.json.encode(self)
        return msgspec.json.format(text, indent=1).replace(b",\n   ", b",").replace(b"[\n   ", b"[") + b"\n"


def parse(data: bytes) -> Counts:
    """Read a table of counts.

    Raises:
        DensitiesError: not such a table, or of the wrong shape.
    """
    try:
        counts = msgspec.json.decode(data, type=Counts)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DensitiesError("not a table of densities") from None
    if any(len(t) != counts.passes for t in (counts.match, counts.relative, counts.stranger)):
        raise DensitiesError("a table has not one row per number of edges")
    if not all(sum(map(sum, t)) for t in (counts.match, counts.relative, counts.stranger)):
        raise DensitiesError("a table has no counts at all")
    return counts


@dataclass(frozen=True, slots=True)
class Densities:
    """Frozen with a study version.

    Attributes:
        profile: set of passes.
        table: (3, P, BINS) f8, each class sums to 1, every cell is positive.
    """

    profile: str
    table: NDArray[np.float64]

    @property
    def passes(self) -> int:
        """P."""
        return int(self.table.shape[1])


def smooth(counts: Counts) -> Densities:
    """Gaussian of 0.8 bins along both axes, mirrored at the edges, plus 0.02 a cell, normalised."""
    table = counts.table().astype(np.float64)
    by_c, by_p = _kernel(counts.passes), _kernel(BINS)
    smoothed = np.einsum("ij,kjl,ml->kim", by_c, table, by_p, optimize=False) + _FLOOR
    return Densities(counts.profile, smoothed / smoothed.sum(axis=(1, 2), keepdims=True))


def shipped(profile: str) -> Densities:
    """The densities that ship for a profile ("hyb15", …).

    Raises:
        DensitiesError: none ship for these passes.
    """
    file = resources.files("linkage") / "data" / "densities" / f"{profile}.json"
    if not profile.isidentifier() or not file.is_file():
        raise DensitiesError(
            "no densities ship for the passes of this schema",
            hint="make them with `trustcenter linkage calibrate`",
        )
    return smooth(parse(file.read_bytes()))


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
