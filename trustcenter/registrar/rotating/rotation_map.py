"""The map old to new of a rotated pseudonym key: streamed, sealed to each party, acknowledged.

The map is a pure function of the rows live under the mark and the two keys (docs/spec/translation-map.md). Nothing is
stored for it but keyed hashes of what was delivered: whoever acknowledges gives the SHA-256 of the map, which only a
complete reading of one that was delivered can tell.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from keys import computed, hybrid
from keys.ids import KeyId
from keys.rotating import Shape, Stage, shape_of
from keys.states import KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, PolicyError, VerificationError
from trustcenter.messages import api
from trustcenter.registrar import domains, policy, site_keys, turns
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection

from . import rotation_record, rotation_show
from .rotation_record import Rotation

CHUNK: Final = 8_000  # pairs in memory at once; more makes others wait longer, fewer is slower
HEADER: Final = b"old,new\n"
_MAC_LABEL: Final = b"trustcenter/translation-map/1\0"
_DELIVERABLE: Final = frozenset({Stage.CHANGED, Stage.VERIFIED, Stage.FINALIZED})


def seal_info(rotation_id: str, party: str) -> bytes:
    """The context that a map is sealed for: it opens for no other rotation and party."""
    return _MAC_LABEL + rotation_id.encode() + b"\0" + party.encode()


@dataclass
class Pairs:
    """What ran through a stream of pairs.

    Attributes:
        count: pairs.
        digest: SHA-256 over the lines, header left out.
    """

    count: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, old: NDArray[np.uint8], new: NDArray[np.uint8]) -> bytes:
        """Let a part of the map pass, as ASCII codes (n, 28) each; gives its lines, "old,new"."""
        width = old.shape[1]
        table = np.empty((len(old), 2 * width + 2), np.uint8)
        table[:, :width], table[:, width] = old, ord(",")
        table[:, width + 1 : -1], table[:, -1] = new, ord("\n")
        piece = table.tobytes()
        self.count += len(old)
        self.digest.update(piece)
        return piece


def mac(context: Context, rotation_id: str, digest: bytes) -> str:
    """Keyed hash of a map, so that neither log nor database confirms a guessed one; 64 hex digits."""
    return macs(context, rotation_id, digest)[0]


def macs(context: Context, rotation_id: str, digest: bytes) -> list[str]:
    """The same under every version of the state key, newest first: a map may have been delivered before a rotation."""
    message = _MAC_LABEL + rotation_id.encode() + b"\0" + digest
    return [value.hex() for value in context.ring.macs(message)]


def chunks(
    conn: Connection, domain: DomainRow, found: Rotation, now: int, size: int = CHUNK
) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint8]]]:
    """Serials and nonces of the rows of a map, in serial order, `size` at a time."""
    cursor = conn.execute(
        "SELECT serial, nonce FROM entry WHERE domain = ? AND status = 0 AND serial <= ?"
        " AND (expires IS NULL OR expires > ?) ORDER BY serial",
        (domain.id, found.mark, now),
    )
    while part := cursor.fetchmany(size):
        serials = np.fromiter((row[0] for row in part), np.uint64, len(part))
        nonces = np.frombuffer(b"".join([row[1] for row in part]), np.uint8).reshape(-1, 5)
        yield serials, nonces


def texts(
    context: Context, domain: DomainRow, version: int, serials: NDArray[np.uint64], nonces: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The pseudonyms of rows under a key version, as ASCII codes: uint8 (n, 28)."""
    blocks = computed.inner_blocks(domain.h, domain.uuid, version, serials, nonces)
    return computed.format_array(context.keys.encipher(domain.uuid, version, blocks))


def lines(
    context: Context, conn: Connection, domain: DomainRow, found: Rotation, now: int, seen: Pairs
) -> Iterator[bytes]:
    """The lines of a map in pieces, a pair in each."""
    for serials, nonces in chunks(conn, domain, found, now):
        old = texts(context, domain, found.from_version, serials, nonces)
        yield seen.add(old, texts(context, domain, found.to_version, serials, nonces))


async def sealed(
    context: Context, caller: Principal, request: str, ident: str, party: str
) -> AsyncIterator[Sequence[bytes]]:
    """The map of a rotation as CSV, sealed to the public key of a party; the caller is the party or an operator.

    Raises:
        NotFoundError: no such rotation or party, or not the caller's.
        ConflictError: not cut over yet, or the party has no public key.
        PolicyError: the old key is compromised and nobody approved the delivery.
    """

    def begin(conn: Connection) -> tuple[DomainRow, Rotation, str]:
        domain, found = _deliverable(context, conn, caller, ident, party)
        key = site_keys.public_key(conn, party)
        context.audit(
            conn,
            Event.PSEUDONYM_MAP,
            caller.name,
            request,
            domain=domain.name,
            from_version=found.from_version,
            to_version=found.to_version,
            rotation=ident,
            party=party,
            fingerprint=hybrid.fingerprint(key),
        )
        return domain, found, key

    domain, found, key = await context.db.write(begin)
    seen, now = Pairs(), int(context.clock().timestamp())

    def produce(conn: Connection) -> Iterator[bytes]:
        def parts() -> Iterator[bytes]:
            yield HEADER
            yield from lines(context, conn, domain, found, now, seen)

        yield from hybrid.seal_stream(key, parts(), seal_info(ident, party))

    async with aclosing(turns.through(context, produce)) as stream:
        async for piece in stream:
            yield (piece,)
    await context.db.write(lambda conn: delivered(context, conn, caller.name, request, domain, found, party, seen))


def _deliverable(
    context: Context, conn: Connection, caller: Principal, ident: str, party: str
) -> tuple[DomainRow, Rotation]:
    found = rotation_record.find(conn, ident)
    domain = domains.find(conn, rotation_show.by_scope(conn, found.scope).name, caller)
    policy.require_keys(conn, domain.id, context.clock())
    if (caller.is_site and party != f"site:{caller.name}") or party not in rotation_record.parties(conn, domain):
        raise NotFoundError(
            "this rotation has no such party",
            code="unknown_party",
            hint="trustcenter keys rotation show names the parties",
        )
    if shape_of(found.purpose) is not Shape.FLIP or found.stage not in _DELIVERABLE or not found.from_version:
        raise ConflictError(
            "there is no map of this rotation",
            code="no_map",
            hint="a pseudonym key has one, from its cut-over on",
        )
    old = rotation_show.version_of(context, conn, KeyId(found.scope, found.purpose, found.from_version))
    if old.state is KeyState.DESTROYED:
        raise ConflictError("the old key is destroyed: there is no map any more", code="key_destroyed")
    if rotation_show.needs_approval(context, conn, found) and not _approved(conn, ident, party):
        raise PolicyError(
            "the old key is compromised: its map leaves under dual control only",
            code="delivery_needs_approval",
            hint=f"trustcenter keys propose deliver {ident} --party {party}; an approver signs",
        )
    return domain, found


def _approved(conn: Connection, ident: str, party: str) -> bool:
    query = "SELECT 1 FROM key_proposal WHERE kind = 'deliver' AND rotation = ? AND party = ? AND approved IS NOT NULL"
    return conn.execute(query, (ident, party)).fetchone() is not None


def delivered(
    context: Context,
    conn: Connection,
    who: str,
    request: str,
    domain: DomainRow,
    found: Rotation,
    party: str,
    seen: Pairs,
) -> None:
    """Take note of a map that was streamed to its end, with its keyed hash."""
    value = mac(context, found.id, seen.digest.digest())
    conn.execute(
        "INSERT INTO rotation_delivery VALUES (?,?,?,?,?) ON CONFLICT (rotation, party, mac) DO NOTHING",
        (found.id, party, value, seen.count, stamp(context.clock())),
    )
    context.audit(
        conn,
        Event.KEY_DELIVER,
        who,
        request,
        domain=domain.name,
        rotation=found.id,
        party=party,
        pairs=seen.count,
        map_mac=value,
    )


async def acknowledge(
    context: Context, caller: Principal, request: str, ident: str, body: api.MapAcknowledge
) -> api.Rotation:
    """A party says that it has the map, by its SHA-256. Operators speak for recipients, which have no access.

    Raises:
        NotFoundError: no such rotation or party.
        PolicyError: an operator speaks for a site.
        VerificationError: no map with that hash was delivered to this party.
    """
    party = body.party or f"site:{caller.name}"
    if not caller.is_site and not party.startswith("recipient:"):
        raise PolicyError(
            "a site acknowledges its map itself",
            code="not_the_party",
            hint="trustcenter keys rotation acknowledge, with the site's connection",
        )

    def effect(conn: Connection) -> api.Rotation:
        found = rotation_record.find(conn, ident)
        domain = domains.find(conn, rotation_show.by_scope(conn, found.scope).name, caller)
        if (caller.is_site and party != f"site:{caller.name}") or not _is_party(conn, ident, party):
            raise NotFoundError(
                "this rotation has no such party", code="unknown_party", hint="trustcenter keys rotation show"
            )
        claimed = macs(context, ident, bytes.fromhex(body.sha256))
        query = "SELECT mac FROM rotation_delivery WHERE rotation = ? AND party = ?"
        delivered = [known for (known,) in conn.execute(query, (ident, party)).fetchall()]
        if not any(hmac.compare_digest(one, known) for one in claimed for known in delivered):
            raise VerificationError(
                "no map with this hash was delivered to this party for this rotation",
                code="not_this_map",
                hint="fetch the map of this rotation again, to its end, and give the hash that is printed",
            )
        conn.execute(
            "UPDATE rotation_party SET acknowledged = ?, told_by = ?"
            " WHERE rotation = ? AND party = ? AND acknowledged IS NULL",
            (stamp(context.clock()), caller.name, ident, party),
        )
        context.audit(
            conn,
            Event.KEY_ACKNOWLEDGE,
            caller.name,
            request,
            domain=domain.name,
            rotation=ident,
            party=party,
            map_mac=claimed[0],
        )
        return rotation_show.describe(context, conn, found)

    return await context.db.write(effect)


def _is_party(conn: Connection, ident: str, party: str) -> bool:
    query = "SELECT 1 FROM rotation_party WHERE rotation = ? AND party = ?"
    return conn.execute(query, (ident, party)).fetchone() is not None
