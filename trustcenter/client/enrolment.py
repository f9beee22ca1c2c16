"""Calls about the enrolment of practices."""

from __future__ import annotations

from trustcenter.messages.api import enrolment as m

from .answers import quoted
from .calls import Calls


class EnrolmentOperations(Calls):
    """Sponsors and one-time codes."""

    async def allow_sponsor(self, study: str, body: m.Sponsor) -> m.Sponsor:
        """Let a site enrol practices (operator)."""
        return await self._post(f"/v1/studies/{quoted(study)}/sponsors", body, m.Sponsor, repeatable=True)

    async def create_enrolment(self, study: str, body: m.EnrolmentCreate) -> m.EnrolmentCode:
        """A one-time code for a practice."""
        return await self._post(f"/v1/studies/{quoted(study)}/enrolments", body, m.EnrolmentCode)

    async def enrolments(self, study: str) -> list[m.Enrolment]:
        """Those of the calling site; for an operator all."""
        return (await self._get(f"/v1/studies/{quoted(study)}/enrolments", m.Enrolments)).enrolments

    async def revoke_enrolment(self, study: str, enrolment: str) -> None:
        """Make a code worthless, and the tokens of a practice that used it."""
        await self._delete(f"/v1/studies/{quoted(study)}/enrolments/{quoted(enrolment)}")

    async def redeem_enrolment(self, body: m.EnrolmentRedeem) -> m.Enrolled:
        """Exchange a code for a token. Never repeated by itself: a code works once."""
        return await self._post("/v1/enrolments", body, m.Enrolled)
