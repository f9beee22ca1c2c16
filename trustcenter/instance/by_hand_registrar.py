"""The registrar's side of files carried by hand: make one of everything that waits, and take the answer to it.

The same messages as over the connection, numbered and chained by the same ledger. A file may be made, lost and made
again: only the answer to the newest is taken, and taking it twice changes nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from trustcenter.audit import Event
from trustcenter.client.files import replacing
from trustcenter.errors import ConflictError, VerificationError
from trustcenter.messages.carried import (
    AppliedWindow,
    CarriedMessage,
    Reconciliation,
    RoomAnswers,
    RoomFile,
    RoomFileTaken,
    RoomOrders,
)
from trustcenter.messages.reconcile import Rejoin
from trustcenter.messages.rooms import EDGE_BYTES
from trustcenter.registrar import carried, ledger, outbox, pairs, runs
from trustcenter.registrar.context import Context
from trustcenter.store import Connection

from . import reconciling, room_files, telling
from .by_hand import CarriedComparator, answers, folder
from .opened import Instance

OUTGOING: Final = "outgoing"
_ASKED: Final = "asked.json"  # the reconciliation that the newest file asks for
_BLOCK: Final = 2**20
_ORDER_PAUSES: Final = 50
_ORDER_PAUSE_SECONDS: Final = 0.1


class RegistrarFiles:
    """Files to and from the comparator. One at a time, and not beside a delivery over the connection."""

    def __init__(self, instance: Instance, comparator: CarriedComparator) -> None:
        self._instance = instance
        self._registrar: Context = instance.registrar
        self._comparator = comparator
        self._folder = folder(instance.config, "registrar")

    @property
    def outgoing(self) -> Path:
        """Where the newest file lies."""
        return self._folder / OUTGOING

    async def export(self, who: str, request: str) -> RoomFile:
        """Make the file of everything that waits. The one before is not answered any more.

        Raises:
            ConflictError: the rooms have not exchanged cards with keys.
        """
        end = await asyncio.to_thread(room_files.open_end, self._instance.config, self._instance.id)
        await self._let_runs_order()
        async with self._registrar.db.turn("outbox"):
            windows = await asyncio.to_thread(self._comparator.orders)
            orders = await self._registrar.db.read(self._orders)
            orders = msgspec.structs.replace(orders, windows=windows)
            if orders.reconcile is not None:
                await asyncio.to_thread(_keep, self._folder / _ASKED, msgspec.json.encode(orders.reconcile))
            else:  # of a reconciliation that ended, were its end interrupted: it holds all refs
                (self._folder / _ASKED).unlink(missing_ok=True)
            made = await asyncio.to_thread(room_files.write, self.outgoing, end, orders)

            told = {"messages": len(orders.messages), "windows": len(windows), "file": made}

            def effect(conn: Connection) -> None:
                carried.expect(conn, made)
                self._registrar.audit(conn, Event.ROOMS_EXPORT, who, request, **told)

            await self._registrar.db.write(effect)
        return RoomFile(
            file=made,
            size=self.outgoing.stat().st_size,
            messages=len(orders.messages),
            windows=len(windows),
            reconciles=orders.reconcile is not None,
        )

    async def _let_runs_order(self) -> None:
        """Give runs that were started a moment ago the time to put their orders down."""
        for _ in range(_ORDER_PAUSES):
            under_way = [run for run in await runs.interrupted(self._registrar) if run.state != "deciding"]
            if all(self._comparator.ordered(run.study, run.window) is not None for run in under_way):
                return
            await asyncio.sleep(_ORDER_PAUSE_SECONDS)

    def _orders(self, conn: Connection) -> RoomOrders:
        """All messages that wait, after reconciling where the comparator said that it is out of step."""
        mine, theirs, reconcile = ledger.step(conn), carried.theirs(conn), None
        studies = reconciling.announced(conn)
        if theirs is not None:
            step = reconciling.next_step(mine, theirs)
            reconcile = Reconciliation(
                at=theirs,
                studies=[reconciling.study_message(conn, name) for name in studies],
                refs=[page for name in studies for page in reconciling.refs_messages(conn, name)],
                rejoin=Rejoin(studies=studies, step=step),
            )
            mine = step
        waiting = [outbox.get(conn, row_id) for row_id in outbox.waiting(conn)]
        standing = [(name, pairs.standing(conn, name)) for name in studies]
        return RoomOrders(
            before=mine,
            reconcile=reconcile,
            messages=[CarriedMessage(kind=kind, payload=payload) for kind, payload in waiting],
            windows=[],
            applied=[AppliedWindow(study=name, link=last.link) for name, last in standing if last is not None],
        )

    async def take(self, path: Path, who: str, request: str) -> RoomFileTaken:
        """Take the answer to the newest file: acknowledge what was carried out, lay edges ready for their runs.

        Raises:
            VerificationError: damaged, or not of the paired comparator for this registrar; edges that are others.
            ConflictError: the answer to an earlier file.
        """
        end = await asyncio.to_thread(room_files.open_end, self._instance.config, self._instance.id)
        async with self._registrar.db.turn("outbox"):
            expected = await self._registrar.db.read(carried.outstanding)
            answer, windows = await asyncio.to_thread(self._read, path, end, expected)
            if answer.code:
                return await self._refused(answer)
            done = await self._acknowledge(answer)

            def effect(conn: Connection) -> None:
                self._registrar.audit(
                    conn, Event.ROOMS_IMPORT, who, request, messages=done, windows=windows, file=answer.file
                )

            await self._registrar.db.write(effect)
        return RoomFileTaken(messages=done, windows=windows)

    def _read(self, path: Path, end: room_files.End, expected: str) -> tuple[RoomAnswers, int]:
        """The answer, and how many windows of it lie ready."""
        with room_files.reading(path, end, RoomAnswers) as (answer, read):
            if answer.file != expected:
                raise ConflictError(
                    "this answers an earlier file than the newest",
                    code="answer_over",
                    hint="carry the newest file to the comparator, or make one: trustcenter rooms export",
                )
            return answer, 0 if answer.code else self._lay_ready(answer, read)

    async def _refused(self, answer: RoomAnswers) -> RoomFileTaken:
        """The comparator carried nothing out. Where it is of another moment, the next file reconciles."""
        if answer.code == "rooms_out_of_step":
            mine = await self._registrar.db.read(ledger.step)
            reconciling.require_near(answer.at.number, mine.number)
            await self._registrar.db.write(lambda conn: carried.set_theirs(conn, answer.at))
        return RoomFileTaken(messages=0, windows=0, code=answer.code)

    def _lay_ready(self, answer: RoomAnswers, read: Callable[[int], bytes]) -> int:
        """Edges of windows that are wanted go where their runs look for them; how many windows."""
        ready = 0
        for state in answer.windows:
            header = state.header
            order = self._comparator.ordered(state.study, state.window)
            wanted = order is not None and (header is None or answers(header, order))
            size = header.edges * EDGE_BYTES if header is not None else 0
            if wanted and header is not None:
                with replacing(self._comparator.edges_file(state.study, state.window), force=True) as stream:
                    _copy(read, size, stream.write)
            else:
                _copy(read, size, lambda _: None)
            if wanted and state.state in ("delivered", "failed"):
                self._comparator.answer(state)
                ready += 1
        return ready

    async def _acknowledge(self, answer: RoomAnswers) -> int:
        """Take the steps that the comparator has taken.

        Raises:
            VerificationError: it is at a step that the file does not lead to.
        """
        asked = await self._reconciled(answer)
        waiting = await self._registrar.db.read(
            lambda conn: [(row_id, *outbox.get(conn, row_id)) for row_id in outbox.waiting(conn)]
        )
        step = await self._registrar.db.read(ledger.step)
        steps = [step]
        for _, kind, payload in waiting:
            steps.append(steps[-1].after(kind, payload))
        if answer.at not in steps:
            if asked is None and answer.at.number < step.number:
                return 0  # the same answer again, and meanwhile more was acknowledged
            raise VerificationError("the comparator is at a step that this file does not lead to", code="foreign_step")
        left = {study.study: study.rows for study in answer.left}
        done = steps.index(answer.at)
        for row_id, kind, payload in waiting[:done]:
            message = outbox.message(kind, payload)
            step = await telling.acknowledge(
                self._registrar, row_id, step, kind, payload, left.get(getattr(message, "study", ""), 0)
            )
        return done

    async def _reconciled(self, answer: RoomAnswers) -> Reconciliation | None:
        """Settle what reconciling found (M7), if the newest file asked for it."""
        if await self._registrar.db.read(carried.theirs) is None:
            return None
        raw = await asyncio.to_thread((self._folder / _ASKED).read_bytes)
        asked = msgspec.json.decode(raw, type=Reconciliation)
        if len(answer.studies) != len(asked.studies) or len(answer.refs) != len(asked.refs):
            raise VerificationError("the comparator did not answer all that it was asked", code="foreign_step")
        records = 0
        for message, found in zip(asked.studies, answer.studies, strict=True):
            pages = [
                (page, said)
                for page, said in zip(asked.refs, answer.refs, strict=True)
                if page.study == message.params.study
            ]
            missing = [ref for page, said in pages for ref in reconciling.missing_of(said.missing, page)]
            records += await reconciling.settle(self._registrar, message, found, missing)
        rows = sum(said.dropped for said in answer.refs)
        await reconciling.rejoin(self._registrar, asked.at, asked.rejoin.step, records=records, rows=rows)
        await self._registrar.db.write(lambda conn: carried.set_theirs(conn, None))
        (self._folder / _ASKED).unlink(missing_ok=True)
        return asked


def _copy(read: Callable[[int], bytes], size: int, write: Callable[[bytes], object]) -> None:
    """Exactly so many bytes.

    Raises:
        VerificationError: there are fewer.
    """
    while size:
        block = read(min(size, _BLOCK))
        if not block:
            raise VerificationError("the edges are not those that were announced", code="edges_damaged")
        write(block)
        size -= len(block)


def _keep(path: Path, content: bytes) -> None:
    with replacing(path, force=True) as stream:
        stream.write(content)
    os.chmod(path, 0o600)  # noqa: PTH101
