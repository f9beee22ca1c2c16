"""What a client can ask of a study beside the daily work: states, versions, clearing."""

from __future__ import annotations

from trustcenter.messages import api as m

from .answers import quoted
from .calls import Calls


class StudyOperations(Calls):
    """States and versions of studies, and clearing."""

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
