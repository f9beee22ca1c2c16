"""The cursor job of a data key's rotation: every sealed original and string is sealed under the new version.

In chunks, by serial. A chunk is read from a snapshot, sealed anew beside the writer, and written in one transaction
with the cursor, each value only where the one that was read still stands: what was deleted meanwhile stays deleted.
Sealing is a function of row and key, so a job that was killed anywhere ends with the same bytes as one that was not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from keys.errors import SealError
from keys.ids import Purpose
from keys.rotating import Stage, Step
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.errors import TrustCenterError, VerificationError
from trustcenter.messages import api
from trustcenter.store import Connection

from . import drawn, issue, rotation, rotation_record, sealing
from .context import Context
from .domains import DomainRow
from .rotation_record import Rotation

CHUNK: Final = 4_000  # rows in one transaction
BESIDE_SMALL: Final = 500  # the same while small requests arrive
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Values:
    """Sealed values of a chunk, with what they are bound to. `table` says where they lie."""

    table: str
    serials: list[int]
    nonces: list[bytes]
    boxes: list[bytes]
    aads: list[bytes]


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
    domain = await context.db.read(lambda conn: rotation.by_scope(conn, found.scope))
    while found.stage is Stage.REWRITING:
        small, began = context.singles is not None and context.singles.busy(), time.perf_counter()
        size = BESIDE_SMALL if small else CHUNK
        cursor, mark = found.cursor, found.mark
        end, count, values = await context.db.read(
            lambda conn, cursor=cursor, mark=mark, size=size: _read(conn, domain, cursor, mark, size)  # type: ignore[misc]
        )
        fresh = [await asyncio.to_thread(_reseal, context, domain, found.to_version, part) for part in values]

        def effect(
            conn: Connection, end: int = end, count: int = count, values: list[_Values] = values,
            fresh: list[list[bytes]] = fresh, cursor: int = cursor,
        ) -> Rotation:  # fmt: skip
            now = rotation_record.find(conn, ident)
            if now.stage is not Stage.REWRITING or now.cursor != cursor:
                return now  # somebody else went on
            for part, boxes in zip(values, fresh, strict=True):
                _write(conn, domain, part, boxes)
            moved = replace(now, cursor=end, done=now.done + count)
            if end < now.mark:
                return rotation_record.save(conn, moved)
            context.audit(
                conn,
                Event.KEY_REWRITE,
                "service",
                "",
                domain=domain.name,
                purpose=now.purpose.value,
                version=now.to_version,
                rotation=ident,
                rows=moved.done,
            )
            return rotation_record.step(context, conn, moved, Step.COMPLETE)

        found = await context.db.write(effect)
        await asyncio.sleep(time.perf_counter() - began if small else 0)  # half of the time is for those who wait
    return found


def _read(conn: Connection, domain: DomainRow, cursor: int, mark: int, size: int) -> tuple[int, int, list[_Values]]:
    """Values of the next rows, the cursor after them, and how many rows they are."""
    rows = conn.execute(
        "SELECT serial, nonce, idx, tag, sealed FROM entry WHERE domain = ? AND serial > ? AND serial <= ?"
        " ORDER BY serial LIMIT ?",
        (domain.id, cursor, mark, size),
    ).fetchall()
    end = rows[-1][0] if len(rows) == size else mark
    originals, head = _Values("entry", [], [], [], []), issue.seal_head(domain)
    for serial, nonce, idx, tag, box in rows:
        if box is not None:
            ident = issue.row_id(serial, nonce)
            _add(originals, serial, ident + b"\1", box, head + ident + idx.to_bytes(4, "big") + tag)
    strings = _Values("stored_string", [], [], [], [])
    query = (
        "SELECT s.serial, e.nonce, s.tag, s.sealed FROM stored_string s JOIN entry e"
        " ON e.domain = s.domain AND e.serial = s.serial"
        " WHERE s.domain = ? AND s.serial > ? AND s.serial <= ? AND s.sealed IS NOT NULL"
    )
    for serial, nonce, tag, box in conn.execute(query, (domain.id, cursor, end)) if domain.strings else ():
        ident = issue.row_id(serial, nonce)
        _add(strings, serial, ident + b"\2", box, drawn.aads(domain, [ident], [tag])[0])
    return end, len(rows), [part for part in (originals, strings) if part.serials]


def _add(part: _Values, serial: int, nonce: bytes, box: bytes, aad: bytes) -> None:
    part.serials.append(serial)
    part.nonces.append(nonce)
    part.boxes.append(box)
    part.aads.append(aad)


def _reseal(context: Context, domain: DomainRow, version: int, part: _Values) -> list[bytes]:
    plain = sealing.unseal_oldest(context, domain, part.nonces, part.boxes, part.aads)
    return context.keys.seal(domain.uuid, version, part.nonces, plain, part.aads)


def _write(conn: Connection, domain: DomainRow, part: _Values, boxes: list[bytes]) -> None:
    conn.executemany(
        f"UPDATE {part.table} SET sealed = ? WHERE domain = ? AND serial = ? AND sealed = ?",  # noqa: S608 - constants
        [(box, domain.id, serial, before) for box, serial, before in zip(boxes, part.serials, part.boxes, strict=True)],
    )


async def verify(context: Context, caller: Principal, request: str, found: Rotation) -> api.Rotation:
    """Check that every sealed value opens under the new version, and count them.

    Raises:
        IllegalTransitionError: rows are still being rewritten.
        VerificationError: a value does not open; the rotation stays where it is.
    """
    domain = await context.db.read(lambda conn: rotation.by_scope(conn, found.scope))
    checked = 0
    if found.stage in (Stage.CHANGED, Stage.VERIFIED):
        async with aclosing(  # type: ignore[type-var]
            context.db.stream(lambda conn: _check(context, conn, domain, found), batch=1)
        ) as stream:
            async for (count,) in stream:
                checked += count

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
        return rotation.describe(context, conn, after)

    return await context.db.write(effect)


def _check(context: Context, conn: Connection, domain: DomainRow, found: Rotation) -> Iterator[int]:
    cursor, (top,) = (
        0,
        conn.execute("SELECT coalesce(max(serial), 0) FROM entry WHERE domain = ?", (domain.id,)).fetchone(),
    )
    while cursor < top:
        cursor, _, values = _read(conn, domain, cursor, top, CHUNK)
        for part in values:
            try:
                context.keys.unseal(domain.uuid, found.to_version, part.nonces, part.boxes, part.aads)
            except SealError:
                raise VerificationError(
                    "a stored value does not open under the new key",
                    code="rewriting_broken",
                    hint="keep the old key version; trustcenter fsck names what is wrong",
                ) from None
            yield len(part.serials)
