"""Closing a domain: an operator proposes, an approver signs."""

from __future__ import annotations

from trustcenter.http.calls import APPROVER, OPERATOR, Answer, Call, Route
from trustcenter.messages import api
from trustcenter.registrar import closing_proposals


async def propose(call: Call) -> Answer:
    return await closing_proposals.propose(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body
    )


async def show(call: Call) -> Answer:
    return await closing_proposals.show(call.instance.registrar, call.segment("domain"))


async def approve(call: Call) -> Answer:
    return await closing_proposals.approve(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body
    )


_CLOSE = "/v1/domains/{domain}/close"
ROUTES = (
    Route("POST", _CLOSE, "proposeClosing", OPERATOR, "Propose to close a domain", propose, api.DomainClose, api.DomainClosing),
    Route("GET", _CLOSE, "showClosing", OPERATOR | APPROVER, "The proposal and what is to be signed", show, None, api.DomainClosing),
    Route(
        "POST", _CLOSE + "/approvals", "approveClosing", APPROVER,
        "Sign: no more issue now, keys destroyed after so many days", approve, api.Approval, api.Domain,
    ),
)  # fmt: skip
