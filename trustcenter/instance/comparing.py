"""Windows at the comparator: one job each, in worker processes; the packed edges wait in a file until they are applied.

How far a job is lives in memory only. What is delivered stands in the store; a file that a crash took is made again,
because the comparison is a pure function of the rows.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from trustcenter.comparator import compare, deliveries
from trustcenter.comparator.context import Context
from trustcenter.config import Config
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.messages.rooms import EDGE_BYTES, WindowOrder, WindowState

from . import places
from .workers import Workers

PART_BYTES: Final = EDGE_BYTES * 2**19  # bytes of one part of the edges: whole edges, about 17 MB
_log = structlog.get_logger()


class _Job:
    """A window that is being compared, or was."""

    def __init__(self, order: WindowOrder) -> None:
        self.state = WindowState(study=order.study, window=order.window, state="running", stage="queued")
        self.task: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()

    def tell(self, stage: str, done: int, total: int) -> None:
        self.state = msgspec.structs.replace(self.state, stage=stage, done=done, total=total)

    def end(self, state: WindowState) -> None:
        self.state = state
        self.ended.set()


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

        Raises:
            NotFoundError: the comparator does not know the study.
        """
        known = self._jobs.get((order.study, order.window))
        if known is not None and not known.ended.is_set():
            return known.state
        found = await self._delivered(order.study, order.window)
        if found is not None:
            return found
        await self._comparator.db.read(lambda conn: compare.require_study(conn, order.study))
        await self.forget(order.study)
        job = self._jobs[order.study, order.window] = _Job(order)
        job.task = asyncio.create_task(self._guard(job, order))
        return job.state

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
        if job is not None and job.task is not None and not job.ended.is_set():
            job.task.cancel()
            await job.ended.wait()

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

        def remove() -> None:
            for path in self._spool.glob("*.edges*"):
                if path.name.rpartition("-")[0] == study:
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
        """Freeze, compare pass by pass, and lay the edges ready."""
        frozen = await compare.freeze(self._comparator, order.study, order.window)
        parts: dict[int, compare.Compared] = {}
        # At most one task per worker is under way, so that a cancelled window stops after one pass.
        limit = asyncio.Semaphore(self._workers.count)

        async def one(number: int) -> None:
            async with limit:
                parts[number] = await self._workers.compute(compare.compare_pass, self._place, frozen, number)
                tell("comparing", len(parts), frozen.passes)

        tell("comparing", 0, frozen.passes)
        async with asyncio.TaskGroup() as group:
            for number in range(frozen.passes):
                group.create_task(one(number))
        ordered = [parts[number] for number in range(frozen.passes)]
        edges = await self._workers.compute(compare.merge, [part.edges for part in ordered])
        await asyncio.to_thread(self._write, self._file(order.study, order.window), edges)
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(edges).hexdigest())
        count = len(edges) // EDGE_BYTES
        return await compare.deliver(self._comparator, frozen, ordered, count, sha256, order)

    def _write(self, path: Path, edges: bytes) -> None:
        """Durable before the delivery is: a header without its edges would have to be made again."""
        self._spool.mkdir(mode=0o700, exist_ok=True)
        fresh = path.with_suffix(".edges-new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(edges)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
