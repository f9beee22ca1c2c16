"""Calls of re-identification: a site requests and fetches, approvers decide."""

from __future__ import annotations

from collections.abc import Sequence

from trustcenter.client.answers import as_long, quoted
from trustcenter.client.calls import Calls
from trustcenter.messages import api as m


class ReidentifyOperations(Calls):
    """Part of `TrustCenter`."""

    async def request_reidentification(self, domain: str, body: m.ReidentifyRequest) -> m.Reidentification:
        """Request the originals of own pseudonyms; approvers decide."""
        return await self._post(f"/v1/domains/{quoted(domain)}/reidentifications", body, m.Reidentification)

    async def reidentifications(self) -> list[m.Reidentification]:
        """The requests that the caller may see, newest first."""
        return (await self._get("/v1/reidentifications", m.Reidentifications)).reidentifications

    async def reidentification(self, ident: str) -> m.Reidentification:
        """One request."""
        return await self._get(f"/v1/reidentifications/{quoted(ident)}", m.Reidentification)

    async def approve_reidentification(self, ident: str, signature: str) -> m.Reidentification:
        """Approve a request with a signature over its statement; the same one again is harmless."""
        body = m.Approval(signature=signature)
        return await self._post(f"/v1/reidentifications/{quoted(ident)}/approvals", body, m.Reidentification)

    async def deny_reidentification(self, ident: str, reason: str) -> m.Reidentification:
        """Deny a request, or take its ticket back."""
        body = m.Denial(reason=reason)
        return await self._post(f"/v1/reidentifications/{quoted(ident)}/denials", body, m.Reidentification)

    async def originals(self, domain: str, ident: str, pseudonyms: Sequence[str]) -> m.OriginalsAnswer:
        """Originals on an approved ticket, in order. Every call spends a fetch, so none is retried."""
        body = m.OriginalsRequest(pseudonyms=list(pseudonyms))
        path = f"/v1/domains/{quoted(domain)}/reidentifications/{quoted(ident)}/originals"
        answer = await self._post(path, body, m.OriginalsAnswer)
        return as_long(answer, answer.originals, pseudonyms)
