"""Calls about the enrolment of practices."""

from __future__ import annotations

import msgspec

from trustcenter.messages.api import enrolment as m

from .answers import quoted
from .calls import Calls


class EnrolmentOperations(Calls):
    """Sponsors, one-time codes, and the study secret sealed to a practice."""

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

    async def seal_secret(self, study: str, enrolment: str, body: m.SealedSecret) -> None:
        """Hand in the study secret, sealed to a practice."""
        path = f"/v1/studies/{quoted(study)}/enrolments/{quoted(enrolment)}/secret"
        await self._http.call("PUT", path, body=msgspec.json.encode(body), repeatable=True)

    async def own_secret(self, study: str) -> m.PracticeSecret:
        """The study secret sealed to the calling practice."""
        return await self._get(f"/v1/studies/{quoted(study)}/secret", m.PracticeSecret)
