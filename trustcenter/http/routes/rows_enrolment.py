"""Enrolment of practices at a comparator of its own: sponsors and one-time codes of this room."""

from __future__ import annotations

from trustcenter.comparator import enrolment
from trustcenter.http.calls import OPERATOR, PUBLIC, SITE, Answer, Call, Route
from trustcenter.messages.api import enrolment as api


async def sponsor_set(call: Call) -> Answer:
    return await enrolment.allow(call.instance.comparator, call.principal, call.segment("study"), call.body)


async def enrolment_create(call: Call) -> Answer:
    return await enrolment.create(call.instance.comparator, call.principal, call.segment("study"), call.body)


async def enrolment_redeem(call: Call) -> Answer:
    return await enrolment.redeem(call.instance.comparator, call.instance.gate.directory, call.body)


# fmt: off
ROUTES = (
    Route(
        "POST", "/v1/studies/{study}/sponsors", "allowSponsor", OPERATOR, "Let a site enrol practices in a study",
        sponsor_set, api.Sponsor, api.Sponsor,
    ),
    Route(
        "POST", "/v1/studies/{study}/enrolments", "createEnrolment", SITE, "This room's one-time code for a practice",
        enrolment_create, api.EnrolmentCreate, api.EnrolmentCode, status=201,
    ),
    Route(
        "POST", "/v1/enrolments", "redeemEnrolment", PUBLIC, "Exchange this room's code for a token", enrolment_redeem,
        api.RowsRedeem, api.RowsEnrolled, status=201, kind="enrol",
    ),
)
# fmt: on
