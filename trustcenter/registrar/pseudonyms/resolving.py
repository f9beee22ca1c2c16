"""From blocks to rows under every key version: rules 2 and 3 of the suite.

Every version whose material is there is tried, without early exit, and whether a hit resolves is left to the
version's state. A hit is complete only if its row is live and its nonce equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from keys import computed
from keys.ids import Purpose
from keys.states import KeyState, Operation, may
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection, select_in


@dataclass(frozen=True)
class Found:
    """What stands behind texts, by place.

    Attributes:
        rows: (serial, nonce) of the live row; None where there is none, or more than one.
        ambiguous: places with more than one hit. They have no row: never the first.
        above: valid decodes above the high-water mark of their version. Nobody was ever given those.
    """

    rows: list[tuple[int, bytes] | None]
    ambiguous: frozenset[int] = frozenset()
    above: int = 0


def resolve(
    context: Context,
    conn: Connection,
    domain: DomainRow,
    blocks: NDArray[np.uint8],
    status: NDArray[np.int8],
) -> Found:
    """The rows behind well-formed blocks (status 0), of any key version that is not destroyed."""
    hits: list[tuple[int, int, bytes, bool]] = []  # place, serial, nonce, whether the version's state resolves it
    above = 0
    for version in context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM):
        # A version that waits for its activation may still be without material.
        if version.state is KeyState.DESTROYED or not context.keys.has(version.key_id()):
            continue
        inner = context.keys.decipher(domain.uuid, version.version, blocks)
        opened = computed.open_inner(domain.h, domain.uuid, version.version, inner)
        ok = opened.ok & (status == 0)
        if version.high_water is not None:
            beyond = ok & (opened.serial > np.uint64(version.high_water))
            above += int(beyond.sum())
            ok &= ~beyond
        resolves = may(version.state, Operation.TRANSLATE_FROM)
        nonces = opened.nonce[ok].tobytes()
        for number, (place, serial) in enumerate(
            zip(np.flatnonzero(ok).tolist(), opened.serial[ok].tolist(), strict=True)
        ):
            hits.append((place, serial, nonces[5 * number : 5 * number + 5], resolves))
    live = _live_nonces(conn, domain.id, [serial for _, serial, _, _ in hits], context.clock())
    rows: list[tuple[int, bytes] | None] = [None] * len(status)
    seen: set[int] = set()
    ambiguous: set[int] = set()
    for place, serial, nonce, resolves in hits:
        if live.get(serial) != nonce:
            continue
        if place in seen:
            ambiguous.add(place)
            rows[place] = None
        else:
            seen.add(place)
            rows[place] = (serial, nonce) if resolves else None
    return Found(rows, frozenset(ambiguous), above)


def _live_nonces(conn: Connection, domain: int, serials: Sequence[int], now: datetime) -> dict[int, bytes]:
    query = (
        "SELECT serial, nonce FROM entry WHERE domain = ? AND status = 0 AND serial IN {values}"
        " AND (expires IS NULL OR expires > ?)"
    )
    return dict(select_in(conn, query, (domain,), sorted(set(serials)), (int(now.timestamp()),)))
