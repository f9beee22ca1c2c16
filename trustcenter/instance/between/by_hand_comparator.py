"""The comparator's side of files carried by hand: carry one out, and make the answer once its windows have ended.

It is the same work as over the connection, by the same functions. Every step may be repeated: messages have their
place in the ledger, windows are a pure function of the rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from trustcenter.client.files import replacing
from trustcenter.comparator import compare, deliveries, instructions, ledger, reconcile
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.instance import places
from trustcenter.instance.opened import Instance
from trustcenter.messages.carried import (
    CarriedMessage,
    Reconciliation,
    RoomAnswers,
    RoomFile,
    RoomFileTaken,
    RoomOrders,
    StudyLeft,
)
from trustcenter.messages.reconcile import ReconciledStudy, ReconcileRefs
from trustcenter.messages.rooms import Envelope, Step, StudyPhase, WindowEstimate, WindowOrder
from trustcenter.store import Connection

from . import room_files
from .by_hand import PART_BYTES, folder
from .port import LocalComparator

_ENDED: Final = ("delivered", "failed", "cancelled")
_FOUND: Final = "found"  # what reconciling found of the refs: pages for the answer


@dataclass(frozen=True)
class _Looked:
    """What a file holds, looked through before anything of it is carried out.

    Attributes:
        orders: its first part.
        steps: the step before its first message, and after each.
        purged: studies of which all is to go.
    """

    orders: RoomOrders
    steps: list[Step]
    purged: list[str]


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
                looked = await asyncio.to_thread(_look_through, path, end)
                with ExitStack() as stack:
                    read = await asyncio.to_thread(stack.enter_context, room_files.reading(path, end))
                    self._current = file, looked.orders, await self._carry_out(file, looked, read)
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
            messages=0 if answer.code else orders.messages,
            windows=len(windows),
            code=answer.code,
            done=sum(window.done for window in windows),
            total=sum(window.total for window in windows),
            answer=made,
        )

    async def _carry_out(self, file: str, looked: _Looked, read: room_files.Reader) -> RoomAnswers:
        known = await self._context.db.read(ledger.step)
        orders, steps = await asyncio.to_thread(read.part, RoomOrders), looked.steps
        asked = orders.reconcile
        again = known in steps
        if not again and (asked is None or asked.at != known or asked.rejoin.step != orders.before):
            return RoomAnswers(file=file, at=known, code="rooms_out_of_step")
        if asked is None:
            await self._context.db.read(lambda conn: _require_newest(conn, orders.windows))
        studies, pages = await self._reconcile(asked, read, again=again) if asked is not None else ([], 0)
        first = steps.index(known) if again else 0
        for number, before in enumerate(steps[:-1]):
            message = await asyncio.to_thread(read.part, CarriedMessage)
            if number >= first:
                await self._comparator.tell(Envelope(before=before, kind=message.kind, payload=message.payload))
        for applied in orders.applied:
            await self._applied(applied.study, applied.link)
        for order in orders.windows:
            await self._comparator.start_window(order)
        left = await self._context.db.read(lambda conn: _left(conn, looked.purged))
        estimates = [said for order in orders.questions if (said := await self._estimate(order)) is not None]
        return RoomAnswers(file=file, at=steps[-1], left=left, studies=studies, pages=pages, estimates=estimates)

    async def _reconcile(
        self, asked: Reconciliation, read: room_files.Reader, *, again: bool
    ) -> tuple[list[ReconciledStudy], int]:
        """M7; how many pages of what was found of the refs were kept for the answer.

        Where it was done before and the answer was lost, the questions are answered again, and nothing goes. A file may
        come again long after: a site that settled since has live rows which the file knows nothing of.
        """
        studies, pages = [], 0
        with replacing(self._folder / _FOUND, force=True) as found:
            for message in asked.studies:
                studies.append(await self._comparator.reconcile_study(message))
                more = True
                while more:
                    page = await asyncio.to_thread(read.part, ReconcileRefs)
                    said = await reconcile.refs(self._context, page, drop=not again)
                    found.write(room_files.part(said))
                    pages, more = pages + 1, page.high is not None
        if not again:
            await self._comparator.rejoin(asked.rejoin)
        return studies, pages

    async def _estimate(self, order: WindowOrder) -> WindowEstimate | None:
        """What a window would compare; None of a study that is not known here."""
        try:
            return await self._comparator.estimate(order)
        except NotFoundError:
            return None

    async def _applied(self, study: str, link: str) -> None:
        """The registrar has applied this delivery: its edges go."""
        header = await self._context.db.read(lambda conn: deliveries.find_link(conn, study, link))
        if header is not None:
            await self._comparator.acknowledge(header)
            await self._context.db.write(lambda conn: compare.note_applied(conn, study, header.window, link))

    async def _answer(self, end: room_files.End, answer: RoomAnswers) -> RoomFile:
        spool = places.spool(self._instance.config, "comparator")

        def content() -> Iterator[bytes]:
            yield room_files.part(answer)
            if answer.pages:
                yield from _pieces(self._folder / _FOUND)
            for window in answer.windows:
                if window.header is not None:
                    yield from _pieces(spool / f"{window.study}-{window.window}.edges")

        made = await asyncio.to_thread(room_files.write, self.outgoing, end, content())
        return RoomFile(file=made, size=self.outgoing.stat().st_size, messages=0, windows=len(answer.windows))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(PART_BYTES):
            yield piece


def _look_through(path: Path, end: room_files.End) -> _Looked:
    """All of a file, of which nothing is kept but its steps."""
    with room_files.reading(path, end) as read:
        orders = read.part(RoomOrders)
        for _ in orders.reconcile.studies if orders.reconcile is not None else ():
            while read.part(ReconcileRefs).high is not None:
                pass
        steps, purged = [orders.before], set()
        for _ in range(orders.messages):
            message = read.part(CarriedMessage)
            steps.append(steps[-1].after(message.kind, message.payload))
            told = instructions.read(message.kind, message.payload)
            if isinstance(told, StudyPhase) and told.purge:
                purged.add(told.study)
    return _Looked(orders, steps, sorted(purged))


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


def _left(conn: Connection, names: Sequence[str]) -> list[StudyLeft]:
    """Rows of the studies that were to be purged."""
    return [StudyLeft(study=name, rows=instructions.left(conn, name)) for name in names]
