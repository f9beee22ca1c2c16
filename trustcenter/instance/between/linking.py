"""What passes between the rooms of one instance: the registrar's outbox, and linkage runs as jobs.

The only module that touches both rooms. It carries messages and holds no rule: what an edge is worth is decided
at the registrar, what is compared at the comparator.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import structlog

from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, TrustCenterError
from trustcenter.instance.opened import Instance
from trustcenter.instance.rotating import room_keys
from trustcenter.instance.workers import Workers
from trustcenter.messages import api
from trustcenter.messages.carried import SettleAnswer, SettleOrder
from trustcenter.registrar.consents import consent
from trustcenter.registrar.linking import carried, ledger, links, retiring, runs, sweeping
from trustcenter.registrar.study import enrolment, records, studies, study_moves, study_versions

from . import reconciling, settling, telling
from .by_hand import CarriedComparator
from .carrying import Carrying, Progress, described
from .port import Comparator

_PATIENCE_SECONDS: Final = 1.0  # between two looks whether a run is still wanted
_HOUR_SECONDS: Final = 3600.0
_MAPS: Final = 2  # taken at a time, of different sources: each needs some times its bytes
_COURIER_SECONDS: Final = 5.0  # between two attempts to deliver, where the rooms are apart
_log = structlog.get_logger()


class Linking:
    """Delivers the outbox and runs linkage jobs, one per study, in worker processes."""

    def __init__(self, instance: Instance, comparator: Comparator, workers: Workers) -> None:
        self._instance = instance
        self._progress: dict[str, Progress] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._carrying = Carrying(instance, comparator, workers)
        self._comparator = comparator
        self._by_hand = isinstance(comparator, CarriedComparator)
        self._delivery = asyncio.Lock()
        self._maps = asyncio.Semaphore(_MAPS)
        self._sources: dict[tuple[str, str], asyncio.Lock] = {}

    # --- lifecycle ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Deliver what a crash left in the outbox, end versions that are over, and take up interrupted runs."""
        await study_versions.end_all_due(self._instance.registrar)
        await retiring.tell_due(self._instance.registrar)
        await self.deliver()
        self._tasks.add(asyncio.create_task(self._hourly()))
        self._tasks.add(asyncio.create_task(self._clean_up()))
        if self._comparator.apart and not self._by_hand:
            task = asyncio.create_task(self._courier())
            self._tasks.add(task)
        for run in await runs.interrupted(self._instance.registrar):
            self._spawn(run, again=True)

    async def stop(self) -> None:
        """Stop jobs between two steps; they are taken up at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- messages ----------------------------------------------------------------------------------

    async def deliver(self) -> None:
        """Carry the registrar's waiting messages to the comparator; if it is out of reach, they wait."""
        try:
            await self._deliver()
        except TrustCenterError as error:
            if not self._comparator.apart:
                raise
            _log.warning("not_delivered", code=error.code)

    async def _deliver(self, *, check: bool = False) -> None:
        """Carry the waiting messages over, in order, each until it is acknowledged.

        Where they do not follow what the comparator has carried out, one of the rooms was restored, and they are
        reconciled first.

        Args:
            check: look even if nothing waits.

        Raises:
            TrustCenterError: the comparator is out of reach, or refuses.
        """
        if self._by_hand:
            return  # it waits for the next file
        registrar = self._instance.registrar
        async with self._delivery, registrar.db.turn("outbox"):
            try:
                await telling.carry_over(registrar, self._comparator)
                if not check:
                    return
                step = (await self._comparator.state()).step
                if step == await registrar.db.read(ledger.step):
                    return
            except TrustCenterError as error:
                if error.code != "rooms_out_of_step":
                    raise
            await reconciling.reconcile(registrar, self._comparator)
            if (beside := self._instance.comparator_room) is not None:  # the registrar began with the first key again
                await room_keys.teach(registrar, beside, "service", "")
            await telling.carry_over(registrar, self._comparator)

    async def _clean_up(self) -> None:
        """Go on with what a stop or a crash left half cleaned up, and with versions that were over at the start."""
        try:
            await sweeping.carry_out(self._instance.registrar)
            await self.deliver()
            await enrolment.forget_unused(self._instance.registrar)
            await self.give_up_idle()
        except TrustCenterError as error:  # the next start, or the next run, goes on
            _log.warning("not_cleaned_up", code=error.code)

    async def _hourly(self) -> None:
        """Tell of what has waited for a window long enough."""
        while True:
            await asyncio.sleep(_HOUR_SECONDS)
            await self._clean_up()
            try:
                if await retiring.tell_due(self._instance.registrar):
                    await self.deliver()
            except TrustCenterError as error:  # the next hour tries again
                _log.warning("not_retired", code=error.code)

    async def _courier(self) -> None:
        """Where the rooms are apart, try again and again."""
        while True:
            await asyncio.sleep(_COURIER_SECONDS)
            await self.deliver()

    async def settle(self, caller: Principal, study: str) -> SettleOrder | None:
        """Drop what a source left unfinished at the comparator, and take no map for it any more.

        Maps and new uploads of one source take turns, and waiting acceptances go first: so the comparator never
        drops rows whose map the registrar has taken.

        Returns:
            Where the comparator has no connection, the order that the site takes to it.
        """
        registrar = self._instance.registrar
        async with self._turn(study, caller.name), self._shared_turn(study, caller.name):
            await registrar.db.read(lambda conn: studies.find(conn, study, caller))
            if self._by_hand:
                return await settling.order(self._instance, caller.name, study)
            await self._deliver()
            await settling.settle(registrar, self._comparator, study, caller.name, stamp(registrar.clock()))
            return None

    async def give_up_idle(self) -> None:
        """Drop what sources left staged a week ago and never mapped; by hand they carry that themselves."""
        for study, site in [] if self._by_hand else await settling.idle(self._instance.registrar):
            try:
                async with self._turn(study, site), self._shared_turn(study, site):
                    await self._deliver()
                    await settling.give_up(self._instance.registrar, self._comparator, study, site)
            except TrustCenterError as error:  # the next hour tries again
                _log.warning("not_given_up", study=study, site=site, code=error.code)

    async def settled(self, caller: Principal, study: str, answer: SettleAnswer) -> None:
        """Take the comparator's answer that a site brings."""
        async with self._turn(study, caller.name), self._shared_turn(study, caller.name):
            await settling.take_answer(self._instance, caller.name, study, answer)

    async def accept_map(self, caller: Principal, request: str, study: str, body: api.MapUpload) -> api.MapAccepted:
        """Hand a map to the registrar and its acceptance to the comparator."""
        async with self._turn(study, caller.name), self._shared_turn(study, caller.name):
            registrar = self._instance.registrar
            await registrar.db.read(lambda conn: carried.require_settled(conn, study, caller.name))
            async with self._maps:
                answer = await records.accept_map(registrar, caller, request, study, body)
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
        """Hand consents of a study to the registrar; the comparator is told of withdrawn records later."""
        async with self._turn(study, caller.name):
            answer = await consent.record_study(self._instance.registrar, caller, request, study, items)
            await self.deliver()
            return answer

    def _turn(self, study: str, site: str) -> asyncio.Lock:
        return self._sources.setdefault((study, site), asyncio.Lock())

    def _shared_turn(self, study: str, site: str) -> contextlib.AbstractAsyncContextManager[bool]:
        return self._instance.registrar.db.turn(f"source {study} {site}")

    # --- runs --------------------------------------------------------------------------------------

    async def create(self, caller: Principal, request: str, study: str, mode: str = "window") -> api.Run:
        """Queue a run and start it; modes: `registrar.runs.create`."""
        await study_versions.end_all_due(self._instance.registrar)
        run = await runs.create(self._instance.registrar, caller, request, study, mode)
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
                    await self._end(run, "cancelled", who=caller.name)
        return self.describe(await runs.get(registrar, study, run_id))

    def describe(self, run: runs.RunRow) -> api.Run:
        """A run as a message, with its live progress."""
        return described(run, self._progress.get(run.id, Progress(stage=run.state)))

    async def plan(self, caller: Principal, study: str, mode: str) -> api.RunPlan:
        """What a run would do, without starting one.

        Raises:
            NotFoundError: no such study, or none of whom rows are known.
        """
        await self.deliver()
        return await self._carrying.plan(caller, study, mode)

    def _spawn(self, run: runs.RunRow, *, again: bool = False) -> None:
        self._progress[run.id] = Progress()
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
            await sweeping.carry_out(registrar)
            await self._deliver(check=True)
            await self._carrying.carry_out(run, self._progress[run.id])
        except asyncio.CancelledError:
            raise
        except runs.CancelledRun as cancelled:
            with contextlib.suppress(TrustCenterError):
                await self._comparator.cancel(run.study, run.window)
            await self._end(run, "cancelled", who=cancelled.who)
        except Exception as error:
            code = str(getattr(error, "code", "internal_error"))
            _log.error("run_failed", run=run.id, code=code, error_type=type(error).__name__)
            await self._end(run, "failed", error=code)

    async def _end(self, run: runs.RunRow, state: str, **told: str) -> None:
        """Write down how a run ended that was not applied, unless it has ended meanwhile; its links go."""
        registrar = self._instance.registrar
        with contextlib.suppress(ConflictError):
            await links.drop(registrar, run)
            await runs.step(registrar, run, state, **told)
