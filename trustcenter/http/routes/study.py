"""Versions of a study, what sites calibrated for it, and what changes after a release."""

from __future__ import annotations

from trustcenter.errors import UsageError
from trustcenter.http.calls import OPERATOR, SITE, Answer, Call, Route
from trustcenter.messages import api
from trustcenter.registrar.linking import calibrations
from trustcenter.registrar.release import change_feed
from trustcenter.registrar.study import study_lead, study_versions


async def renew(call: Call) -> Answer:
    study = await study_versions.renew(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )
    await call.linking.deliver()
    return study


async def lead(call: Call) -> Answer:
    study = await study_lead.name_lead(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )
    await call.linking.deliver()
    return study


async def versions(call: Call) -> Answer:
    return await study_versions.listing(call.instance.registrar, call.principal, call.segment("study"))


async def calibration_send(call: Call) -> Answer:
    context, study = call.instance.registrar, call.segment("study")
    return await calibrations.send(context, call.principal, call.request_id, study, call.body)


async def calibration_show(call: Call) -> Answer:
    return await calibrations.show(call.instance.registrar, call.principal, call.segment("study"))


async def calibration_drop(call: Call) -> Answer:
    context, study = call.instance.registrar, call.segment("study")
    await calibrations.drop(context, call.principal, call.request_id, study, call.segment("site"))
    return None


async def changes(call: Call) -> Answer:
    recipient = call.query.get("recipient")
    if recipient is None:
        raise UsageError("name the recipient", code="recipient_needed", hint="?recipient=NAME", where="recipient")
    after = call.integer("since", call.query.get("since", "0"), 0, 2**53)
    context, study = call.instance.registrar, call.segment("study")
    return await change_feed.since(context, call.principal, call.request_id, study, recipient, after)


async def acknowledge(call: Call) -> Answer:
    context, study = call.instance.registrar, call.segment("study")
    return await change_feed.acknowledge(context, call.principal, call.request_id, study, call.body)


_CHANGES = "/v1/studies/{study}/changes"
_VERSIONS = "/v1/studies/{study}/versions"
_CALIBRATIONS = "/v1/studies/{study}/calibrations"
ROUTES = (
    Route("POST", _VERSIONS, "renewStudy", OPERATOR, "The next version of a study", renew, api.StudyRenew, api.Study),
    Route("PUT", "/v1/studies/{study}/lead", "nameLead", OPERATOR, "Name the lead site", lead, api.StudyLead, api.Study),
    Route(
        "GET", _VERSIONS, "listVersions", OPERATOR | SITE, "Versions, and which records have rows of which",
        versions, None, api.StudyVersions,
    ),
    Route(
        "POST", _CALIBRATIONS, "sendCalibration", SITE, "Counts of the caller's own records, for a study that decides with them",
        calibration_send, api.CalibrationSend, api.Calibrations,
    ),
    Route(
        "GET", _CALIBRATIONS, "listCalibrations", OPERATOR | SITE, "Tables of sites, and the densities that a study decides with",
        calibration_show, None, api.Calibrations,
    ),
    Route(
        "DELETE", _CALIBRATIONS + "/{site}", "dropCalibration", OPERATOR | SITE, "Forget the table of a site",
        calibration_drop, status=204,
    ),
    Route(
        "GET", _CHANGES, "listChanges", OPERATOR, "What changed in a released join map, sealed to the recipient",
        changes, None, api.Changes, query=("recipient", "since"),
    ),
    Route(
        "POST", _CHANGES + "/acknowledgements", "acknowledgeChanges", OPERATOR,
        "The recipient's codes: it has acted on withdrawals", acknowledge, api.ChangesAcknowledge, api.Changes,
    ),
)  # fmt: skip
