"""Names that differ wholly while all else agrees: twins at one address, or a changed surname. For people to decide.

The registrar cannot tell the two: of twins of whom each source knows one, and of one woman before and after her
marriage, it sees the same edges. The densities call most such pairs matches, since a wrong or other given name is
more frequent than twins of whom each source knows one. A study that will rather decide them by hand holds them back.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from linkage.decide.decision import Class, Decision
from linkage.schema import Schema

_GIVEN = frozenset({"G", "g3", "{G,S}", "{g3,s3}"})
_SURNAME = frozenset({"S", "s3", "{G,S}", "{g3,s3}"})
_FAR = (7, 4)  # mean level, as a ratio, from which a whole name differs; a slip in a name leaves rows at level 1


def other_names(schema: Schema) -> tuple[tuple[int, int], ...]:
    """How many edges two records have that differ in the given name only, or in the surname only: at least, at most.

    About as many as there are passes without the name: one less, for a cap; more, where birth names or former
    addresses make further rows.
    """
    found = []
    for parts in (_GIVEN, _SURNAME):
        values = [p.values for p in schema.passes if parts.isdisjoint(p.parts)]
        found.append((len(values) - 1, sum(values)))
    return tuple(found)


def hold_back(decision: Decision, edges: tuple[tuple[int, int], ...]) -> Decision:
    """The decision with those matches as possible ones that have so many edges and a mean level of 1.75 or farther.

    Args:
        decision: of all pairs.
        edges: from `other_names`.
    """
    pairs = decision.pairs
    held = np.zeros(len(pairs), np.bool_)
    for least, most in edges:
        held |= (pairs.c >= least) & (pairs.c <= most)
    held &= (_FAR[1] * pairs.s >= _FAR[0] * pairs.c) & (decision.cls == Class.MATCH)
    return replace(decision, cls=np.where(held, np.uint8(Class.POSSIBLE), decision.cls))
