"""The map old to new of a rotated pseudonym key: streamed, sealed to each party, verified, acknowledged.

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
from keys.ids import KeyId, Purpose
from keys.rotating import Shape, Stage, Step, shape_of
from keys.states import KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, PolicyError, UsageError_, VerificationError
from trustcenter.messages import api
from trustcenter.store import Connection

from . import (
    domains,
    policy,
    rewriting,
    rotation_record,
    rotation_show,
)
from .context import Context
from .domains import DomainRow
from .keyring import INSTANCE
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
    message = _MAC_LABEL + rotation_id.encode() + b"\0" + digest
    return context.keys.mac(INSTANCE, Purpose.STATE, 1, message).hex()


def chunks(
    context: Context, conn: Connection, domain: DomainRow, found: Rotation, now: int
) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint8]]]:
    """Serials and nonces of the rows of a map, in serial order."""
    cursor = conn.execute(
        "SELECT serial, nonce FROM entry WHERE domain = ? AND status = 0 AND serial <= ?"
        " AND (expires IS NULL OR expires > ?) ORDER BY serial",
        (domain.id, found.mark, now),
    )
    while part := cursor.fetchmany(CHUNK):
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
    for serials, nonces in chunks(context, conn, domain, found, now):
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
        key = public_key(conn, party)
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

    async with aclosing(context.db.stream(produce, batch=8)) as stream:  # type: ignore[type-var]
        async for pieces in stream:
            yield pieces
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
    if old.state is KeyState.COMPROMISED and not _approved(conn, ident, party):
        raise PolicyError(
            "the old key is compromised: its map leaves under dual control only",
            code="delivery_needs_approval",
            hint="trustcenter keys propose deliver; an approver signs",
        )
    return domain, found


def _approved(conn: Connection, ident: str, party: str) -> bool:
    query = "SELECT 1 FROM key_proposal WHERE kind = 'deliver' AND rotation = ? AND party = ? AND approved IS NOT NULL"
    return conn.execute(query, (ident, party)).fetchone() is not None


def public_key(conn: Connection, party: str) -> str:
    """To what a party's maps are sealed.

    Raises:
        ConflictError: nobody has registered a public key of it.
    """
    kind, _, name = party.partition(":")
    if kind == "recipient":
        study, _, recipient = name.partition("/")
        query = "SELECT public_key FROM recipient WHERE study = ? AND name = ?"
        row = conn.execute(query, (study, recipient)).fetchone()
    else:
        row = conn.execute("SELECT public_key FROM site_key WHERE site = ?", (name,)).fetchone()
    if row is None:
        raise ConflictError(
            "this party has no public key to seal to",
            code="no_public_key",
            hint="trustcenter recipient keygen at the site, then trustcenter site set-key at the centre",
        )
    return str(row[0])


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
        claimed = mac(context, ident, bytes.fromhex(body.sha256))
        macs = conn.execute("SELECT mac FROM rotation_delivery WHERE rotation = ? AND party = ?", (ident, party))
        if not any(hmac.compare_digest(claimed, known) for (known,) in macs.fetchall()):
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
            map_mac=claimed,
        )
        return rotation_show.describe(context, conn, found)

    return await context.db.write(effect)


def _is_party(conn: Connection, ident: str, party: str) -> bool:
    query = "SELECT 1 FROM rotation_party WHERE rotation = ? AND party = ?"
    return conn.execute(query, (ident, party)).fetchone() is not None


async def verify(context: Context, caller: Principal, request: str, ident: str) -> api.Rotation:
    """Check the whole map (R6): counts, one-to-one, every string back to its row; its keyed hash goes into the log.

    Raises:
        NotFoundError: no such rotation.
        IllegalTransitionError: it was not cut over, or has ended.
        VerificationError: the map is not what it must be; the rotation stays where it is.
    """
    found = await context.db.read(lambda conn: rotation_record.find(conn, ident))
    if shape_of(found.purpose) is not Shape.FLIP:
        return await rewriting.verify(context, caller, request, found)
    domain = await context.db.read(lambda conn: rotation_show.by_scope(conn, found.scope))
    seen = Pairs()
    if found.from_version and found.stage in (Stage.CHANGED, Stage.VERIFIED):
        now = int(context.clock().timestamp())
        async with aclosing(  # type: ignore[type-var]
            context.db.stream(lambda conn: _check(context, conn, domain, found, now, seen), batch=1)
        ) as stream:
            async for _ in stream:
                pass

    def effect(conn: Connection) -> api.Rotation:
        value = mac(context, ident, seen.digest.digest())
        current = rotation_record.find(conn, ident)
        after = rotation_record.step(context, conn, current, Step.VERIFY, map_mac=value, done=seen.count)
        context.audit(
            conn,
            Event.KEY_VERIFY,
            caller.name,
            request,
            domain=domain.name,
            rotation=ident,
            pairs=seen.count,
            map_mac=value,
        )
        return rotation_show.describe(context, conn, after)

    return await context.db.write(effect)


def _check(
    context: Context, conn: Connection, domain: DomainRow, found: Rotation, now: int, seen: Pairs
) -> Iterator[int]:
    """Chunk by chunk; serials ascend, so strings that lead back to their own serials are all different."""
    last = -1
    for serials, nonces in chunks(context, conn, domain, found, now):
        if int(serials[0]) <= last or (len(serials) > 1 and not bool((serials[1:] > serials[:-1]).all())):
            raise _broken()
        last = int(serials[-1])
        strings = []
        for version in (found.from_version, found.to_version):
            made = texts(context, domain, version, serials, nonces)
            parsed = computed.parse_array(made)
            inner = context.keys.decipher(domain.uuid, version, parsed.blocks)
            opened = computed.open_inner(domain.h, domain.uuid, version, inner)
            back = (opened.serial == serials) & (opened.nonce == nonces).all(axis=1) & opened.ok & (parsed.status == 0)
            if not bool(back.all()):
                raise _broken()
            strings.append(made)
        seen.add(*strings)
        yield seen.count
    query = (
        "SELECT count(*) FROM entry WHERE domain = ? AND status = 0 AND serial <= ?"
        " AND (expires IS NULL OR expires > ?)"
    )
    (count,) = conn.execute(query, (domain.id, found.mark, now)).fetchone()
    if count != seen.count:
        raise _broken()


def _broken() -> VerificationError:
    return VerificationError(
        "the map of this rotation is not one-to-one with the rows",
        code="map_broken",
        hint="roll back and tell the developers; nothing was lost",
    )


async def set_site_key(
    context: Context, caller: Principal, request: str, site: str, body: api.SiteKeySet
) -> api.SiteKey:
    """Register the public key of a site, after its fingerprint was compared over another channel.

    Raises:
        NotFoundError: no such site.
        InvalidPublicKeyError: not a recipient's public key.
        UsageError_: the fingerprint that was compared is another.
    """
    fingerprint = hybrid.fingerprint(body.public_key)
    if body.fingerprint != fingerprint:
        raise UsageError_(
            "the fingerprint is not that of this key",
            code="wrong_fingerprint",
            hint="the site reads its own aloud: the centre is the key directory, and could be wrong",
        )

    def effect(conn: Connection) -> api.SiteKey:
        context.directory.require_sites(conn, [site])
        now = stamp(context.clock())
        conn.execute(
            "INSERT INTO site_key VALUES (?,?,?,?) ON CONFLICT (site) DO UPDATE SET"
            " public_key = excluded.public_key, set_by = excluded.set_by, created = excluded.created",
            (site, body.public_key, caller.name, now),
        )
        context.audit(conn, Event.SITE_KEY, caller.name, request, site=site, fingerprint=fingerprint)
        return api.SiteKey(site=site, public_key=body.public_key, fingerprint=fingerprint, created=now)

    return await context.db.write(effect)


async def site_key(context: Context, site: str, caller: Principal) -> api.SiteKey:
    """The registered public key of a site, for the site itself and for operators.

    Raises:
        NotFoundError: none is registered, or it is another site's.
    """

    def query(conn: Connection) -> api.SiteKey:
        row = None
        if not caller.is_site or caller.name == site:
            row = conn.execute("SELECT public_key, created FROM site_key WHERE site = ?", (site,)).fetchone()
        if row is None:
            raise NotFoundError("no public key of this site is registered", code="no_public_key")
        return api.SiteKey(site=site, public_key=row[0], fingerprint=hybrid.fingerprint(row[0]), created=row[1])

    return await context.db.read(query)
