"""Calls and jobs around keys: rotation step by step, maps, acknowledgements, proposals, compromise, schedule."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from trustcenter.client.answers import quoted
from trustcenter.client.calls import Calls
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing, require_writable, save
from trustcenter.errors import VerificationError
from trustcenter.messages import api as m

if TYPE_CHECKING:
    from keys.hybrid import RecipientKey
    from trustcenter.client.api import TrustCenter

CONTEXT: Final = "trustcenter/key-proposal/1"
_HEADER: Final = b"old,new\n"
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


@dataclass(frozen=True)
class FetchedMap:
    """A map that was opened: its pairs, and the SHA-256 that acknowledges it."""

    rotation: str
    party: str
    pairs: int
    sha256: str


async def fetch_sealed_map(center: TrustCenter, ident: str, party: str, target: Path, *, force: bool = False) -> int:
    """Write the sealed map of a party as it comes; returns its size in bytes.

    Raises:
        LocalFileError: the output. RemoteError: no such rotation or party, no public key, no approval.
    """
    return await save(center.rotation_map(ident, party), target, force=force)


def open_map(
    sealed: Path, key: RecipientKey, ident: str, party: str, target: Path, *, force: bool = False
) -> FetchedMap:
    """Open a sealed map into a CSV file of mode 0600.

    Raises:
        SealError: another key, rotation or party, or a damaged file. LocalFileError: input or output.
    """
    require_writable(target, sources=(sealed,), force=force)
    try:
        source = sealed.open("rb")
    except OSError:
        raise LocalFileError("the sealed file cannot be read", code="no_input") from None
    info = b"trustcenter/translation-map/1\0" + ident.encode() + b"\0" + party.encode()
    digest, lines, head = hashlib.sha256(), 0, b""
    # In parts; a map that was cut or changed raises before the output takes its name.
    with source, replacing(target, force=force) as stream:
        for part in key.open_stream(source.read, info):
            stream.write(part)
            lines += part.count(b"\n")
            if len(head) < len(_HEADER):
                head += part
                if len(head) < len(_HEADER):
                    continue
                part, head = head[len(_HEADER) :], head[: len(_HEADER)]
            digest.update(part)
    if head != _HEADER:
        raise VerificationError("this is not a translation map", code="not_a_map")
    return FetchedMap(ident, party, lines - 1, digest.hexdigest())


async def approve(center: TrustCenter, ident: str, sign: Callable[[str], str]) -> m.KeyProposal:
    """Sign the statement of a proposal and hand the signature in.

    Args:
        center: as the approver.
        ident: of the proposal.
        sign: shows the statement to the approver and gives the signature, or raises to decline.

    Raises:
        VerificationError: the statement is not about this proposal.
        RemoteError: a wrong key, or an approver who proposed it.
    """
    found = await center.key_proposal(ident)
    lines = found.statement.split("\n")
    wanted = {
        0: CONTEXT,
        2: f"proposal: {ident}",
        3: f"action: {found.kind}",
        4: f"domain: {found.domain}",
        5: f"key: {found.purpose} version {found.version}",
    }
    if len(lines) < 10 or any(lines[place] != line for place, line in wanted.items()):
        raise VerificationError(
            "the statement to sign is not about this proposal",
            code="wrong_statement",
            hint="do not sign; tell the data protection officer",
        )
    return await center.approve_for_key(ident, sign(found.statement))


def report_text(report: m.CompromiseReport) -> str:
    """The report of a compromise as a page for people, in Markdown."""
    sections = {
        "Must translate their copies": report.must_translate,
        "Released with pseudonyms of this key": report.releases,
        "What no rotation heals": report.cannot_heal,
        "Next steps": report.next_steps,
    }
    lines = [
        f"# Compromise of the {report.purpose} key of {report.domain or report.room}, version {report.version}",
        "",
        f"* Reason: {report.reason}",
        f"* Exposed since {report.since}, in use until {report.in_use_until}",
        *([f"* Pseudonyms exposed: {report.exposed_pseudonyms}"] if report.domain is not None else []),
        f"* Replaced by version {report.replaced_by or '-'}, rotation {report.rotation or '-'}",
    ]
    for title, items in sections.items():
        lines += ["", f"## {title}", "", *([f"* {item}" for item in items] or ["* none"])]
    return "\n".join(lines) + "\n"
