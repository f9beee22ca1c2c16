"""From the pseudonyms of one domain to those of another, inside the service: nobody sees the originals in between."""

from __future__ import annotations

import asyncio

from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.errors import PolicyError
from trustcenter.messages import api
from trustcenter.registrar.consents import consent_gate
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.reversal import originals
from trustcenter.store import Connection

from . import batches, lookup, operations
from .resolving import Found


async def translate_into(
    context: Context, caller: Principal, request: str, domain_name: str, body: api.TranslateRequest
) -> api.TranslateAnswer:
    """The pseudonym in domain `body.into` of whatever each pseudonym of the first domain stands for.

    Only between ordinary domains. In the first the caller may translate and look up: whoever could translate alone
    would find the originals of a foreign domain by issuing all that there can be in a domain of its own. In the second
    it may look up or, with mode "create", issue; then both have one owner, or originals would move to another house.
    Studies keep their domains to themselves. A row without its original (anonymised, or of a domain that cannot be
    reversed) cannot be translated.

    Raises:
        NotFoundError, ForbiddenError: no such domain, or not granted.
        PolicyError: a domain of a study, with a parent, not reversible, or of another owner.
        LimitError, ConflictError: as for a batch of that size in each of the domains.
    """
    assert body.into is not None
    wanted = Operation.ISSUE if body.mode == "create" else Operation.GET
    source = await batches.own_domain(context, caller, domain_name, len(body.pseudonyms), Operation.TRANSLATE)
    await batches.own_domain(context, caller, domain_name, len(body.pseudonyms), Operation.GET)
    target = await batches.own_domain(context, caller, body.into, len(body.pseudonyms), wanted)
    _require_ordinary(source, target)
    if body.mode == "create" and source.site != target.site:
        raise PolicyError(
            "originals are not carried into a domain of another site",
            code="foreign_target",
            hint="look up what is there: leave out the creation",
        )
    question = await asyncio.to_thread(lookup.read, context, source, body.pseudonyms)

    def effect(conn: Connection) -> tuple[Found, dict[int | None, str], dict[int, api.ItemError]]:
        found = lookup.asked(context, conn, source, question, caller.name, request)
        context.audit(
            conn,
            Event.PSEUDONYM_CROSS,
            caller.name,
            request,
            domain=source.name,
            into=target.name,
            count=len(body.pseudonyms),
            unresolved=found.rows.count(None),
        )
        serials = {row[0] for row in found.rows if row is not None}
        refused = consent_gate.refused_rows(context, conn, source, found.rows)
        return found, dict(originals.unseal(context, conn, source, serials)), refused

    found, texts, refused = await context.db.write(effect)
    places = [
        index for index, row in enumerate(found.rows) if row is not None and row[0] in texts and index not in refused
    ]
    asked = [texts[row[0]] for index in places if (row := found.rows[index]) is not None]
    del texts
    answer = await operations.pseudonymize(
        context, caller, request, body.into, api.PseudonymRequest(originals=asked, mode=body.mode)
    )
    strings: list[str | None] = [None] * len(body.pseudonyms)
    for place, string in zip(places, answer.pseudonyms, strict=True):
        strings[place] = string
    asked_for = set(places)
    errors = [api.ItemError(index=places[error.index], code=error.code, hint=error.hint) for error in answer.errors]
    for index, row in enumerate(found.rows):
        if row is None:
            errors.append(batches.unresolved(index, question, found))
        elif index in refused:
            errors.append(refused[index])
        elif index not in asked_for:
            errors.append(
                api.ItemError(index=index, code="no_original", hint="its original was dropped: it leads nowhere else")
            )
    errors.sort(key=lambda error: error.index)
    return api.TranslateAnswer(
        pseudonyms=strings, errors=errors, key_version=answer.key_version, created=answer.created
    )


def _require_ordinary(source: DomainRow, target: DomainRow) -> None:
    if source.id == target.id:
        raise PolicyError("both domains are the same", code="same_domain", hint="leave out the second domain")
    if source.policy.parent is not None or target.policy.parent is not None:
        raise PolicyError(
            "originals of a domain with a parent are the parent's pseudonyms",
            code="domain_has_parent",
            hint="ask for pseudonyms of the parent's pseudonyms instead",
        )
    if not source.policy.reversible:
        raise PolicyError(
            "this domain keeps no originals, so nothing leads from it to another",
            code="not_reversible",
            hint="translate where the originals are: at the site",
        )
