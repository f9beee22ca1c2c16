"""Windows at the comparator: one job each, in worker processes; the packed edges wait in a file until they are applied.

How far a job is lives in memory only. What is delivered stands in the store; a file that a crash took is made again,
because the comparison is a pure function of the rows.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import msgspec
import structlog

from trustcenter.comparator import compare, deliveries, estimating, pieces
from trustcenter.comparator.context import Context
from trustcenter.config import Config
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.instance import places
from trustcenter.instance.workers import Workers
from trustcenter.messages.rooms import EDGE_BYTES, WindowEstimate, WindowOrder, WindowState

PART_BYTES: Final = EDGE_BYTES * 2**19  # bytes of one part of the edges: whole edges, about 17 MB
_log = structlog.get_logger()


class _Job:
    """A window that is being compared, or was."""

    def __init__(self, order: WindowOrder) -> None:
        self.order = order
        self.state = WindowState(study=order.study, window=order.window, state="running", stage="queued")
        self.task: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()

    def tell(self, stage: str, done: int, total: int) -> None:
        self.state = msgspec.structs.replace(self.state, stage=stage, done=done, total=total)

    def end(self, state: WindowState) -> None:
        self.state = state
        self.ended.set()

    async def stop(self) -> None:
        """Stop comparing."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        if not self.ended.is_set():  # its task had not begun
            self.end(msgspec.structs.replace(self.state, state="cancelled"))


class Windows:
    """The comparator's windows. Lives on the event loop of its process."""

    def __init__(self, config: Config, comparator: Context, workers: Workers) -> None:
        self._comparator = comparator
        self._workers = workers
        self._place = places.database(config, "comparator")
        self._spool = places.spool(config, "comparator")
        self._jobs: dict[tuple[str, int], _Job] = {}

    async def stop(self) -> None:
        """Stop what is under way; the registrar orders it again."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def start(self, order: WindowOrder) -> WindowState:
        """Compare a window, unless it is under way or its edges lie ready.

        Of another order they are not: the registrar was restored or upgraded in the middle of a run, and wants more.

        Raises:
            NotFoundError: the comparator does not know the study.
        """
        known = self._jobs.get((order.study, order.window))
        if known is not None and not known.ended.is_set():
            if known.order == order:
                return known.state
            await known.stop()
        found = await self._delivered(order.study, order.window)
        if found is not None and found.header is not None and found.header.answers(order):
            return found
        await self._comparator.db.read(lambda conn: compare.require_study(conn, order.study))
        await self.forget(order.study)
        job = self._jobs[order.study, order.window] = _Job(order)
        job.task = asyncio.create_task(self._guard(job, order))
        return job.state

    async def estimate(self, order: WindowOrder) -> WindowEstimate:
        """What a window would compare; nothing is changed.

        Raises:
            NotFoundError: the comparator does not know the study.
        """
        await self._comparator.db.read(lambda conn: compare.require_study(conn, order.study))
        frozen = await self._comparator.db.read(lambda conn: compare.look(conn, order))
        return await self._workers.compute(estimating.estimate, self._place, frozen)

    async def show(self, study: str, window: int, patience: float) -> WindowState:
        """How far a window is, once it has ended or `patience` seconds have passed."""
        job = self._jobs.get((study, window))
        if job is not None:
            try:
                async with asyncio.timeout(patience):
                    await job.ended.wait()
            except TimeoutError:
                pass
            return job.state
        found = await self._delivered(study, window)
        return found if found is not None else WindowState(study=study, window=window, state="unknown")

    async def cancel(self, study: str, window: int) -> None:
        """Stop comparing a window."""
        job = self._jobs.get((study, window))
        if job is not None and not job.ended.is_set():
            await job.stop()

    async def edges(self, study: str, window: int, start: int) -> bytes:
        """The part of a window's packed edges that begins at byte `start`; empty at their end.

        Raises:
            NotFoundError: this window is not delivered, or its edges are applied and gone.
        """

        def read() -> bytes:
            with self._file(study, window).open("rb") as file:
                file.seek(start)
                return file.read(PART_BYTES)

        try:
            return await asyncio.to_thread(read)
        except FileNotFoundError:
            raise NotFoundError("the edges of this window are not here", code="no_edges") from None

    async def acknowledge(self, study: str, window: int, sha256: str) -> None:
        """Forget the edges of a window that are applied.

        Raises:
            ConflictError: what was applied is not what was delivered.
        """
        found = await self._comparator.db.read(lambda conn: deliveries.find(conn, study, window))
        if found is None or found.header is None or found.header.sha256 != sha256:
            raise ConflictError("other edges were delivered than were applied", code="foreign_edges")
        self._jobs.pop((study, window), None)
        await asyncio.to_thread(self._file(study, window).unlink, missing_ok=True)

    async def forget(self, study: str) -> None:
        """Remove what is left of earlier windows of a study: of a cancelled one nobody fetched the edges."""
        await self._forget(lambda of: of == study)

    async def forget_others(self, studies: Collection[str]) -> None:
        """Remove what is left of windows of all studies but these."""
        await self._forget(lambda of: of not in studies)

    async def _forget(self, meant: Callable[[str], bool]) -> None:
        def remove() -> None:
            for path in self._spool.glob("*.edges*"):
                if not meant(path.name.rpartition(".")[0].rpartition("-")[0]):
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

        await asyncio.to_thread(remove)

    def _file(self, study: str, window: int) -> Path:
        return self._spool / f"{study}-{window}.edges"

    async def _delivered(self, study: str, window: int) -> WindowState | None:
        """A window whose edges lie ready, all of them."""
        found = await self._comparator.db.read(lambda conn: deliveries.find(conn, study, window))
        path = self._file(study, window)
        if found is None or found.header is None or not path.is_file():
            return None
        return found if path.stat().st_size == found.header.edges * EDGE_BYTES else None

    async def _guard(self, job: _Job, order: WindowOrder) -> None:
        """Run a job; whatever goes wrong ends the job with a code, never the service."""
        try:
            job.end(await self._carry_out(order, job.tell))
        except asyncio.CancelledError:
            job.end(msgspec.structs.replace(job.state, state="cancelled"))
            raise
        except Exception as caught:
            error: BaseException = caught
            while isinstance(error, BaseExceptionGroup):  # of the task group that compares
                error = error.exceptions[0]
            code = str(getattr(error, "code", "internal_error"))
            _log.error("window_failed", window=order.window, code=code, error_type=type(error).__name__)
            job.end(msgspec.structs.replace(job.state, state="failed", code=code))

    async def _carry_out(self, order: WindowOrder, tell: Callable[[str, int, int], None]) -> WindowState:
        """Freeze, compare piece by piece, and lay the edges ready.

        The pieces' edges pass from process to process as files: the memory of this one does not grow with them.
        """
        frozen = await compare.freeze(self._comparator, order)
        target = self._file(order.study, order.window)
        folder = target.with_suffix(".edges-pieces")
        await asyncio.to_thread(_make, folder)
        try:
            plan = await self._workers.compute(pieces.plan, self._place, frozen)
            found: list[pieces.Found] = []
            # At most one task per worker is under way, so that a cancelled window stops after one piece.
            limit = asyncio.Semaphore(self._workers.count)

            async def one(piece: pieces.Piece) -> None:
                async with limit:
                    found.append(await self._workers.compute(pieces.join_piece, self._place, frozen, piece, folder))
                    tell("comparing", len(found), len(plan))

            tell("comparing", 0, len(plan))
            async with asyncio.TaskGroup() as group:
                for piece in plan:
                    group.create_task(one(piece))
            joined = await self._workers.compute(pieces.merge, folder, target, found)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return await compare.deliver(self._comparator, frozen, joined, order)


def _make(folder: Path) -> None:
    """A new, empty folder for the pieces of a window."""
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
