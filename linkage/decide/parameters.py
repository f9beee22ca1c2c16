"""What a decision depends on besides the records, frozen as JSON, so that a run can say what it was decided with."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from linkage.decide.decision import DOUBLE_MIN, DOUBLE_SHARE, cut_for
from linkage.decide.densities import Densities


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of the decision of one study version.

    Attributes:
        format: version of this format.
        profile: set of passes.
        grades: names of the grades of matches.
        densities_sha256: over both tables, all numbers as little-endian f8.
        bounds: posteriors between which a pair is unsure.
        cut: posterior above which a pair is a match.
        double_share: share of a source's matches above which its declaration of being deduplicated is refused.
        double_min: records, at least, for that.
    """

    format: Literal["trustcenter/decision/1"] = "trustcenter/decision/1"
    profile: str
    grades: tuple[str, ...]
    densities_sha256: str
    bounds: tuple[float, float]
    cut: float
    double_share: float = DOUBLE_SHARE
    double_min: int = DOUBLE_MIN

    @classmethod
    def of(
        cls, densities: Densities, bounds: tuple[float, float], sources: int, cut: float | None = None
    ) -> Parameters:
        """Of a decision over so many sources; without a cut, the default one."""
        return cls(
            profile=densities.profile,
            grades=densities.grades,
            densities_sha256=densities.sha256,
            bounds=bounds,
            cut=cut_for(sources) if cut is None else cut,
        )

    def canonical(self) -> bytes:
        """As JSON: sorted keys, no white space."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def sha256(self) -> str:
        """Over the canonical JSON, 64 lower-case hex digits."""
        return hashlib.sha256(self.canonical()).hexdigest()
