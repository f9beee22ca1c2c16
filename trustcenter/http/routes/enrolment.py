"""Enrolment of practices: sponsors and one-time codes."""

from __future__ import annotations

from trustcenter.http.calls import OPERATOR, PUBLIC, SITE, Answer, Call, Route
from trustcenter.messages.api import enrolment as api
from trustcenter.registrar.study import enrolment
from trustcenter.registrar.study.enrolment_redeem import redeem


async def sponsor_set(call: Call) -> Answer:
    return await enrolment.allow(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )


async def enrolment_create(call: Call) -> Answer:
    return await enrolment.create(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )


async def enrolment_list(call: Call) -> Answer:
    return await enrolment.listing(call.instance.registrar, call.principal, call.segment("study"))


async def enrolment_revoke(call: Call) -> Answer:
    await enrolment.revoke(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.segment("enrolment")
    )
    await call.linking.deliver()  # a comparator that is apart lets the practice in no more either
    return None


async def enrolment_redeem(call: Call) -> Answer:
    enrolled = await redeem(call.instance.registrar, call.request_id, call.body)
    await call.linking.deliver()  # the comparator learns of the new source
    return enrolled


_ALL = "/v1/studies/{study}/enrolments"
# fmt: off
ROUTES = (
    Route(
        "POST", "/v1/studies/{study}/sponsors", "allowSponsor", OPERATOR, "Let a site enrol practices in a study",
        sponsor_set, api.Sponsor, api.Sponsor,
    ),
    Route(
        "POST", _ALL, "createEnrolment", SITE, "A one-time code for a practice", enrolment_create,
        api.EnrolmentCreate, api.EnrolmentCode, status=201,
    ),
    Route(
        "GET", _ALL, "listEnrolments", OPERATOR | SITE, "Enrolments: a site's own, for an operator all",
        enrolment_list, None, api.Enrolments,
    ),
    Route(
        "DELETE", _ALL + "/{enrolment}", "revokeEnrolment", OPERATOR | SITE,
        "Make a code worthless, and the practice's tokens", enrolment_revoke, status=204,
    ),
    Route(
        "POST", "/v1/enrolments", "redeemEnrolment", PUBLIC, "Enrol with a one-time code", enrolment_redeem,
        api.EnrolmentRedeem, api.Enrolled, status=201, kind="enrol",
    ),
)
# fmt: on
