"""What passes between the rooms of one instance: the registrar's outbox, and linkage runs as jobs.

The only module that touches both rooms. It carries messages and holds no rule: what an edge is worth is decided
at the registrar, what is compared at the comparator.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from trustcenter.auth import Principal
from trustcenter.comparator import compare, instructions, uploads
from trustcenter.errors import ConflictError
from trustcenter.messages import api
from trustcenter.messages.rooms import Accept, Params, Retire, StudyPhase
from trustcenter.registrar import consent, consent_study, deciding, outbox, records, runs, studies, study_moves

from . import places, worker
from .opening import Instance

_log = structlog.get_logger()
T = TypeVar("T")


@dataclass
class _Progress:
    """How far a running job is; lives in memory only, since a restarted run begins anew."""

    stage: str = "queued"
    done: int = 0
    total: int = 0
    started: float = 0.0

    def begin(self, stage: str, total: int) -> None:
        self.stage, self.done, self.total, self.started = stage, 0, total, time.monotonic()

    @property
    def eta(self) -> float | None:
        if self.done == 0 or self.total == 0:
            return None
        return (time.monotonic() - self.started) / self.done * (self.total - self.done)


class Linking:
    """Delivers the outbox and runs linkage jobs, one per study, in worker processes."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._progress: dict[str, _Progress] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool: Executor | None = None
        self._delivery = asyncio.Lock()
        self._sources: dict[tuple[str, str], asyncio.Lock] = {}

    # --- lifecycle ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Deliver what a crash left in the outbox, and take up interrupted runs."""
        await self.deliver()
        for run in await runs.interrupted(self._instance.registrar):
            self._spawn(run, again=True)

    async def stop(self) -> None:
        """Stop jobs between two steps; they are taken up at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    # --- messages ----------------------------------------------------------------------------------

    async def deliver(self) -> None:
        """Carry the registrar's waiting messages to the comparator, in order, each until it is acknowledged."""
        registrar, comparator = self._instance.registrar, self._instance.comparator
        async with self._delivery, registrar.db.turn("outbox"):
            for row_id, message in await registrar.db.read(outbox.waiting):
                match message:
                    case Params():
                        await instructions.put_params(comparator, message)
                    case Accept():
                        await instructions.accept(comparator, message)
                    case Retire():
                        await instructions.retire(comparator, message)
                    case StudyPhase():
                        left = await instructions.phase(comparator, message)
                        if message.purge:
                            await study_moves.confirm_purge(registrar, message.study, left)
                await registrar.db.write(lambda conn, row_id=row_id: outbox.done(conn, row_id))  # type: ignore[misc]

    async def open_upload(self, caller: Principal, study: str, body: api.UploadOpen) -> api.UploadOpened:
        """Open an upload, dropping what the source left unfinished.

        Maps and new uploads of one source take turns, and waiting acceptances go first: so the comparator never
        drops rows whose map the registrar has taken.
        """
        async with self._turn(study, caller.name), self._shared_turn(study, caller.name):
            await self.deliver()
            return await uploads.open_upload(self._instance.comparator, caller.name, study, body)

    async def accept_map(self, caller: Principal, request: str, study: str, body: api.MapUpload) -> api.MapAccepted:
        """Hand a map to the registrar and its acceptance to the comparator."""
        async with self._turn(study, caller.name), self._shared_turn(study, caller.name):
            answer = await records.accept_map(self._instance.registrar, caller, request, study, body)
            await self.deliver()
            return answer

    async def move_study(self, caller: Principal, request: str, study: str, body: api.StudyMove) -> api.Study:
        """Take a study to another state, and tell the comparator."""
        moved = await study_moves.move(self._instance.registrar, caller, request, study, body)
        await self.deliver()
        registrar = self._instance.registrar
        return moved if moved.state == "deleted" else await studies.show(registrar, caller, study)

    async def take_consents(
        self, caller: Principal, request: str, study: str, items: Sequence[consent.Item]
    ) -> api.ConsentAnswer:
        """Hand consents of a study to the registrar; rows of withdrawn records leave the comparator at once."""
        async with self._turn(study, caller.name):
            answer = await consent.record_study(self._instance.registrar, caller, request, study, items)
            await self.deliver()
            return answer

    def _turn(self, study: str, site: str) -> asyncio.Lock:
        return self._sources.setdefault((study, site), asyncio.Lock())

    def _shared_turn(self, study: str, site: str) -> contextlib.AbstractAsyncContextManager[bool]:
        return self._instance.registrar.db.turn(f"source {study} {site}")

    # --- runs --------------------------------------------------------------------------------------

    async def create(self, caller: Principal, request: str, study: str) -> api.Run:
        """Queue a run and start it."""
        run = await runs.create(self._instance.registrar, caller, request, study)
        self._spawn(run)
        return self.describe(run)

    async def show(self, study: str, run_id: str) -> api.Run:
        """A run and how far it is."""
        return self.describe(await runs.get(self._instance.registrar, study, run_id))

    async def list_runs(self, study: str) -> api.Runs:
        """All runs of a study, newest first."""
        found = await runs.list_runs(self._instance.registrar, study)
        return api.Runs(runs=[self.describe(run) for run in found])

    async def cancel(self, caller: Principal, study: str, run_id: str) -> api.Run:
        """Ask a run to stop before its next step, whichever process carries it out; nothing of it is applied.

        Raises:
            NotFoundError: the study has no such run.
            ConflictError: it has ended.
        """
        registrar = self._instance.registrar
        run = await runs.request_cancel(registrar, caller, study, run_id)
        if run.id not in self._progress:
            async with registrar.db.turn(f"run {run.id}", wait=False) as nobodys:
                if nobodys:  # the process that carried it out is gone
                    with contextlib.suppress(ConflictError):
                        await runs.step(registrar, run, "cancelled", who=caller.name)
        return self.describe(await runs.get(registrar, study, run_id))

    def describe(self, run: runs.RunRow) -> api.Run:
        """A run as a message, with its live progress."""
        progress = self._progress.get(run.id, _Progress(stage=run.state))
        ended = run.state not in runs.OPEN
        return api.Run(
            run=run.id,
            study=run.study,
            window=run.window,
            state=run.state,
            stage=run.state if ended else progress.stage,
            done=progress.done,
            total=progress.total,
            eta_seconds=None if ended else progress.eta,
            created=run.created,
            finished=run.finished,
            parameters_hash=run.parameters_hash,
            counts=run.counts,
            error=run.error,
        )

    def _spawn(self, run: runs.RunRow, *, again: bool = False) -> None:
        self._progress[run.id] = _Progress()
        task = asyncio.create_task(self._mine(run, again))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _mine(self, run: runs.RunRow, again: bool) -> None:
        """Carry a run out, unless another process does or did."""
        registrar = self._instance.registrar
        async with registrar.db.turn(f"run {run.id}", wait=False) as mine:
            if not mine or (again and not await runs.requeue(registrar, run)):
                del self._progress[run.id]
                return
            await self._guard(run)

    async def _guard(self, run: runs.RunRow) -> None:
        """Run a job; whatever goes wrong ends the job with a code, never the service."""
        registrar = self._instance.registrar
        try:
            await self._run(run)
        except asyncio.CancelledError:
            raise
        except Exception as caught:
            error: BaseException = caught
            while isinstance(error, BaseExceptionGroup):  # of the task group that compares
                error = error.exceptions[0]
            if isinstance(error, runs.CancelledRun):
                with contextlib.suppress(ConflictError):
                    await runs.step(registrar, run, "cancelled", who=error.who)
                return
            code = "worker_died" if isinstance(error, BrokenProcessPool) else getattr(error, "code", "internal_error")
            if isinstance(error, BrokenProcessPool):
                self._pool = None  # the next run gets a fresh pool
            _log.error("run_failed", run=run.id, code=code, error_type=type(error).__name__)
            with contextlib.suppress(ConflictError):
                await runs.step(registrar, run, "failed", error=str(code))

    async def _run(self, run: runs.RunRow) -> None:
        registrar, comparator = self._instance.registrar, self._instance.comparator
        progress = self._progress[run.id]
        await self.deliver()
        await runs.step(registrar, run, "comparing")
        frozen = await compare.freeze(comparator, run.study, run.window)
        progress.begin("comparing", frozen.passes)
        parts = await self._compare(run, frozen, progress)
        edges = await self._compute(compare.merge, [part.edges for part in parts])
        study = await registrar.db.read(lambda conn: studies.find(conn, run.study))
        comparison = studies.parameters_hash(study)
        header = await compare.deliver(comparator, frozen, parts, edges, study.version, comparison)

        await self._checkpoint(run)
        await runs.step(registrar, run, "deciding")
        progress.begin("deciding", 1)
        place = places.database(self._instance.config, "registrar")
        left_out = await registrar.db.read(lambda conn: consent_study.left_out(registrar, conn, run.study))
        decided = await self._compute(deciding.decide_study, place, run.study, edges, comparison, left_out)
        rows = dict(zip(frozen.sources, frozen.rows, strict=True))
        await runs.apply(registrar, run, decided.with_rows(rows), header.edges, header.sha256)
        progress.done = 1

    async def _compare(self, run: runs.RunRow, frozen: compare.Frozen, progress: _Progress) -> list[compare.Compared]:
        place = places.database(self._instance.config, "comparator")
        parts: dict[int, compare.Compared] = {}
        # At most one task per worker is under way, so that a cancelled run stops after one pass.
        limit = asyncio.Semaphore(self._instance.config.workers)

        async def one(number: int) -> None:
            async with limit:
                await self._checkpoint(run)
                parts[number] = await self._compute(compare.compare_pass, place, frozen, number)
                progress.done += 1

        async with asyncio.TaskGroup() as group:
            for number in range(frozen.passes):
                group.create_task(one(number))
        return [parts[number] for number in range(frozen.passes)]

    async def _checkpoint(self, run: runs.RunRow) -> None:
        await self._instance.registrar.db.read(lambda conn: runs.require_wanted(conn, run))

    async def _compute(self, function: Callable[..., T], *args: Any) -> T:
        """Run a pure function in a worker process; the event loop never computes."""
        if self._pool is None:
            # "spawn", not "fork": a forked worker would inherit keys, sockets and the database's threads.
            self._pool = ProcessPoolExecutor(
                max_workers=self._instance.config.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=worker.end_with_parent,
            )
        return await asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(function, *args))
