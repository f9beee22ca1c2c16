"""The comparator that nobody reaches: what it is told goes into files that people carry (docs/spec/room-files.md).

Messages stay in the outbox, and orders of windows in a folder, until a file is made of them. What came back lies in
the same folder, where the runs look for it. Everything here can be lost: the runs order again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import msgspec

from trustcenter.client.files import replacing
from trustcenter.config import Config
from trustcenter.errors import ConflictError
from trustcenter.instance import places
from trustcenter.messages.common import Message
from trustcenter.messages.reconcile import ReconciledRefs, ReconciledStudy, ReconcileRefs, ReconcileStudy, Rejoin
from trustcenter.messages.rooms import (
    EdgesHeader,
    Envelope,
    PeerState,
    Settle,
    Settled,
    Told,
    WindowEstimate,
    WindowOrder,
    WindowState,
)

T = TypeVar("T")
PART_BYTES: Final = 2**24
_ASKED: Final = 0  # in place of a window's number: what a window would compare


def folder(config: Config, room: str) -> Path:
    """Where a room keeps files on their way and what came of them; made if it is missing."""
    found = places.spool(config, room) / "by-hand"
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


class CarriedComparator:
    """`port.Comparator` whose answers come by hand, hours or days later."""

    apart = True

    def __init__(self, config: Config) -> None:
        self._folder = folder(config, "registrar")

    # --- what a file carries ---------------------------------------------------------------------------

    def orders(self) -> list[WindowOrder]:
        """The windows that are wanted and not answered, by study."""
        return [order for order in self._all("order") if self._answered(order) is None]

    def ordered(self, study: str, window: int) -> WindowOrder | None:
        """The order of a window; None if none is wanted."""
        return self._read(study, window, "order", WindowOrder)

    def questions(self) -> list[WindowOrder]:
        """The windows about which somebody asked what they would compare, by study.

        They stay until a window of the study is ordered: each round of files brings what is true then.
        """
        return self._all("question")

    def estimated(self, estimates: list[WindowEstimate]) -> None:
        """Put down what the comparator says of questions."""
        for said in estimates:
            if self._file(said.study, _ASKED, "question").is_file():
                self._put(said.study, _ASKED, "estimate", said)

    def edges_file(self, study: str, window: int) -> Path:
        """Where the edges of a window are put before `answer`."""
        return self._file(study, window, "edges")

    def answer(self, state: WindowState) -> None:
        """Put down what the comparator says of a window; its edges lie there already."""
        self._put(state.study, state.window, "state", state)

    # --- port.Comparator -------------------------------------------------------------------------------

    async def start_window(self, order: WindowOrder) -> WindowState:
        """Put the order down for the next file, unless its answer is here."""

        def put() -> WindowState:
            known = self.ordered(order.study, order.window)
            if known != order:
                self._forget_study(order.study)
                self._put(order.study, order.window, "order", order)
            return self._answered(order) or self._waiting(order.study, order.window)

        return await asyncio.to_thread(put)

    async def window(self, study: str, window: int, patience: float) -> WindowState:
        """The answer to a window, if it has been brought."""

        def look() -> WindowState:
            order = self.ordered(study, window)
            if order is None:
                return WindowState(study=study, window=window, state="unknown")
            return self._answered(order) or self._waiting(study, window)

        found = await asyncio.to_thread(look)
        if found.state == "running":
            await asyncio.sleep(patience)
        return found

    async def cancel(self, study: str, window: int) -> None:
        """Take an order back; a file that carries it already does no harm."""
        await asyncio.to_thread(self._forget, study, window)

    async def edges(self, header: EdgesHeader) -> AsyncIterator[bytes]:
        """The edges that were brought."""
        path = self.edges_file(header.study, header.window)
        with await asyncio.to_thread(path.open, "rb") as stream:
            while part := await asyncio.to_thread(stream.read, PART_BYTES):
                yield part

    async def acknowledge(self, header: EdgesHeader) -> None:
        """Forget the window here; the next file tells the comparator."""
        await asyncio.to_thread(self._forget, header.study, header.window)

    async def estimate(self, order: WindowOrder) -> WindowEstimate:
        """What the last files said of exactly this window.

        Raises:
            ConflictError: they said nothing; the next ones ask.
        """

        def look() -> WindowEstimate | None:
            if self._read(order.study, _ASKED, "question", WindowOrder) == order:
                return self._read(order.study, _ASKED, "estimate", WindowEstimate)
            self._file(order.study, _ASKED, "estimate").unlink(missing_ok=True)
            self._put(order.study, _ASKED, "question", order)
            return None

        found = await asyncio.to_thread(look)
        if found is None:
            raise ConflictError(
                "files are carried to the comparator by hand: the next ones ask it",
                code="estimate_by_hand",
                hint="trustcenter rooms export, carry-out and import; then ask again",
            )
        return found

    async def tell(self, envelope: Envelope) -> Told:
        """See `_refuse`."""
        _refuse()

    async def settle(self, message: Settle) -> Settled:
        """See `_refuse`."""
        _refuse()

    async def state(self) -> PeerState:
        """See `_refuse`."""
        _refuse()

    async def reconcile_study(self, message: ReconcileStudy) -> ReconciledStudy:
        """See `_refuse`."""
        _refuse()

    async def reconcile_refs(self, message: ReconcileRefs) -> ReconciledRefs:
        """See `_refuse`."""
        _refuse()

    async def rejoin(self, message: Rejoin) -> None:
        """See `_refuse`."""
        _refuse()

    # --- files -----------------------------------------------------------------------------------------

    def _file(self, study: str, window: int, what: str) -> Path:
        return self._folder / f"{study}-{window}.{what}"

    def _put(self, study: str, window: int, what: str, message: Message) -> None:
        with replacing(self._file(study, window, what), force=True) as stream:
            stream.write(msgspec.json.encode(message))

    def _read(self, study: str, window: int, what: str, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode(self._file(study, window, what).read_bytes(), type=kind)
        except FileNotFoundError:
            return None

    def _all(self, what: str) -> list[WindowOrder]:
        found = [msgspec.json.decode(path.read_bytes(), type=WindowOrder) for path in self._folder.glob(f"*.{what}")]
        return sorted(found, key=lambda order: (order.study, order.window))

    def _answered(self, order: WindowOrder) -> WindowState | None:
        """What was brought for exactly this order. An answer to another order of the window is none."""
        found = self._read(order.study, order.window, "state", WindowState)
        return found if found is None or found.header is None or found.header.answers(order) else None

    @staticmethod
    def _waiting(study: str, window: int) -> WindowState:
        return WindowState(study=study, window=window, state="running", stage="carried by hand")

    def _forget_study(self, study: str) -> None:
        """A study has one run at a time: what is left of earlier ones goes."""
        for path in self._folder.glob("*-*.*"):
            if path.name.rpartition(".")[0].rpartition("-")[0] == study:
                path.unlink(missing_ok=True)

    def _forget(self, study: str, window: int) -> None:
        for what in ("order", "state", "edges"):
            self._file(study, window, what).unlink(missing_ok=True)


def _refuse() -> NoReturn:
    """Refuse what needs an answer at once.

    Raises:
        ConflictError: files are carried to the comparator.
    """
    raise ConflictError(
        "the comparator has no connection: files are carried to it by hand",
        code="carried_by_hand",
        hint="trustcenter rooms export, carry-out and import: docs/how-to/separate-rooms.md",
    )
