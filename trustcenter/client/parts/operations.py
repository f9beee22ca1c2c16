"""Calls of the client beyond create-or-get: what a domain promises, more pseudonyms, forgetting, imports, closing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from trustcenter.client.answers import as_long, quoted
from trustcenter.client.calls import Calls
from trustcenter.messages import api as m


class DomainOperations(Calls):
    """Part of `TrustCenter`: every batch is answered in its order, with a result or an error per item."""

    async def propose_closing(self, name: str, days: int = 30) -> m.DomainClosing:
        """Propose to close a domain; an approver's signature closes it."""
        return await self._post(f"/v1/domains/{quoted(name)}/close", m.DomainClose(days=days), m.DomainClosing)

    async def closing(self, name: str) -> m.DomainClosing:
        """The proposal to close a domain, with the statement that is to be signed."""
        return await self._get(f"/v1/domains/{quoted(name)}/close", m.DomainClosing)

    async def approve_closing(self, name: str, signature: str) -> m.Domain:
        """Close a domain: no more issue from now on, its keys destroyed after the days that were proposed."""
        return await self._post(
            f"/v1/domains/{quoted(name)}/close/approvals", m.Approval(signature=signature), m.Domain
        )

    async def destroy_domain(self, name: str) -> m.Domain:
        """Destroy the keys of a closed domain whose day has come."""
        return await self._post(f"/v1/domains/{quoted(name)}/destroy", None, m.Domain)

    async def get_pseudonyms(self, domain: str, originals: Sequence[str]) -> m.PseudonymAnswer:
        """Pseudonyms that exist; none is made."""
        request = m.PseudonymRequest(originals=list(originals), mode="get")
        path = f"/v1/domains/{quoted(domain)}/pseudonyms"
        answer = await self._post(path, request, m.PseudonymAnswer, repeatable=True)
        return as_long(answer, answer.pseudonyms, originals)

    async def additional(
        self, domain: str, originals: Sequence[str], count: int = 1, *, key: str | None = None
    ) -> m.AdditionalAnswer:
        """More pseudonyms of each original. Retried under one idempotency key, so that none is made twice.

        Args:
            domain: one that has several pseudonyms per original.
            originals: in order; the same one twice gets twice as many.
            count: how many for each.
            key: to repeat a request of before, perhaps of another process; without it this call is a new request.
        """
        request = m.AdditionalRequest(originals=list(originals), count=count)
        answer = await self._post(
            f"/v1/domains/{quoted(domain)}/additional",
            request,
            m.AdditionalAnswer,
            repeatable=True,
            headers={"Idempotency-Key": key or secrets.token_hex(16)},
        )
        return as_long(answer, answer.pseudonyms, originals)

    async def validate(self, domain: str, pseudonyms: Sequence[str]) -> m.ValidateAnswer:
        """Whether texts are live pseudonyms of a domain."""
        request = m.ValidateRequest(pseudonyms=list(pseudonyms))
        path = f"/v1/domains/{quoted(domain)}/validate"
        answer = await self._post(path, request, m.ValidateAnswer, repeatable=True)
        return as_long(answer, answer.results, pseudonyms)

    async def anonymise(
        self, domain: str, *, pseudonyms: Sequence[str] | None = None, originals: Sequence[str] | None = None
    ) -> m.RemovalAnswer:
        """Drop the way back from pseudonyms to their originals."""
        return await self._remove("anonymise", domain, pseudonyms, originals)

    async def delete(
        self, domain: str, *, pseudonyms: Sequence[str] | None = None, originals: Sequence[str] | None = None
    ) -> m.RemovalAnswer:
        """Erase pseudonyms. After a lost answer, those that were erased already are unknown."""
        return await self._remove("delete", domain, pseudonyms, originals)

    async def import_pairs(self, domain: str, pairs: Sequence[tuple[str, str]]) -> m.ImportAnswer:
        """Take over (original, pseudonym) pairs of another system; the same pairs again are "present"."""
        request = m.ImportRequest(pairs=[m.ImportPair(original=o, pseudonym=p) for o, p in pairs])
        answer = await self._post(f"/v1/domains/{quoted(domain)}/import", request, m.ImportAnswer, repeatable=True)
        return as_long(answer, answer.results, pairs)

    async def _remove(
        self, verb: str, domain: str, pseudonyms: Sequence[str] | None, originals: Sequence[str] | None
    ) -> m.RemovalAnswer:
        request = m.Selection(
            pseudonyms=None if pseudonyms is None else list(pseudonyms),
            originals=None if originals is None else list(originals),
        )
        answer = await self._post(f"/v1/domains/{quoted(domain)}/{verb}", request, m.RemovalAnswer)
        asked = pseudonyms if pseudonyms is not None else originals
        return as_long(answer, answer.results, asked or ())
