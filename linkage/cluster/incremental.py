"""Persons again after a change, only where something changed.

No rule of `agglomerate` looks beyond the records that pairs and verdicts connect. So a connected component in which
nothing changed has the persons it had, and the outcome is that of doing everything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from linkage.cluster.components import components
from linkage.cluster.forest import I32, I64, Clusters, Verdicts, agglomerate
from linkage.decide import Decision
from linkage.decide.aggregate import Pairs


def recluster(
    before: I32,
    changed: NDArray[np.bool_],
    decision: Decision,
    sources: I32,
    deduplicated: Sequence[bool],
    tie_keys: NDArray[np.uint8],
    verdicts: Verdicts | None = None,
) -> Clusters:
    """What `agglomerate` gives, at the cost of the components with a change; `refused` and `unmet` of these alone.

    Args:
        before: (records,) labels of the persons so far; what it says of changed components does not matter.
        changed: (records,) bool: new records, and every record with a pair, posterior, class or verdict that came,
            went or became another. A record that left: those it had pairs with.
        decision: of all pairs, under the same frozen parameters as before.
        sources: as `agglomerate`.
        deduplicated: as `agglomerate`.
        tie_keys: as `agglomerate`.
        verdicts: all of them.
    """
    verdicts = verdicts or Verdicts()
    n = len(sources)
    said = np.array([*verdicts.same, *verdicts.different], np.int64).reshape(-1, 2)
    pairs = decision.pairs
    root = components(n, np.concatenate([pairs.a, said[:, 0]]), np.concatenate([pairs.b, said[:, 1]]))
    again = np.zeros(n, np.bool_)
    again[root[changed]] = True
    again = again[root]
    inside = np.flatnonzero(again[pairs.a])
    part = replace(
        decision,
        pairs=Pairs(pairs.a[inside], pairs.b[inside], pairs.c[inside], pairs.s[inside]),
        posterior=decision.posterior[inside],
        winner=decision.winner[inside],
        cls=decision.cls[inside],
        band=decision.band[inside],
    )
    chosen = Verdicts(
        frozenset(p for p in verdicts.same if again[p[0]]), frozenset(p for p in verdicts.different if again[p[0]])
    )
    found = agglomerate(part, sources, deduplicated, tie_keys, chosen)
    # First records name the clusters of both, so that they can be numbered together.
    mixed = np.where(again, _first(found.labels), _first(np.where(again, -1, before)))
    labels = np.unique(mixed, return_inverse=True)[1].astype(np.int32)
    return Clusters(labels, inside[found.refused], found.unmet)


def _first(labels: NDArray[np.integer]) -> I64:
    """(records,) i8: the first record of each one's cluster."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    named: I64 = first[inverse]
    return named
