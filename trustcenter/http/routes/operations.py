"""Operations of sites beyond create-or-get, and the closing of domains by an operator."""

from __future__ import annotations

from trustcenter.http.calls import OPERATOR, SITE, Answer, Call, Form, Route
from trustcenter.messages import api
from trustcenter.registrar import closing
from trustcenter.registrar.pseudonyms import imports, operations, removal


async def additional(call: Call) -> Answer:
    return await operations.additional(
        call.instance.registrar,
        call.principal,
        call.request_id,
        call.segment("domain"),
        call.headers.get("Idempotency-Key", ""),
        call.body,
    )


async def validate(call: Call) -> Answer:
    return await operations.validate(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body.pseudonyms
    )


async def anonymise(call: Call) -> Answer:
    return await removal.anonymise(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body
    )


async def delete(call: Call) -> Answer:
    return await removal.delete(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body
    )


async def import_pairs(call: Call) -> Answer:
    return await imports.import_pairs(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body.pairs
    )


async def destroy(call: Call) -> Answer:
    return await closing.destroy(call.instance.registrar, call.principal, call.request_id, call.segment("domain"))


_DOMAIN = "/v1/domains/{domain}"
ROUTES = (
    Route(
        "POST", _DOMAIN + "/additional", "additionalPseudonyms", SITE,
        "More pseudonyms per original, in order; once per Idempotency-Key",
        additional, api.AdditionalRequest, api.AdditionalAnswer, kind="issue",
        headers=(("Idempotency-Key", "1 to 200 visible ASCII characters, another one for each new request"),),
    ),
    Route(
        "POST", _DOMAIN + "/validate", "validatePseudonyms", SITE, "Whether texts are live pseudonyms, in order",
        validate, api.ValidateRequest, api.ValidateAnswer, kind="translate",
        form=Form("pseudonyms", "results", "result"),
    ),
    Route(
        "POST", _DOMAIN + "/anonymise", "anonymise", SITE, "Drop the way back to the original; the pseudonym stays",
        anonymise, api.Selection, api.RemovalAnswer,
    ),
    Route(
        "POST", _DOMAIN + "/delete", "deletePseudonyms", SITE, "Erase pseudonyms of a domain that allows it",
        delete, api.Selection, api.RemovalAnswer,
    ),
    Route(
        "POST", _DOMAIN + "/import", "importPairs", SITE, "Take over pairs of another system, in order",
        import_pairs, api.ImportRequest, api.ImportAnswer, kind="issue",
    ),
    Route(
        "POST", _DOMAIN + "/destroy", "destroyDomain", OPERATOR, "Destroy the keys of a closed domain that is due",
        destroy, None, api.Domain,
    ),
)  # fmt: skip
