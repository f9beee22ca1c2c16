"""Calls around keys: rotation step by step, maps, acknowledgements, proposals, compromise, schedule."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Literal

from trustcenter.client.answers import quoted
from trustcenter.client.calls import Calls
from trustcenter.messages import api as m

Step = Literal["resume", "verify", "finalize", "abort", "rollback"]
Act = Literal["suspend", "activate", "deactivate"]


def _silent(_done: int, _total: int) -> None:
    """Tell nobody."""


class KeyOperations(Calls):
    """Part of `TrustCenter`."""

    async def rotate_key(self, domain: str, request: m.RotateRequest) -> m.RotationPlan:
        """Plan, prepare or carry out a rotation."""
        path = f"/v1/domains/{quoted(domain)}/keys/rotate"
        return await self._post(path, request, m.RotationPlan, repeatable=request.dry_run)

    async def rotations(self, domain: str | None = None) -> list[m.Rotation]:
        """Rotations of a domain, or all, oldest first."""
        path = "/v1/rotations" if domain is None else f"/v1/domains/{quoted(domain)}/rotations"
        return (await self._get(path, m.Rotations)).rotations

    async def rotation(self, ident: str) -> m.Rotation:
        """How far a rotation is."""
        return await self._get(f"/v1/rotations/{quoted(ident)}", m.Rotation)

    async def rotation_step(self, ident: str, step: Step, *, dry_run: bool = False) -> m.Rotation:
        """Take a step of a rotation, or only try to end it. Resuming and verifying twice changes nothing."""
        path = f"/v1/rotations/{quoted(ident)}/{step}{'?dry_run=true' if dry_run else ''}"
        return await self._post(path, None, m.Rotation, repeatable=dry_run or step in ("resume", "verify"))

    async def verify_rotation(self, ident: str, progress: Callable[[int, int], None] = _silent) -> m.Rotation:
        """Verify a rotation, and wait for it; `progress` is called with rows looked at, and rows in all."""
        while (found := await self.rotation_step(ident, "verify")).checked is not None:
            progress(found.checked, found.total)
        return found

    def rotation_map(self, ident: str, party: str | None = None) -> AsyncIterator[bytes]:
        """The map old to new, sealed to a party; a site gets its own."""
        query = f"?party={quoted(party)}" if party else ""
        return self._stream(f"/v1/rotations/{quoted(ident)}/map{query}")

    async def acknowledge_map(self, ident: str, sha256: str, party: str | None = None) -> m.Rotation:
        """Say that a map was received, by its SHA-256."""
        body = m.MapAcknowledge(sha256=sha256, party=party)
        return await self._post(f"/v1/rotations/{quoted(ident)}/acknowledgements", body, m.Rotation, repeatable=True)

    async def key_act(self, domain: str, act: Act, body: m.KeyAct) -> m.KeyVersion:
        """Suspend, activate or deactivate a version."""
        return await self._post(f"/v1/domains/{quoted(domain)}/keys/{act}", body, m.KeyVersion)

    async def compromise_key(self, domain: str, body: m.KeyCompromise) -> m.CompromiseReport:
        """A key leaked: stop issue, open the next version, report."""
        return await self._post(f"/v1/domains/{quoted(domain)}/keys/compromise", body, m.CompromiseReport)

    async def schedule_key(self, domain: str, body: m.KeySchedule) -> list[m.KeyDue]:
        """Say how often a key is to be rotated."""
        return (await self._put(f"/v1/domains/{quoted(domain)}/keys/schedule", body, m.KeysDue)).keys

    async def rotate_room_keys(self, room: str, request: m.RoomRotateRequest) -> m.RoomRotationPlan:
        """Plan or carry out a rotation of a room's own keys."""
        path = f"/v1/rooms/{quoted(room)}/keys/rotate"
        return await self._post(path, request, m.RoomRotationPlan, repeatable=request.dry_run)

    async def compromise_room_keys(self, room: str, body: m.RoomKeyCompromise) -> m.CompromiseReport:
        """A room's own keys leaked: exchange them, report."""
        return await self._post(f"/v1/rooms/{quoted(room)}/keys/compromise", body, m.CompromiseReport)

    async def schedule_room_keys(self, room: str, body: m.RoomKeySchedule) -> list[m.KeyDue]:
        """Say how often a room's own keys, or its passphrase, are to be exchanged."""
        return (await self._put(f"/v1/rooms/{quoted(room)}/keys/schedule", body, m.KeysDue)).keys

    async def keys_due(self) -> list[m.KeyDue]:
        """Scheduled keys, the most urgent first."""
        return (await self._get("/v1/keys/due", m.KeysDue)).keys

    async def propose_for_key(self, body: m.KeyPropose) -> m.KeyProposal:
        """Propose what takes two people."""
        return await self._post("/v1/key-proposals", body, m.KeyProposal)

    async def key_proposals(self) -> list[m.KeyProposal]:
        """Every proposal, oldest first."""
        return (await self._get("/v1/key-proposals", m.KeyProposals)).proposals

    async def key_proposal(self, ident: str) -> m.KeyProposal:
        """A proposal with the statement that is to be signed."""
        return await self._get(f"/v1/key-proposals/{quoted(ident)}", m.KeyProposal)

    async def approve_for_key(self, ident: str, signature: str) -> m.KeyProposal:
        """Hand in a signature; the proposal is carried out."""
        path = f"/v1/key-proposals/{quoted(ident)}/approvals"
        return await self._post(path, m.Approval(signature=signature), m.KeyProposal)

    async def set_site_key(self, site: str, public_key: str, fingerprint: str) -> m.SiteKey:
        """Register a site's public key."""
        body = m.SiteKeySet(public_key=public_key, fingerprint=fingerprint)
        return await self._put(f"/v1/sites/{quoted(site)}/key", body, m.SiteKey)

    async def site_key(self, site: str) -> m.SiteKey:
        """A site's registered public key."""
        return await self._get(f"/v1/sites/{quoted(site)}/key", m.SiteKey)
