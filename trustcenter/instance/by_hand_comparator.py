"""The comparator's side of files carried by hand: carry one out, and make the answer once its windows have ended.

It is the same work as over the connection, by the same functions. Every step may be repeated: messages have their
place in the ledger, windows are a pure function of the rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trustcenter.comparator import compare, deliveries, instructions, ledger, reconcile
from trustcenter.errors import ConflictError
from trustcenter.messages.carried import Reconciliation, RoomAnswers, RoomFile, RoomFileTaken, RoomOrders, StudyLeft
from trustcenter.messages.reconcile import ReconciledRefs, ReconciledStudy
from trustcenter.messages.rooms import KINDS, Envelope, StudyPhase, WindowOrder
from trustcenter.store import Connection

from . import places, room_files
from .by_hand import PART_BYTES, folder
from .opened import Instance
from .port import LocalComparator

_ENDED = ("delivered", "failed", "cancelled")


class ComparatorFiles:
    """Files from and to the registrar, one at a time."""

    def __init__(self, instance: Instance, comparator: LocalComparator) -> None:
        self._instance = instance
        self._context = instance.comparator
        self._comparator = comparator
        self._folder = folder(instance.config, "comparator")
        self._lock = asyncio.Lock()
        self._current: tuple[str, RoomOrders, RoomAnswers] | None = None  # the file whose windows are under way

    @property
    def outgoing(self) -> Path:
        """Where the newest answer lies."""
        return self._folder / "outgoing"

    def begin(self) -> None:
        """A file is brought (again): what failed before is tried again."""
        self._current = None

    async def take(self, path: Path, file: str) -> RoomFileTaken:
        """Carry a file out; asked again, how far its windows are. The answer is made when they have ended.

        Args:
            path: where it lies.
            file: its SHA-256.

        Raises:
            VerificationError: damaged, or not of the paired registrar for this comparator.
            ConflictError: older than one that was carried out.
        """
        end = await asyncio.to_thread(room_files.open_end, self._instance.config, self._instance.id)
        async with self._lock:
            if self._current is None or self._current[0] != file:
                orders = await asyncio.to_thread(_read, path, end)
                self._current = file, orders, await self._carry_out(file, orders)
            _, orders, answer = self._current
            windows = [await self._comparator.window(order.study, order.window, 0.0) for order in orders.windows]
            if answer.code:
                windows = []
            if all(window.state in _ENDED for window in windows):
                answer = msgspec.structs.replace(answer, windows=windows)
                made = await self._answer(end, answer)
            else:
                made = None
                for order, window in zip(orders.windows, windows, strict=True):
                    if window.state == "unknown":  # this process was restarted
                        await self._comparator.start_window(order)
        return RoomFileTaken(
            messages=0 if answer.code else len(orders.messages),
            windows=len(windows),
            code=answer.code,
            done=sum(window.done for window in windows),
            total=sum(window.total for window in windows),
            answer=made,
        )

    async def _carry_out(self, file: str, orders: RoomOrders) -> RoomAnswers:
        known = await self._context.db.read(ledger.step)
        steps, asked = orders.steps(), orders.reconcile
        again = known in steps
        if not again and (asked is None or asked.at != known or asked.rejoin.step != orders.before):
            return RoomAnswers(file=file, at=known, code="rooms_out_of_step")
        if asked is None:
            await self._context.db.read(lambda conn: _require_newest(conn, orders.windows))
        studies, refs = await self._reconcile(asked, again=again) if asked is not None else ([], [])
        first = steps.index(known) if again else 0
        for before, message in list(zip(steps, orders.messages, strict=False))[first:]:
            await self._comparator.tell(Envelope(before=before, kind=message.kind, payload=message.payload))
        for applied in orders.applied:
            await self._applied(applied.study, applied.link)
        for order in orders.windows:
            await self._comparator.start_window(order)
        left = await self._context.db.read(lambda conn: _left(conn, orders))
        return RoomAnswers(file=file, at=steps[-1], left=left, studies=studies, refs=refs)

    async def _reconcile(
        self, asked: Reconciliation, *, again: bool
    ) -> tuple[list[ReconciledStudy], list[ReconciledRefs]]:
        """M7. Where it was done before and the answer was lost, the questions are answered again, and nothing goes.

        A file may come again long after: a site that settled since has live rows which the file knows nothing of.
        """
        studies = [await self._comparator.reconcile_study(message) for message in asked.studies]
        refs = [await reconcile.refs(self._context, message, drop=not again) for message in asked.refs]
        if not again:
            await self._comparator.rejoin(asked.rejoin)
        return studies, refs

    async def _applied(self, study: str, link: str) -> None:
        """The registrar has applied this delivery: its edges go."""
        header = await self._context.db.read(lambda conn: deliveries.find_link(conn, study, link))
        if header is not None:
            await self._comparator.acknowledge(header)
            await self._context.db.write(lambda conn: compare.note_applied(conn, study, header.window, link))

    async def _answer(self, end: room_files.End, answer: RoomAnswers) -> RoomFile:
        spool = places.spool(self._instance.config, "comparator")

        def edges() -> Iterator[bytes]:
            for window in answer.windows:
                if window.header is None:
                    continue
                with (spool / f"{window.study}-{window.window}.edges").open("rb") as stream:
                    while part := stream.read(PART_BYTES):
                        yield part

        made = await asyncio.to_thread(room_files.write, self.outgoing, end, answer, edges())
        return RoomFile(file=made, size=self.outgoing.stat().st_size, messages=0, windows=len(answer.windows))


def _read(path: Path, end: room_files.End) -> RoomOrders:
    with room_files.reading(path, end, RoomOrders) as (orders, _):
        return orders


def _require_newest(conn: Connection, orders: list[WindowOrder]) -> None:
    """Refuse a file whose windows were applied, or followed by others.

    Raises:
        ConflictError: it is older than what was carried out.
    """
    for order in orders:
        query = "SELECT window_number - 1, applied_window FROM study WHERE name = ?"
        newest, applied = conn.execute(query, (order.study,)).fetchone() or (0, 0)
        if order.window < newest or order.window <= applied:
            raise ConflictError(
                "a later file was carried out already",
                code="room_file_over",
                hint="carry the registrar's newest file: trustcenter rooms export",
            )


def _left(conn: Connection, orders: RoomOrders) -> list[StudyLeft]:
    """Rows of the studies that were to be purged."""
    told = [msgspec.json.decode(message.payload, type=KINDS[message.kind]) for message in orders.messages]
    names = sorted({message.study for message in told if isinstance(message, StudyPhase) and message.purge})
    return [StudyLeft(study=name, rows=instructions.left(conn, name)) for name in names]
