"""One linkage run, carried out: order a window, fetch its edges, decide, keep the edges, apply.

Every step may be done again. What a crash interrupts is taken up from the start: the comparison is the same again,
keeping edges twice changes nothing, and applying is one transaction.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from trustcenter.auth import Principal
from trustcenter.errors import InternalError, VerificationError
from trustcenter.instance import places
from trustcenter.instance.opened import Instance
from trustcenter.instance.workers import Workers
from trustcenter.messages import api
from trustcenter.messages.rooms import EDGE_BYTES, EdgesHeader, WindowOrder, WindowState
from trustcenter.registrar.consents import consent_study
from trustcenter.registrar.linking import applying, deciding, delivered, pairs, runs
from trustcenter.registrar.linking.changes import Changes
from trustcenter.registrar.linking.outcome import Decided
from trustcenter.registrar.study import studies
from trustcenter.store import Location

from .port import Comparator

T = TypeVar("T")
_PATIENCE_SECONDS: Final = 1.0  # between two looks whether a run is still wanted
_LOOK_SECONDS: Final = 0.1  # between two looks whether its edges are resolved
# Seconds on two free cores, measured (docs/benchmarks.md): a guess for people who plan a night.
_ROW_SECONDS: Final = 12e-6  # of a row that is compared and decided with all others
_FRESH_SECONDS: Final = 30e-6  # of a row that is looked up, with what it touches
_PASSED_SECONDS: Final = 0.1e-6  # of a row that is read in passing, in both rooms


@dataclass
class Progress:
    """How far a running job is; lives in memory only, since a restarted run begins anew."""

    stage: str = "queued"
    done: int = 0
    total: int = 0
    started: float = 0.0

    def begin(self, stage: str, total: int) -> None:
        """Go on to a stage."""
        self.stage, self.done, self.total, self.started = stage, 0, total, time.monotonic()

    @property
    def eta(self) -> float | None:
        """Seconds to the end of the stage, if it is like what there was of it."""
        if self.done == 0 or self.total == 0:
            return None
        return (time.monotonic() - self.started) / self.done * (self.total - self.done)


def described(run: runs.RunRow, progress: Progress) -> api.Run:
    """A run as a message."""
    ended = run.state not in runs.OPEN
    return api.Run(
        run=run.id,
        study=run.study,
        window=run.window,
        mode=run.mode,
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


class Carrying:
    """Carries runs out between the rooms."""

    def __init__(self, instance: Instance, comparator: Comparator, workers: Workers) -> None:
        self._instance = instance
        self._comparator = comparator
        self._workers = workers
        self._spool = places.spool(instance.config, "registrar")

    async def plan(self, caller: Principal, study_name: str, mode: str) -> api.RunPlan:
        """What a run would do now."""
        registrar = self._instance.registrar
        runs.require_mode(mode)
        await registrar.db.read(lambda conn: studies.find(conn, study_name, caller))
        order = await self._order(study_name, 1, mode)
        found = await self._comparator.estimate(order)
        everything = await registrar.db.read(
            lambda conn: deciding.wants_everything(conn, study_name, order.parameters_hash, mode)
        )
        whole = everything or found.reads_everything
        looked_up = found.fresh_rows * _FRESH_SECONDS + found.rows * _PASSED_SECONDS
        return api.RunPlan(
            study=study_name,
            mode=mode,
            rows=found.rows,
            fresh_rows=found.fresh_rows,
            comparisons=found.comparisons,
            everything=everything,
            seconds=round(1 + (found.rows * _ROW_SECONDS if whole else looked_up), 1),
        )

    async def carry_out(self, run: runs.RunRow, progress: Progress) -> None:
        """From the order to the applied run.

        Raises:
            CancelledRun: it is not wanted any more.
            InternalError, VerificationError, StoreError: the comparator, what it delivered, or the store.
        """
        registrar = self._instance.registrar
        await runs.step(registrar, run, "comparing")
        order = await self._order(run.study, run.window, run.mode)
        window = await self._compared(run, order, progress)
        header = await delivered.require_ordered(registrar, order, window)
        edges, changes = (self._spool / f"{run.study}-{run.window}{what}" for what in (".edges", ".changes"))
        try:
            await asyncio.to_thread(_make_room, self._spool, run.study, changes)
            await self._fetch(header, edges)
            await self._checkpoint(run)
            await runs.step(registrar, run, "deciding")
            left_out = await registrar.db.read(lambda conn: consent_study.left_out(registrar, conn, run.study))
            place = places.database(self._instance.config, "registrar")
            task = deciding.Task(run.study, edges, changes, order.parameters_hash, left_out, run.mode)
            decided = await self._decided(run, place, task, progress)
            progress.begin("applying", 1)
            rows = {source.source: source.rows for source in window.sources}

            def tell(done: int, total: int) -> None:
                progress.done, progress.total = done, total + 1  # and the one that applies

            await applying.apply(registrar, run, decided.with_rows(rows), header, tell)
            progress.done = progress.total
        finally:
            await asyncio.to_thread(_clear, self._spool, run.study)
        await self._comparator.acknowledge(header)

    async def _order(self, study_name: str, window: int, mode: str) -> WindowOrder:
        registrar = self._instance.registrar
        study = await registrar.db.read(lambda conn: studies.find(conn, study_name))
        last = await registrar.db.read(lambda conn: pairs.standing(conn, study_name))
        return WindowOrder(
            study=study_name,
            version=study.version,
            window=window,
            parameters_hash=studies.parameters_hash(study),
            previous=last.link if last is not None else "",
            full=mode == "full",
        )

    async def _compared(self, run: runs.RunRow, order: WindowOrder, progress: Progress) -> WindowState:
        """Order a window and follow it until its edges lie ready.

        Raises:
            CancelledRun: it is not wanted any more. InternalError: the comparator could not.
        """
        window = await self._comparator.start_window(order)
        progress.begin("comparing", window.total)
        while window.state in ("running", "unknown"):
            await self._checkpoint(run)
            if window.state == "unknown":  # the comparator was restarted, and what it was at is gone
                window = await self._comparator.start_window(order)
            progress.done, progress.total = window.done, window.total
            window = await self._comparator.window(run.study, run.window, _PATIENCE_SECONDS)
        if window.state != "delivered":
            raise InternalError("the comparator could not compare", code=window.code or "window_failed")
        return window

    async def _fetch(self, header: EdgesHeader, path: Path) -> None:
        """Copy the packed edges of a window into a file of the registrar's own, checked against their header.

        Raises:
            VerificationError: they are others.
        """
        digest, size = hashlib.sha256(), 0
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            async for part in self._comparator.edges(header):
                size += len(part)
                if size > header.edges * EDGE_BYTES:  # parts without end would fill the disk
                    break
                digest.update(part)
                await asyncio.to_thread(file.write, part)
        if digest.hexdigest() != header.sha256 or size != header.edges * EDGE_BYTES:
            raise VerificationError("the edges are not those that were announced", code="edges_damaged")

    async def _decided(self, run: runs.RunRow, place: Location, task: deciding.Task, progress: Progress) -> Decided:
        """What a worker decides; the edges are kept as soon as they are resolved, while it goes on.

        Raises:
            CancelledRun: it is not wanted any more.
        """
        progress.begin("deciding", 1)
        work = asyncio.create_task(self._while_wanted(run, self._workers.compute(deciding.decide_study, place, task)))
        try:
            while not (work.done() or Changes(task.changes).whole):
                await asyncio.wait((work,), timeout=_LOOK_SECONDS)
            if work.done():
                work.result()  # if it failed, nothing is kept
            progress.begin("keeping edges", 0)
            async for done, total in applying.keep_edges(self._instance.registrar, run, task.changes):
                progress.done, progress.total = done, total
            if not work.done():
                progress.begin("deciding", 1)
            return await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)  # before its folder goes

    async def _while_wanted(self, run: runs.RunRow, work: Coroutine[Any, Any, T]) -> T:
        """The result of some work, which is ended when the run is cancelled.

        Raises:
            CancelledRun: it was.
        """
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait((task,), timeout=_PATIENCE_SECONDS))[0]:
                await self._checkpoint(run)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)  # until its process is gone

    async def _checkpoint(self, run: runs.RunRow) -> None:
        await self._instance.registrar.db.read(lambda conn: runs.require_wanted(conn, run))


def _make_room(spool: Path, study: str, folder: Path) -> None:
    """A new folder, and nothing else of a study: what a killed service left behind goes."""
    spool.mkdir(mode=0o700, exist_ok=True)
    _clear(spool, study)
    folder.mkdir(mode=0o700)


def _clear(spool: Path, study: str) -> None:
    """Remove files of a study's runs, of which one at most is under way."""
    for path in spool.glob("*"):
        if path.name.rpartition(".")[0].rpartition("-")[0] == study:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
