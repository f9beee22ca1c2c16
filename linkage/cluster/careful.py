"""Names that differ wholly while all else agrees: twins at one address, or a changed surname. For people to decide.

The registrar cannot tell the two: of twins of whom each source knows one, and of one woman before and after her
marriage, it sees the same edges. The densities call most such pairs matches, since a wrong or other given name is
more frequent than twins of whom each source knows one. A study that will rather decide them by hand holds them back.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from linkage.decide import Class, Decision
from linkage.schema import Schema

_GIVEN = frozenset({"G", "g3", "{G,S}", "{g3,s3}"})
_SURNAME = frozenset({"S", "s3", "{G,S}", "{g3,s3}"})
_FAR = (7, 4)  # mean level, as a ratio, from which a whole name differs; a slip in a name leaves rows at level 1


def rows_without(schema: Schema, components: frozenset[str]) -> tuple[int, int]:
    """Passes that use none of the components, and the rows of a record in them."""
    values = [p.values for p in schema.passes if components.isdisjoint(p.parts)]
    return len(values), sum(values)


def hold_back(decision: Decision, schema: Schema) -> Decision:
    """The decision with those matches as possible ones.

    They have about as many edges as there are passes without the given name, or without the surname (one less at
    most, for a cap; more, where birth names or former addresses make further rows), and a mean level of 1.75 or
    farther.

    Args:
        decision: of all pairs.
        schema: whose passes say how many edges such a pair has.
    """
    pairs = decision.pairs
    held = np.zeros(len(pairs), np.bool_)
    for components in (_GIVEN, _SURNAME):
        least, most = rows_without(schema, components)
        held |= (pairs.c >= least - 1) & (pairs.c <= most)
    held &= (_FAR[1] * pairs.s >= _FAR[0] * pairs.c) & (decision.cls == Class.MATCH)
    return replace(decision, cls=np.where(held, np.uint8(Class.POSSIBLE), decision.cls))
