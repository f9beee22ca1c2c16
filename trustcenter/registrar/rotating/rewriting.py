"""The cursor job of a rotation that rewrites rows: of a data key (`resealing`) or of a lookup key (`retagging`).

In chunks, by serial. A chunk is read from a snapshot, made anew beside the writer, and written in one transaction
with the cursor, each value only where the one that was read still stands: what was deleted meanwhile stays deleted.
Tags and seals are functions of row and keys, so a job that was killed anywhere ends with the same bytes as one that
was not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, Protocol, cast

from keys.errors import SealError
from keys.ids import Purpose
from keys.rotating import Stage, Step
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.errors import TrustCenterError, VerificationError
from trustcenter.messages import api
from trustcenter.registrar import turns
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms import tagging
from trustcenter.store import Connection

from . import reindexing, resealing, retagging, rotation_record, rotation_show, stored_values
from .rotation_record import Rotation
from .stored_values import Part

CHUNK = 4_000  # rows in one transaction
BESIDE_SMALL: Final = 250  # the same while small requests arrive: their p99 pays for this one transaction
CHECKED: Final = 1_000  # rows that a verification looks at together
_log = logging.getLogger(__name__)


class _Work(Protocol):
    """What is done to the values of a chunk; modules stand for it."""

    def make(self, context: Context, domain: DomainRow, found: Rotation, part: Part) -> Any: ...
    def write(self, context: Context, conn: Connection, domain: DomainRow, made: Any) -> None: ...
    def check(self, context: Context, conn: Connection, domain: DomainRow, found: Rotation, part: Part) -> bool: ...


def _work(found: Rotation) -> _Work:
    return cast(_Work, retagging if found.purpose is Purpose.LOOKUP else resealing)


def start(context: Context, ident: str) -> None:
    """Begin or go on with a job in the background; one that runs in this process already goes on."""
    if ident in context.jobs and not context.jobs[ident].done():
        return
    context.jobs[ident] = asyncio.get_running_loop().create_task(_guarded(context, ident))


async def take_up(context: Context) -> None:
    """At the start of the service: go on with what a stop or a crash left."""
    for found in await context.db.read(rotation_record.listed):
        if found.stage is Stage.REWRITING:
            start(context, found.id)


async def stop(context: Context) -> None:
    """End the jobs of this process; the next start takes them up."""
    jobs, context.jobs = list(context.jobs.values()), {}
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


async def _guarded(context: Context, ident: str) -> None:
    try:
        async with context.db.turn(f"rewrite-{ident}", wait=False) as mine:
            if mine:
                await run(context, ident)
    except (TrustCenterError, SealError) as error:
        _log.error("a key rotation stopped (%s): trustcenter keys rotation resume", type(error).__name__)


async def run(context: Context, ident: str) -> Rotation:
    """Rewrite from the cursor to the end.

    Raises:
        SealError: a value was changed outside the service; the cursor stays before it.
        StoreUnavailableError: the database cannot be written now.
    """
    found = await context.db.read(lambda conn: rotation_record.find(conn, ident))
    domain = await context.db.read(lambda conn: rotation_show.by_scope(conn, found.scope))
    while found.stage is Stage.REWRITING:
        began = time.perf_counter()
        found = await step(context, domain, found, BESIDE_SMALL if turns.small_requests(context) else CHUNK)
        await turns.give_way(context, time.perf_counter() - began)
    return found


async def step(context: Context, domain: DomainRow, found: Rotation, size: int) -> Rotation:
    """Rewrite the next `size` rows, or end where none are left; the rotation afterwards."""
    if found.cursor < found.mark:
        return await _chunk(context, domain, found, size)
    return await _finish(context, domain, found)


async def _chunk(context: Context, domain: DomainRow, found: Rotation, size: int) -> Rotation:
    work = _work(found)
    chunk = await context.db.read(
        lambda conn: stored_values.read(context, conn, domain, found.cursor, found.mark, size)
    )
    made = [await asyncio.to_thread(work.make, context, domain, found, part) for part in chunk.parts]

    def effect(conn: Connection) -> Rotation:
        now = rotation_record.find(conn, found.id)
        if now.stage is not Stage.REWRITING or now.cursor != found.cursor:
            return now  # somebody else went on
        for part in made:
            work.write(context, conn, domain, part)
        return rotation_record.save(conn, replace(now, cursor=chunk.end, done=now.done + chunk.rows))

    return await context.db.write(effect)


async def _finish(context: Context, domain: DomainRow, found: Rotation) -> Rotation:
    """All that can be rewritten is: the tag index follows, and then nothing changes any more.

    Whether anything stays under the old key is looked at now and not before: what loses its original while the last
    rows are written would be overlooked otherwise.
    """
    left = False
    if found.purpose is Purpose.LOOKUP:
        await reindexing.run(context, domain, found.mark)
        left = await context.db.read(lambda conn: retagging.left_behind(context, conn, domain))

    def effect(conn: Connection) -> Rotation:
        now = rotation_record.find(conn, found.id)
        return _complete(context, conn, domain, now, left) if now.stage is Stage.REWRITING else now

    return await context.db.write(effect)


def _complete(context: Context, conn: Connection, domain: DomainRow, moved: Rotation, left: bool) -> Rotation:
    """Nothing is under the old version any more, or what has no original here still is."""
    if moved.purpose is Purpose.LOOKUP:
        reindexing.finish(context, conn, domain, moved.mark)
        if not left:
            tagging.set_in_use(conn, domain.id, (moved.to_version,))
    context.audit(
        conn,
        Event.KEY_REWRITE,
        "service",
        "",
        domain=domain.name,
        purpose=moved.purpose.value,
        version=moved.to_version,
        rotation=moved.id,
        rows=moved.done,
    )
    return rotation_record.step(context, conn, moved, Step.COMPLETE)


async def verify(
    context: Context, caller: Principal, request: str, found: Rotation, looked: Callable[[int], None]
) -> api.Rotation:
    """Check every sealed value, and count them: it opens under the new data key and, of a lookup key, is found.

    Args:
        context: the registrar.
        caller: an operator.
        request: id of the request.
        found: the rotation.
        looked: is told how many values were looked at so far.

    Raises:
        IllegalTransitionError: rows are still being rewritten.
        VerificationError: a value does not open; the rotation stays where it is.
    """
    domain = await context.db.read(lambda conn: rotation_show.by_scope(conn, found.scope))
    checked = 0
    if found.stage in (Stage.CHANGED, Stage.VERIFIED):
        async with aclosing(turns.through(context, lambda conn: _check(context, conn, domain, found))) as counts:
            async for count in counts:
                checked += count
                looked(checked)

    def effect(conn: Connection) -> api.Rotation:
        current = rotation_record.find(conn, found.id)
        after = rotation_record.step(context, conn, current, Step.VERIFY, done=checked)
        context.audit(
            conn,
            Event.KEY_VERIFY,
            caller.name,
            request,
            domain=domain.name,
            rotation=found.id,
            purpose=Purpose(found.purpose).value,
            values=checked,
        )
        return rotation_show.describe(context, conn, after)

    return await context.db.write(effect)


def _check(context: Context, conn: Connection, domain: DomainRow, found: Rotation) -> Iterator[int]:
    work, cursor = _work(found), 0
    (top,) = conn.execute("SELECT coalesce(max(serial), 0) FROM entry WHERE domain = ?", (domain.id,)).fetchone()
    while cursor < top:
        chunk = stored_values.read(context, conn, domain, cursor, top, CHECKED)
        cursor = chunk.end
        for part in chunk.parts:
            if not work.check(context, conn, domain, found, part):
                raise VerificationError(
                    "a stored value does not open under the new key, or is not found by it",
                    code="rewriting_broken",
                    hint="keep the old key version; trustcenter fsck names what is wrong",
                )
            yield len(part.serials)
