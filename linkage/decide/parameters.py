"""What a decision depends on besides the records, frozen as JSON and hashed into every run.

A study decides its first run with densities and a cut; the weights of each pair of its sources are estimated, and kept
from the run on in which there are enough records to trust them. From then on what becomes of a pair of records is a
function of the records that hang together with it by edges, and of what people decided: nothing that is added elsewhere
changes it, and it does not matter in how many windows the records came.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.decide.aggregate import Pairs
from linkage.decide.careful import hold_back, other_names
from linkage.decide.decision import CUT, CUT_OF_TWO, Decision, Limits, cut_for, decide
from linkage.decide.densities import BINS, Densities
from linkage.decide.fit import Fitted
from linkage.decide.sources import pair_of_sources
from linkage.errors import ParametersError
from linkage.schema import Schema

RIPE_WINNERS = 200  # pairs: the share of matches among them is known to a few hundredths
_OUTGROWN = 2
RIPE_MATCHES = 20  # expected matches: weights of a window in which nobody is in common would find nobody ever after

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class PairOfSources(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights of one pair of sources.

    Attributes:
        sources: their names, ascending.
        frozen: whether later runs use them; otherwise the next run estimates them anew, from all records.
        winners: pairs that won one-to-one when they were estimated.
        won: weights among winners: matches of each grade, relatives of each kind, strangers of each.
        lost: among the others.
        evidence: bits by which the winners speak for matches among them.
    """

    sources: tuple[str, str]
    frozen: bool
    winners: Annotated[int, msgspec.Meta(ge=0)]
    won: tuple[_Share, ...]
    lost: tuple[_Share, ...]
    evidence: Annotated[float, msgspec.Meta(ge=0)]


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of the decision of one study version.

    Attributes:
        format: version of this format.
        profile: set of passes.
        grades: names of the K grades of matches.
        kinds: names of the N kinds of relatives and strangers.
        passes: P, rows per record.
        densities: both tables, of all pairs and of winners: (2, K + 2N, P, 12) f8, little-endian; base64 in the JSON.
        unseen: per grade, pairs of one person without an edge for each with one.
        bounds: posteriors between which a pair is unsure.
        cut: posterior above which a pair is a match.
        limits: below which a pair of sources, or a source, yields no match.
        left: to people, whatever their posterior: pairs with so many edges (at least, at most) and such a mean level
            (at most, at least; without them 4 and 1.75), as of twins and of changed surnames
            (`linkage.decide.careful`); nothing by default.
        weights: of the pairs of sources that had pairs of records, ascending by name.
        refused: names of the sources whose declaration of being deduplicated did not hold in the last run over all
            pairs, ascending.
    """

    format: Literal["trustcenter/decision/2"] = "trustcenter/decision/2"
    profile: str
    grades: tuple[str, ...]
    kinds: tuple[str, ...]
    passes: Annotated[int, msgspec.Meta(ge=1, le=64)]
    densities: bytes
    unseen: tuple[Annotated[float, msgspec.Meta(ge=0)], ...]
    bounds: tuple[_Share, _Share]
    cut: _Share
    limits: Limits = Limits()
    left: tuple[Annotated[tuple[int | float, ...], msgspec.Meta(min_length=2, max_length=4)], ...] = ()
    weights: tuple[PairOfSources, ...] = ()
    refused: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        densities: Densities,
        bounds: tuple[float, float],
        sources: int,
        cut: float | None = None,
        *,
        careful: Schema | None = None,
    ) -> Parameters:
        """Of a study before its first run.

        Args:
            densities: pooled, or the shipped ones.
            bounds: posteriors between which a pair is unsure.
            sources: how many the first run is over.
            cut: posterior above which a pair is a match; by default the one for so many sources.
            careful: the study's schema, if twins and changed surnames are left to people.
        """
        return cls(
            profile=densities.profile,
            grades=densities.grades,
            kinds=densities.kinds,
            passes=densities.passes,
            densities=np.stack((densities.table, densities.winners)).astype("<f8").tobytes(),
            unseen=densities.unseen,
            bounds=bounds,
            cut=cut_for(sources) if cut is None else cut,
            left=() if careful is None else other_names(careful),
        )

    def canonical(self) -> bytes:
        """As JSON: sorted keys, no white space."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def sha256(self) -> str:
        """Over the canonical JSON, 64 lower-case hex digits."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @property
    def classes(self) -> int:
        """K + 2N."""
        return len(self.grades) + 2 * len(self.kinds)

    def tables(self) -> Densities:
        """The densities, bit for bit as they were frozen."""
        shape = (2, self.classes, self.passes, BINS)
        table = np.frombuffer(self.densities, "<f8").reshape(shape).astype(np.float64)
        return Densities(self.profile, self.grades, self.kinds, table[0], table[1], self.unseen)

    def among(self, sources: int) -> Parameters:
        """For a study that has come to so many sources: the cut of two goes when a third comes (`cut_for`)."""
        if sources <= 2 or self.cut != CUT_OF_TWO:
            return self
        return msgspec.structs.replace(self, cut=CUT)

    def settled(self, names: Sequence[str]) -> bool:
        """Whether the weights of every two of these sources are frozen."""
        return len(self.known(names)) == math.comb(len(names), 2)

    def known(self, names: Sequence[str], *, frozen: bool = True) -> dict[tuple[int, int], Fitted]:
        """Weights by the numbers that these sources have now; of sources that are not among them, none.

        Args:
            names: of the sources, in the order of their numbers.
            frozen: only those that are.
        """
        place = {name: i for i, name in enumerate(names)}
        found = {}
        for pair in self.weights:
            x, y = (place.get(name, -1) for name in pair.sources)
            if (pair.frozen or not frozen) and min(x, y) >= 0:
                found[min(x, y), max(x, y)] = Fitted(pair.won, pair.lost, pair.evidence)
        return found

    def outgrown(self, decision: Decision, names: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of sources that have more than twice the winners of when their weights were frozen.

        The share of matches among them may be another now: better estimate anew.

        Args:
            decision: of all pairs.
            names: of its sources.
        """
        frozen = {pair.sources: pair.winners for pair in self.weights if pair.frozen}
        now = {tuple(sorted(names[s] for s in w.sources)): w.winners for w in decision.weights}
        return [pair for pair, winners in sorted(frozen.items()) if now.get(pair, 0) > _OUTGROWN * winners]

    def after(self, decision: Decision, names: Sequence[str]) -> Parameters:
        """With the weights of a run over all pairs; frozen ones stay, also of sources that took no part in it.

        Args:
            decision: of the run.
            names: of its sources.
        """
        kept = {pair.sources: pair for pair in self.weights if pair.frozen}
        for found in decision.weights:
            x, y = sorted(names[s] for s in found.sources)
            if (x, y) not in kept:
                kept[x, y] = PairOfSources(
                    sources=(x, y),
                    frozen=found.winners >= RIPE_WINNERS and found.match * found.winners >= RIPE_MATCHES,
                    winners=found.winners,
                    won=found.fitted.won,
                    lost=found.fitted.lost,
                    evidence=found.fitted.evidence,
                )
        return msgspec.structs.replace(
            self,
            weights=tuple(kept[key] for key in sorted(kept)),
            refused=tuple(sorted(names[s] for s in decision.refused)),
        )


def parse_parameters(data: bytes) -> Parameters:
    """Read what `Parameters.canonical` wrote.

    Raises:
        ParametersError: not such a file, or of another version.
    """
    try:
        found = msgspec.json.decode(data, type=Parameters)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ParametersError("not frozen parameters of a decision, or of another version") from None
    classes = found.classes
    if len(found.densities) != 2 * classes * found.passes * BINS * 8:
        raise ParametersError("the tables of densities have not the size that classes and passes ask for")
    if len(found.unseen) != len(found.grades):
        raise ParametersError("there is not one share of unseen matches per grade")
    if any(len(w) != classes for pair in found.weights for w in (pair.won, pair.lost)):
        raise ParametersError("there is not one weight per class")
    return found


def decide_with(
    parameters: Parameters,
    pairs: Pairs,
    sources: NDArray[np.int32],
    names: Sequence[str],
    deduplicated: Sequence[bool],
    *,
    ties: NDArray[np.int64] | None = None,
    part: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Decision, Parameters]:
    """Decide under frozen parameters.

    The parameters that come back are those that this run was decided with: their hash goes into the run, and the next
    run is given them. With them the same records are decided the same way again.

    Args:
        parameters: of the run before; `Parameters.of` for the first.
        pairs: all pairs of records with at least one edge, old and new; of a part, all pairs of its records.
        sources: (records,) number of each record's source.
        names: of the sources; they, not their numbers, are what is kept.
        deduplicated: per source, whether it declares itself deduplicated.
        ties: (records,) ranks of tie keys.
        part: decide some connected components only, with the weights and the refused declarations of the run before,
            frozen or not; the parameters stay as they are.
        progress: as `decide`.

    Raises:
        ParametersError: a part has pairs of two sources that have no weights yet.
    """
    known = parameters.known(names, frozen=not part)
    refused = None
    if part:
        key = np.flatnonzero(np.bincount(pair_of_sources(pairs, sources, len(names)))).tolist()
        if any((k // len(names), k % len(names)) not in known for k in key):
            raise ParametersError("two of the sources have no weights yet", hint="decide all pairs, not a part of them")
        refused = [names.index(name) for name in parameters.refused if name in names]
    decision = decide(
        pairs,
        sources,
        deduplicated,
        parameters.tables(),
        parameters.bounds,
        cut=parameters.cut,
        ties=ties,
        known=known,
        refused=refused,
        limits=parameters.limits,
        progress=progress,
    )
    return hold_back(decision, parameters.left), parameters if part else parameters.after(decision, names)
