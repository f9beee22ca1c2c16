"""Verification of a rotation (R6): the whole map, read back; or every value that a cursor job rewrote."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Final

import msgspec

from keys import computed
from keys.rotating import Shape, Stage, Step, shape_of
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.errors import VerificationError
from trustcenter.messages import api
from trustcenter.registrar import turns
from trustcenter.registrar.context import Check, Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection

from . import rewriting, rotation_map, rotation_record, rotation_show
from .rotation_record import Rotation

CHUNK: Final = 4_000  # pairs between two turns of others
PATIENCE_SECONDS: Final = 5.0  # that an answer waits for the end; a large domain takes minutes


async def ask(context: Context, caller: Principal, request: str, ident: str) -> api.Rotation:
    """Begin a verification, or wait for the one that runs; `checked` is set in the answer while it is under way.

    Errors as `verify`; whoever asks next after its end is told of it.
    """
    if ident not in context.checks:
        context.checks[ident] = Check(asyncio.get_running_loop().create_task(verify(context, caller, request, ident)))
    check = context.checks[ident]
    await asyncio.wait({check.job}, timeout=PATIENCE_SECONDS)
    if not check.job.done():
        return msgspec.structs.replace(await rotation_show.show(context, ident), checked=check.looked)
    if context.checks.get(ident) is check:  # another may have asked, and begun the next, since
        del context.checks[ident]
    check.job.result()
    return await rotation_show.show(context, ident)  # it may have ended long before it was asked after


async def stop(context: Context) -> None:
    """End the verifications of this process; nothing of them is kept."""
    jobs = [check.job for check in context.checks.values()]
    context.checks.clear()
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


def looked(context: Context, ident: str, rows: int) -> None:
    """Note how far a verification is, for those who ask."""
    if ident in context.checks:
        context.checks[ident].looked = rows


async def verify(context: Context, caller: Principal, request: str, ident: str) -> api.Rotation:
    """Check the whole map (R6): counts, one-to-one, every string back to its row; its keyed hash goes into the log.

    Raises:
        NotFoundError: no such rotation.
        IllegalTransitionError: it was not cut over, or has ended.
        VerificationError: the map is not what it must be; the rotation stays where it is.
    """
    found = await context.db.read(lambda conn: rotation_record.find(conn, ident))
    if shape_of(found.purpose) is not Shape.FLIP:
        return await rewriting.verify(context, caller, request, found, lambda rows: looked(context, ident, rows))
    domain = await context.db.read(lambda conn: rotation_show.by_scope(conn, found.scope))
    seen = rotation_map.Pairs()
    if found.from_version and found.stage in (Stage.CHANGED, Stage.VERIFIED):
        now = int(context.clock().timestamp())
        check = turns.through(context, lambda conn: _check(context, conn, domain, found, now, seen))
        async with aclosing(check) as counts:
            async for count in counts:
                looked(context, ident, count)

    def effect(conn: Connection) -> api.Rotation:
        value = rotation_map.mac(context, ident, seen.digest.digest())
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
    context: Context, conn: Connection, domain: DomainRow, found: Rotation, now: int, seen: rotation_map.Pairs
) -> Iterator[int]:
    """Chunk by chunk; serials ascend, so strings that lead back to their own serials are all different."""
    last = -1
    for serials, nonces in rotation_map.chunks(conn, domain, found, now, CHUNK):
        if int(serials[0]) <= last or (len(serials) > 1 and not bool((serials[1:] > serials[:-1]).all())):
            raise _broken()
        last = int(serials[-1])
        strings = []
        for version in (found.from_version, found.to_version):
            made = rotation_map.texts(context, domain, version, serials, nonces)
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
