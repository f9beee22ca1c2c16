"""Calls about the enrolment of practices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trustcenter.client.answers import decoded, quoted
from trustcenter.client.calls import Calls
from trustcenter.messages.api import enrolment as m

if TYPE_CHECKING:
    from trustcenter.client.transport import Transport


class EnrolmentOperations(Calls):
    """Sponsors and one-time codes."""

    _rows: Transport

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

    async def create_rows_enrolment(self, study: str, body: m.EnrolmentCreate) -> m.EnrolmentCode:
        """The comparator's own code for a practice, where it has an address of its own."""
        path, sent = f"/v1/studies/{quoted(study)}/enrolments", msgspec.json.encode(body)
        return decoded(await self._rows.call("POST", path, body=sent, repeatable=False), m.EnrolmentCode)

    async def redeem_rows_enrolment(self, body: m.RowsRedeem) -> m.RowsEnrolled:
        """Exchange the comparator's code for a token. Never repeated by itself: a code works once."""
        return await self._post("/v1/enrolments", body, m.RowsEnrolled)
