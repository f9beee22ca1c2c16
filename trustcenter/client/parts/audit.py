"""The audit half of the client: heads, proofs and exports, as sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import msgspec

from trustcenter.client.answers import decoded, quoted, unexpected
from trustcenter.client.ndjson import records
from trustcenter.messages import api as m

if TYPE_CHECKING:
    from trustcenter.client.settings import Settings
    from trustcenter.client.transport import Transport


class AuditOperations:
    """What `TrustCenter` can ask of the logs."""

    settings: Settings
    _http: Transport

    async def audit_export(self, room: str) -> AsyncIterator[bytes]:
        """The log of a room as a bundle, in pieces, exactly as sent."""
        async with self._http.stream(f"/v1/audit/{quoted(room)}/export") as body:
            async for piece in body.iter_any():
                yield piece

    async def audit_extract(self, room: str, wanted: m.LogExtract) -> AsyncIterator[bytes]:
        """Chosen entries of the log of a room as a bundle, in pieces, exactly as sent."""
        sent = msgspec.json.encode(wanted)
        async with self._http.stream(f"/v1/audit/{quoted(room)}/extracts", body=sent) as body:
            async for piece in body.iter_any():
                yield piece

    async def audit_checkpoint(self, room: str) -> str:
        """The signed head of a room's log."""
        answer = await self._http.call("GET", f"/v1/audit/{quoted(room)}/checkpoint", repeatable=True)
        try:
            return answer.decode("utf-8")
        except UnicodeDecodeError:
            raise unexpected() from None

    async def inclusion(self, room: str, index: int, size: int) -> m.InclusionProof:
        """The proof that entry `index` is in the log of `size` entries."""
        path = f"/v1/audit/{quoted(room)}/inclusion/{index:d}/{size:d}"
        return decoded(await self._http.call("GET", path, repeatable=True), m.InclusionProof)

    async def consistency(self, room: str, old: int, new: int) -> m.ConsistencyProof:
        """The proof that the log of `new` entries extends that of `old`."""
        path = f"/v1/audit/{quoted(room)}/consistency/{old:d}/{new:d}"
        return decoded(await self._http.call("GET", path, repeatable=True), m.ConsistencyProof)

    async def audit_cosign(self, room: str, cosignature: m.Cosignature) -> m.CosignedHead:
        """Give the service a head of a room's log that the calling site has cosigned."""
        body = msgspec.json.encode(cosignature)
        path = f"/v1/audit/{quoted(room)}/cosignatures"
        return decoded(await self._http.call("POST", path, body=body, repeatable=True), m.CosignedHead)

    async def audit_cosigned(self, room: str) -> m.CosignedHeads:
        """The newest head of a room's log that each site has cosigned."""
        path = f"/v1/audit/{quoted(room)}/cosigned"
        return decoded(await self._http.call("GET", path, repeatable=True), m.CosignedHeads)

    async def statements(self) -> AsyncIterator[m.HeldStatement]:
        """Statements of re-identifications and disclosures that are still held, streamed (auditor)."""
        async with self._http.stream("/v1/statements") as body:
            async for item in records(body, m.HeldStatement, self.settings.line_bytes):
                yield item

    async def retention(self) -> m.RetentionRules:
        """For how long details of entries are kept."""
        return decoded(await self._http.call("GET", "/v1/retention", repeatable=True), m.RetentionRules)

    async def set_retention(self, event: str, years: int) -> m.RetentionRules:
        """Say for how long details of an event's entries are kept (operator); a shorter time waits for an approver."""
        body = msgspec.json.encode(m.RetentionSet(event=event, years=years))
        return decoded(await self._http.call("PUT", "/v1/retention", body=body, repeatable=True), m.RetentionRules)

    async def retention_proposal(self, proposal: str) -> m.RetentionProposal:
        """A rule that was proposed, with the statement that is to be signed."""
        path = f"/v1/retention/proposals/{quoted(proposal)}"
        return decoded(await self._http.call("GET", path, repeatable=True), m.RetentionProposal)

    async def approve_retention(self, proposal: str, signature: str) -> m.RetentionRules:
        """Set the rule that was proposed (approver)."""
        body = msgspec.json.encode(m.Approval(signature=signature))
        path = f"/v1/retention/proposals/{quoted(proposal)}/approvals"
        return decoded(await self._http.call("POST", path, body=body, repeatable=False), m.RetentionRules)

    async def delete_details(self) -> m.RetentionRules:
        """Delete the details that the rules no longer keep (operator)."""
        return decoded(await self._http.call("POST", "/v1/retention/deletions", repeatable=True), m.RetentionRules)

    async def propose_decisions(self, study: str, run: str, reason: str) -> m.LinkageDisclosure:
        """Ask for the decisions of a run (auditor)."""
        path = f"/v1/studies/{quoted(study)}/runs/{quoted(run)}/disclosures"
        body = msgspec.json.encode(m.LinkageDisclosurePropose(reason=reason))
        return decoded(await self._http.call("POST", path, body=body, repeatable=False), m.LinkageDisclosure)

    async def disclosure(self, ident: str) -> m.LinkageDisclosure:
        """What is to be signed before decisions leave."""
        answer = await self._http.call("GET", f"/v1/disclosures/{quoted(ident)}", repeatable=True)
        return decoded(answer, m.LinkageDisclosure)

    async def approve_disclosure(self, ident: str, signature: str) -> m.LinkageDisclosure:
        """Let the auditor read the decisions (approver)."""
        body = msgspec.json.encode(m.Approval(signature=signature))
        path = f"/v1/disclosures/{quoted(ident)}/approvals"
        return decoded(await self._http.call("POST", path, body=body, repeatable=False), m.LinkageDisclosure)

    async def decisions(self, ident: str) -> AsyncIterator[m.LinkageDecision]:
        """The decisions of an approved disclosure, streamed (auditor)."""
        async with self._http.stream(f"/v1/disclosures/{quoted(ident)}/decisions") as body:
            async for item in records(body, m.LinkageDecision, self.settings.line_bytes):
                yield item

    async def subject_report(self, domain: str, pseudonym: str) -> m.SubjectReport:
        """What the centre holds and did about one pseudonym of the caller's own domain."""
        body = msgspec.json.encode(m.SubjectQuery(pseudonym=pseudonym))
        path = f"/v1/domains/{quoted(domain)}/subject-reports"
        return decoded(await self._http.call("POST", path, body=body, repeatable=True), m.SubjectReport)
