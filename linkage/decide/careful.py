"""Names that differ wholly while all else agrees: twins at one address, or a changed surname. For people to decide.

The registrar cannot tell the two: of twins of whom each source knows one, and of one woman before and after her
marriage, it sees the same edges. The densities call most such pairs matches, since a wrong or other given name is
more frequent than twins of whom each source knows one. A study that will rather decide them by hand holds them back.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from linkage.decide.aggregate import Pairs
from linkage.decide.decision import Class, Decision
from linkage.schema import Schema

_GIVEN = frozenset({"G", "g3", "{G,S}", "{g3,s3}"})
_SURNAME = frozenset({"S", "s3", "{G,S}", "{g3,s3}"})
_ADDRESS = frozenset({"ad4", "no", "pc"})
_EARLIER = (4.0, 1.75)  # greatest and least mean level in parameters that were frozen without them
# Mean levels at which a whole name differs: a slip in one leaves rows at level 1, and above the greatest more differs.
_LEAST = 2.0
_GREATEST = ((_GIVEN, 2.75), (_SURNAME, 3.25))  # surnames are longer
_MOVED = 2.5  # the greatest where somebody who moved has as many edges: above it an address differs rather than a name


def other_names(schema: Schema) -> tuple[tuple[float, ...], ...]:
    """What two records look like that differ in the given name only, or in the surname only.

    For each of the two: edges at least and at most, greatest and least mean level. There are about as many edges as
    passes without the name: less by the coarse ones, which caps blank in a larger source, and by one in any case; more,
    where birth names or former addresses make further rows.
    """
    found: list[tuple[float, ...]] = []
    moved = sum(_ADDRESS.isdisjoint(p.parts) for p in schema.passes)
    for parts, greatest in _GREATEST:
        without = [p for p in schema.passes if parts.isdisjoint(p.parts)]
        coarse = sum(p.cap < max(schema.caps) for p in without)
        least, most = len(without) - max(1, coarse), sum(p.values for p in without)
        found.append((least, most, _MOVED if least <= moved <= most else greatest, _LEAST))
    return tuple(found)


def one_name_differs(pairs: Pairs, edges: tuple[tuple[float, ...], ...]) -> NDArray[np.bool_]:
    """(m,) bool: pairs with so many edges and such a mean level.

    Args:
        pairs: of records.
        edges: from `other_names`.
    """
    looks = np.zeros(len(pairs), np.bool_)
    for least, most, *levels in edges:
        farthest, nearest = [*levels, *_EARLIER[len(levels) :]]
        level = (pairs.s >= nearest * pairs.c) & (pairs.s <= farthest * pairs.c)  # quarters: both sides are exact
        looks |= (pairs.c >= least) & (pairs.c <= most) & level
    return looks


def hold_back(decision: Decision, edges: tuple[tuple[float, ...], ...]) -> Decision:
    """The decision with those matches as possible ones of which one name differs.

    Args:
        decision: of all pairs.
        edges: from `other_names`.
    """
    held = one_name_differs(decision.pairs, edges) & (decision.cls == Class.MATCH)
    return replace(decision, cls=np.where(held, np.uint8(Class.POSSIBLE), decision.cls))
