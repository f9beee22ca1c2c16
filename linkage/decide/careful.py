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
_ADDRESS = frozenset({"ad4", "no", "pc"})
_FAR = (7, 4)  # mean level, as a ratio, from which a whole name differs; a slip in a name leaves rows at level 1
_MOVED = 2.5  # mean level above which an address differs rather than a name


def other_names(schema: Schema) -> tuple[tuple[float, ...], ...]:
    """How many edges two records have that differ in the given name only, or in the surname only: at least, at most.

    About as many as there are passes without the name: one less, for a cap; more, where birth names or former
    addresses make further rows. Where somebody who moved has as many edges with himself, a greatest mean level is the
    third number.
    """
    found: list[tuple[float, ...]] = []
    moved = sum(_ADDRESS.isdisjoint(p.parts) for p in schema.passes)
    for parts in (_GIVEN, _SURNAME):
        values = [p.values for p in schema.passes if parts.isdisjoint(p.parts)]
        least, most = len(values) - 1, sum(values)
        found.append((least, most, _MOVED) if least <= moved <= most else (least, most))
    return tuple(found)


def hold_back(decision: Decision, edges: tuple[tuple[float, ...], ...]) -> Decision:
    """The decision with those matches as possible ones that have so many edges and a mean level of 1.75 or farther.

    Args:
        decision: of all pairs.
        edges: from `other_names`.
    """
    pairs = decision.pairs
    held = np.zeros(len(pairs), np.bool_)
    for least, most, *level in edges:
        held |= (pairs.c >= least) & (pairs.c <= most) & (pairs.s <= (level or [4])[0] * pairs.c)
    held &= (_FAR[1] * pairs.s >= _FAR[0] * pairs.c) & (decision.cls == Class.MATCH)
    return replace(decision, cls=np.where(held, np.uint8(Class.POSSIBLE), decision.cls))
