"""The registrar's side of files carried by hand: make one of everything that waits, and take the answer to it.

The same messages as over the connection, numbered and chained by the same ledger. A file may be made, lost and made
again: only the answer to the newest is taken, and taking it twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from trustcenter.audit import Event
from trustcenter.client.files import replacing
from trustcenter.errors import ConflictError, VerificationError
from trustcenter.instance.opened import Instance
from trustcenter.messages.carried import (
    AppliedWindow,
    Reconciliation,
    RoomAnswers,
    RoomFile,
    RoomFileTaken,
    RoomOrders,
)
from trustcenter.messages.reconcile import ReconciledRefs, Rejoin
from trustcenter.messages.rooms import EDGE_BYTES, Step, WindowOrder
from trustcenter.registrar.context import Context
from trustcenter.registrar.linking import carried, ledger, outbox, pairs, runs
from trustcenter.store import Connection

from . import by_hand_pages, reconciling, room_files, telling
from .by_hand import CarriedComparator, folder

OUTGOING: Final = "outgoing"
_ASKED: Final = "asked"  # the reconciliation that the newest file asks for, and its pages
_FOUND: Final = "found"  # pages of the answer to it
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
            questions = await asyncio.to_thread(self._comparator.questions)
            while (
                written := await self._registrar.db.read(lambda conn: self._write(conn, end, windows, questions))
            ) is None:
                await self._registrar.db.write(reconciling.spare)
            made, orders = written

            told = {"messages": orders.messages, "windows": len(windows), "file": made}

            def effect(conn: Connection) -> None:
                carried.expect(conn, made)
                self._registrar.audit(conn, Event.ROOMS_EXPORT, who, request, **told)

            await self._registrar.db.write(effect)
        return RoomFile(
            file=made,
            size=self.outgoing.stat().st_size,
            messages=orders.messages,
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

    def _write(
        self, conn: Connection, end: room_files.End, windows: list[WindowOrder], questions: list[WindowOrder]
    ) -> tuple[str, RoomOrders] | None:
        """Write a file of one moment: all messages that wait, after reconciling where the comparator is out of step.

        Returns:
            Its SHA-256 and first part; None where a message that waits has to be changed first (`reconciling.spare`).
        """
        mine, theirs, reconcile = ledger.step(conn), carried.theirs(conn), None
        studies, waiting = reconciling.announced(conn), outbox.waiting(conn)
        if theirs is not None:
            if reconciling.came_again(conn):
                return None
            step = reconciling.next_step(mine, theirs)
            messages = [reconciling.study_message(conn, name) for name in studies]
            reconcile = Reconciliation(at=theirs, studies=messages, rejoin=Rejoin(studies=studies, step=step))
            mine = step
        standing = [(name, pairs.standing(conn, name)) for name in studies]
        orders = RoomOrders(
            before=mine,
            reconcile=reconcile,
            messages=len(waiting),
            windows=windows,
            questions=questions,
            applied=[AppliedWindow(study=name, link=last.link) for name, last in standing if last is not None],
        )
        with ExitStack() as stack:
            kept = None
            if reconcile is not None:
                kept = stack.enter_context(replacing(self._folder / _ASKED, force=True))
            else:  # of a reconciliation that ended, were its end interrupted: it holds all refs
                (self._folder / _ASKED).unlink(missing_ok=True)
            return room_files.write(self.outgoing, end, by_hand_pages.content(conn, orders, waiting, kept)), orders

    async def take(self, path: Path, who: str, request: str) -> RoomFileTaken:
        """Take the answer to the newest file: acknowledge what was carried out, lay edges ready for their runs.

        Raises:
            VerificationError: damaged, or not of the paired comparator for this registrar; edges that are others.
            ConflictError: the answer to an earlier file.
        """
        end = await asyncio.to_thread(room_files.open_end, self._instance.config, self._instance.id)
        async with self._registrar.db.turn("outbox"):
            expected = await self._registrar.db.read(carried.outstanding)
            answer, windows = await asyncio.to_thread(self._bring, path, end, expected)
            if answer.code:
                return await self._refused(answer)
            done = await self._acknowledge(answer)

            def effect(conn: Connection) -> None:
                self._registrar.audit(
                    conn, Event.ROOMS_IMPORT, who, request, messages=done, windows=windows, file=answer.file
                )

            await self._registrar.db.write(effect)
        return RoomFileTaken(messages=done, windows=windows)

    def _bring(self, path: Path, end: room_files.End, expected: str) -> tuple[RoomAnswers, int]:
        """The answer, and how many windows of it lie ready; with them what it found of the refs, and estimates."""
        with room_files.reading(path, end) as read:
            answer = read.part(RoomAnswers)
            if answer.file != expected:
                raise ConflictError(
                    "this answers an earlier file than the newest",
                    code="answer_over",
                    hint="carry the newest file to the comparator, or make one: trustcenter rooms export",
                )
            if answer.code:
                return answer, 0
            if answer.pages:
                with replacing(self._folder / _FOUND, force=True) as stream:
                    for _ in range(answer.pages):
                        stream.write(room_files.part(read.part(ReconciledRefs)))
            self._comparator.estimated(answer.estimates)
            return answer, self._lay_ready(answer, read)

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
            wanted = order is not None and (header is None or header.answers(order))
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
        waiting, steps = await self._registrar.db.read(_steps)
        step = steps[0]
        if answer.at not in steps:
            if asked is None and answer.at.number < step.number:
                return 0  # the same answer again, and meanwhile more was acknowledged
            raise VerificationError("the comparator is at a step that this file does not lead to", code="foreign_step")
        left = {study.study: study.rows for study in answer.left}
        done = steps.index(answer.at)
        for row_id in waiting[:done]:
            kind, payload = await self._registrar.db.read(lambda conn, row_id=row_id: outbox.get(conn, row_id))  # type: ignore[misc]
            message = outbox.message(kind, payload)
            step = await telling.acknowledge(
                self._registrar, row_id, step, kind, payload, left.get(getattr(message, "study", ""), 0)
            )
        return done

    async def _reconciled(self, answer: RoomAnswers) -> Reconciliation | None:
        """Settle what reconciling found (M7), if the newest file asked for it."""
        if await self._registrar.db.read(carried.theirs) is None:
            return None
        records = rows = 0
        with (self._folder / _ASKED).open("rb") as stream:
            questions = room_files.reading_parts(stream)
            asked = questions.part(Reconciliation)
            if len(answer.studies) != len(asked.studies):
                raise by_hand_pages.unanswered()
            for message, found, missing, dropped in await asyncio.to_thread(
                by_hand_pages.found, self._folder / _FOUND, answer, asked, questions
            ):
                records += await reconciling.settle(self._registrar, message, found, missing)
                rows += dropped
        await reconciling.rejoin(self._registrar, asked.at, asked.rejoin.step, records=records, rows=rows)
        await self._registrar.db.write(lambda conn: carried.set_theirs(conn, None))
        for name in (_ASKED, _FOUND):
            (self._folder / name).unlink(missing_ok=True)
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


def _steps(conn: Connection) -> tuple[list[int], list[Step]]:
    """What waits, and the step before it and after each of it."""
    waiting, steps = outbox.waiting(conn), [ledger.step(conn)]
    for row_id in waiting:
        steps.append(steps[-1].after(*outbox.get(conn, row_id)))
    return waiting, steps
