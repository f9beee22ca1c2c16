"""Which pairs of records can matter to a decision under given weights.

Most pairs share a row or two by chance. They win nothing against a pair that could be one person, but they tie nearly
all records of a study together. Without them a study falls into many small components, and a window decides only those
that it touches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from linkage.decide.aggregate import Pairs
from linkage.decide.densities import BINS
from linkage.decide.parameters import Parameters
from linkage.decide.sources import pair_of_sources
from linkage.decide.weights import cells, posteriors
from linkage.errors import ParametersError


def near(parameters: Parameters, pairs: Pairs, sources: NDArray[np.int32], names: Sequence[str]) -> NDArray[np.bool_]:
    """(m,) bool: pairs that a posterior of the lower bound or more can reach, and all that win against one of those.

    What wins one-to-one is decided among these alone, since pairs that are left out come after all of them.

    Args:
        parameters: of the run; every two sources with a pair have weights.
        pairs: of records.
        sources: (records,) number of each record's source.
        names: of the sources.

    Raises:
        ParametersError: two sources have no weights yet.
    """
    tables = parameters.tables()
    known = parameters.known(names, frozen=False)
    key = pair_of_sources(pairs, sources, len(names))
    cell = cells(pairs.c, pairs.s, tables.passes)
    there = np.flatnonzero(np.bincount(key, minlength=len(names) ** 2))
    reach = np.zeros((len(names) ** 2, tables.passes * BINS), np.bool_)  # by pair of sources and cell
    for number in there.tolist():
        fitted = known.get((number // len(names), number % len(names)))
        if fitted is None:
            raise ParametersError("two of the sources have no weights yet", hint="decide all pairs, not a part of them")
        grades = len(tables.grades)
        won = posteriors(np.array(fitted.won), tables.winners, grades)
        lost = posteriors(np.array(fitted.lost), tables.table, grades)
        reaching = won[(won >= parameters.bounds[0]) | (lost >= parameters.bounds[0])]
        if len(reaching):
            reach[number] = won >= reaching.min()
    chosen: NDArray[np.bool_] = reach[key, cell]
    return chosen


def only(pairs: Pairs, chosen: NDArray[np.bool_]) -> Pairs:
    """Some of the pairs."""
    return Pairs(pairs.a[chosen], pairs.b[chosen], pairs.c[chosen], pairs.s[chosen])
