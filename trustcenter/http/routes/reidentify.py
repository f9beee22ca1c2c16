"""Re-identification: sites request and fetch, approvers decide, staff look on."""

from __future__ import annotations

from trustcenter.http.calls import APPROVER, OPERATOR, SITE, Answer, Call, Route
from trustcenter.messages import api
from trustcenter.registrar.reversal import originals, reidentify


async def request(call: Call) -> Answer:
    return await reidentify.create(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body
    )


async def list_all(call: Call) -> Answer:
    return await reidentify.list_all(call.instance.registrar, call.principal)


async def show(call: Call) -> Answer:
    return await reidentify.show(call.instance.registrar, call.principal, call.segment("reidentification"))


async def approve(call: Call) -> Answer:
    return await reidentify.approve(
        call.instance.registrar, call.principal, call.request_id, call.segment("reidentification"), call.body
    )


async def deny(call: Call) -> Answer:
    return await reidentify.deny(
        call.instance.registrar, call.principal, call.request_id, call.segment("reidentification"), call.body
    )


async def fetch(call: Call) -> Answer:
    return await originals.release(
        call.instance.registrar,
        call.principal,
        call.request_id,
        call.segment("domain"),
        call.segment("reidentification"),
        call.body.pseudonyms,
    )


_OF_DOMAIN = "/v1/domains/{domain}/reidentifications"
_ONE = "/v1/reidentifications/{reidentification}"
ROUTES = (
    Route(
        "POST", _OF_DOMAIN, "requestReidentification", SITE, "Request the originals of own pseudonyms, with a reason",
        request, api.ReidentifyRequest, api.Reidentification, status=201, kind="reverse",
    ),
    Route(
        "POST", _OF_DOMAIN + "/{reidentification}/originals", "fetchOriginals", SITE,
        "Originals on an approved ticket, in order", fetch, api.OriginalsRequest, api.OriginalsAnswer, kind="reverse",
    ),
    Route(
        "GET", "/v1/reidentifications", "listReidentifications", SITE | OPERATOR | APPROVER,
        "Re-identifications that the caller may see, newest first", list_all, None, api.Reidentifications,
    ),
    Route("GET", _ONE, "showReidentification", SITE | OPERATOR | APPROVER, "One re-identification", show, None, api.Reidentification),
    Route(
        "POST", _ONE + "/approvals", "approveReidentification", APPROVER, "Sign a re-identification with the personal key",
        approve, api.Approval, api.Reidentification,
    ),
    Route(
        "POST", _ONE + "/denials", "denyReidentification", APPROVER, "Deny a re-identification, or take its ticket back",
        deny, api.Denial, api.Reidentification,
    ),
)  # fmt: skip
