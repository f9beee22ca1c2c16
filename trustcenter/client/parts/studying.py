"""Calls of studies: a site's records, runs, clearing, releases and versions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from trustcenter.client.answers import as_long, decoded, quoted
from trustcenter.client.calls import Calls
from trustcenter.client.ndjson import records
from trustcenter.client.settings import Settings
from trustcenter.messages import api as m


class StudyOperations(Calls):
    """Part of `TrustCenter`."""

    settings: Settings

    # --- the site's side ---------------------------------------------------------------------------------

    async def register(self, study: str, record_numbers: Sequence[str]) -> list[str | None]:
        """Study pseudonyms of record numbers (32 hex digits each, sorted), in order; None without consent."""
        request = m.RegisterRequest(record_numbers=list(record_numbers))
        answer = await self._post(f"/v1/studies/{quoted(study)}/records", request, m.RegisterAnswer, repeatable=True)
        return as_long(answer.pseudonyms, answer.pseudonyms, record_numbers)

    async def own_records(self, study: str) -> AsyncIterator[m.RecordRefs]:
        """The caller's mapped records and their current refs, streamed."""
        async with self._http.stream(f"/v1/studies/{quoted(study)}/records") as body:
            async for item in records(body, m.RecordRefs, self.settings.line_bytes):
                yield item

    async def send_map(self, study: str, entries: m.MapUpload) -> m.MapAccepted:
        """Tell the registrar which refs belong to which record; the same map again is harmless."""
        return await self._post(f"/v1/studies/{quoted(study)}/maps", entries, m.MapAccepted, repeatable=True)

    async def declare_duplicates(self, study: str, duplicates: m.DuplicateRequest) -> m.DuplicateAnswer:
        """Say which own records are one person; each names the record that stands for it."""
        return await self._post(f"/v1/studies/{quoted(study)}/duplicates", duplicates, m.DuplicateAnswer)

    async def results(self, study: str) -> AsyncIterator[m.ResultLine]:
        """The caller's own records and their study pseudonyms, streamed."""
        async with self._http.stream(f"/v1/studies/{quoted(study)}/results") as body:
            async for item in records(body, m.ResultLine, self.settings.line_bytes):
                yield item

    # --- the centre's side -------------------------------------------------------------------------------

    async def create_study(self, study: m.StudyCreate) -> m.Study:
        """Set up a study; its parameters are frozen."""
        return await self._post("/v1/studies", study, m.Study)

    async def studies(self) -> list[m.Study]:
        """The studies that the caller may see."""
        return (await self._get("/v1/studies", m.Studies)).studies

    async def study(self, name: str) -> m.Study:
        """One study."""
        return await self._get(f"/v1/studies/{quoted(name)}", m.Study)

    async def start_run(self, study: str, mode: str = "window") -> m.Run:
        """Start a linkage run: a window of what is new, everything ("full"), or that and its weights ("estimate")."""
        return await self._post(f"/v1/studies/{quoted(study)}/runs?mode={quoted(mode)}", None, m.Run)

    async def plan_run(self, study: str, mode: str = "window") -> m.RunPlan:
        """What a run would compare, and how long it would take; none is started."""
        return await self._get(f"/v1/studies/{quoted(study)}/run-plan?mode={quoted(mode)}", m.RunPlan)

    async def run(self, study: str, run: str) -> m.Run:
        """How far a run is."""
        return await self._get(f"/v1/studies/{quoted(study)}/runs/{quoted(run)}", m.Run)

    async def runs(self, study: str) -> list[m.Run]:
        """The runs of a study, newest first."""
        return (await self._get(f"/v1/studies/{quoted(study)}/runs", m.Runs)).runs

    async def cancel_run(self, study: str, run: str) -> m.Run:
        """Stop a run."""
        answer = await self._http.call("DELETE", f"/v1/studies/{quoted(study)}/runs/{quoted(run)}", repeatable=False)
        return decoded(answer, m.Run)

    async def propose_release(self, study: str, recipient: str) -> m.Release:
        """Propose to hand the join map to a recipient."""
        return await self._post(
            f"/v1/studies/{quoted(study)}/releases", m.ReleaseCreate(recipient=recipient), m.Release
        )

    async def releases(self, study: str) -> list[m.Release]:
        """The releases of a study, newest first."""
        return (await self._get(f"/v1/studies/{quoted(study)}/releases", m.Releases)).releases

    async def release(self, study: str, release: str) -> m.Release:
        """One release and its approvals."""
        return await self._get(f"/v1/studies/{quoted(study)}/releases/{quoted(release)}", m.Release)

    async def approve_release(self, study: str, release: str, signature: str) -> m.Release:
        """Approve a release with a signature over its statement."""
        path = f"/v1/studies/{quoted(study)}/releases/{quoted(release)}/approvals"
        return await self._post(path, m.Approval(signature=signature), m.Release)

    def join_map(self, study: str, release: str) -> AsyncIterator[bytes]:
        """The sealed join map of a completed release, streamed."""
        return self._stream(f"/v1/studies/{quoted(study)}/releases/{quoted(release)}/join-map")

    async def move_study(self, name: str, move: m.StudyMove) -> m.Study:
        """Open, freeze, release, close or delete a study."""
        return await self._post(f"/v1/studies/{quoted(name)}/state", move, m.Study)

    async def name_lead(self, name: str, site: str) -> m.Study:
        """Name the site whose share of the study secret counts (operator)."""
        return await self._put(f"/v1/studies/{quoted(name)}/lead", m.StudyLead(site=site), m.Study)

    async def clearing(self, study: str) -> m.ClearingTasks:
        """Doubtful pairs that wait for the caller, a steward."""
        return await self._get(f"/v1/studies/{quoted(study)}/clearing", m.ClearingTasks)

    async def ask_clearing(self, study: str, pair: m.ClearingAsk) -> m.ClearingTask:
        """Make a task of a pair: to join it, or to split it where both are one person."""
        return await self._post(f"/v1/studies/{quoted(study)}/clearing", pair, m.ClearingTask)

    async def answer_clearing(self, study: str, task: str, answer: m.ClearingAnswer) -> m.ClearingTask:
        """Decide a doubtful pair."""
        return await self._post(f"/v1/studies/{quoted(study)}/clearing/{quoted(task)}/answers", answer, m.ClearingTask)

    async def retract_clearing(self, study: str, task: str) -> m.ClearingTask:
        """Take the own answer back."""
        path = f"/v1/studies/{quoted(study)}/clearing/{quoted(task)}/answers"
        return decoded(await self._http.call("DELETE", path, repeatable=False), m.ClearingTask)

    async def postpone_clearing(self, study: str, task: str, until: m.ClearingPostpone) -> m.ClearingTask:
        """Hide a task until a day."""
        return await self._post(f"/v1/studies/{quoted(study)}/clearing/{quoted(task)}/postpone", until, m.ClearingTask)

    async def ask_sites(self, study: str, tasks: list[str]) -> m.ClearingRound:
        """Ask the sites of doubtful pairs about their own records, among control questions (steward)."""
        body = m.ClearingAskSites(tasks=tasks)
        return await self._post(f"/v1/studies/{quoted(study)}/clearing/questions", body, m.ClearingRound)

    async def questions(self, study: str) -> list[str]:
        """Record numbers of own records that the site is asked to look at."""
        return (await self._get(f"/v1/studies/{quoted(study)}/questions", m.SiteQuestions)).record_numbers

    async def reply(self, study: str, body: m.SiteReplies) -> m.SiteReplied:
        """Say what was found of own records."""
        return await self._post(f"/v1/studies/{quoted(study)}/questions", body, m.SiteReplied, repeatable=True)

    async def renew_study(self, study: str, body: m.StudyRenew) -> m.Study:
        """Make the next version of a study."""
        return await self._post(f"/v1/studies/{quoted(study)}/versions", body, m.Study, repeatable=True)

    async def study_versions(self, study: str) -> m.StudyVersions:
        """The versions of a study, and which records have rows of which."""
        return await self._get(f"/v1/studies/{quoted(study)}/versions", m.StudyVersions)

    async def send_calibration(self, study: str, counts: bytes) -> m.Calibrations:
        """Give a study the counts of the site's own records, as `trustcenter linkage calibrate` writes them."""
        body = m.CalibrationSend(counts=counts)
        return await self._post(f"/v1/studies/{quoted(study)}/calibrations", body, m.Calibrations, repeatable=True)

    async def calibrations(self, study: str) -> m.Calibrations:
        """Tables of sites, and the densities that a study decides with; a site sees its own table only."""
        return await self._get(f"/v1/studies/{quoted(study)}/calibrations", m.Calibrations)

    async def drop_calibration(self, study: str, site: str) -> None:
        """Forget the table of a site: a site its own, an operator anybody's."""
        await self._delete(f"/v1/studies/{quoted(study)}/calibrations/{quoted(site)}")

    async def changes(self, study: str, recipient: str, since: int = 0) -> m.Changes:
        """Batches of changes to a released join map, sealed to the recipient."""
        path = f"/v1/studies/{quoted(study)}/changes?recipient={quoted(recipient)}&since={since}"
        return await self._get(path, m.Changes)

    async def acknowledge_changes(self, study: str, body: m.ChangesAcknowledge) -> m.Changes:
        """Hand in the codes with which a recipient says that it has acted on withdrawals."""
        path = f"/v1/studies/{quoted(study)}/changes/acknowledgements"
        return await self._post(path, body, m.Changes, repeatable=True)
