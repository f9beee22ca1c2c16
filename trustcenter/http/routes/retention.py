"""For how long details of entries are kept: an operator sets rules and deletes, an approver signs what shortens one."""

from __future__ import annotations

from trustcenter.http.calls import APPROVER, AUDITOR, OPERATOR, Answer, Call, Route
from trustcenter.messages import api
from trustcenter.registrar import retention, retention_proposals


async def rules(call: Call) -> Answer:
    return await call.instance.registrar.db.read(retention.rules)


async def set_rule(call: Call) -> Answer:
    return await retention.set_rule(call.instance.registrar, call.principal, call.request_id, call.body)


async def proposal(call: Call) -> Answer:
    ident = call.segment("proposal")
    return await call.instance.registrar.db.read(lambda conn: retention_proposals.find(conn, ident))


async def approve(call: Call) -> Answer:
    return await retention.approve(
        call.instance.registrar, call.principal, call.request_id, call.segment("proposal"), call.body
    )


async def delete_details(call: Call) -> Answer:
    return await retention.delete_due(call.instance.registrar, call.principal, call.request_id)


_PROPOSAL = "/v1/retention/proposals/{proposal}"
ROUTES = (
    Route(
        "GET", "/v1/retention", "retentionRules", OPERATOR | AUDITOR | APPROVER,
        "For how long details of entries are kept", rules, None, api.RetentionRules,
    ),
    Route(
        "PUT", "/v1/retention", "setRetention", OPERATOR,
        "Say for how long details of an event's entries are kept; a shorter time is proposed only", set_rule,
        api.RetentionSet, api.RetentionRules,
    ),
    Route(
        "GET", _PROPOSAL, "showRetentionProposal", OPERATOR | AUDITOR | APPROVER,
        "The proposed rule and what is to be signed", proposal, None, api.RetentionProposal,
    ),
    Route(
        "POST", _PROPOSAL + "/approvals", "approveRetention", APPROVER,
        "Sign: details of the event's entries go sooner", approve, api.Approval, api.RetentionRules,
    ),
    Route(
        "POST", "/v1/retention/deletions", "deleteDetails", OPERATOR,
        "Delete the details that the rules no longer keep", delete_details, None, api.RetentionRules,
    ),
)  # fmt: skip
