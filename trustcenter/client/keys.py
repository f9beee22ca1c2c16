"""Jobs around keys: maps fetched and opened, proposals signed, the page about a compromise."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trustcenter.client.api import TrustCenter
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing, require_writable, save
from trustcenter.errors import VerificationError
from trustcenter.messages import api as m

if TYPE_CHECKING:
    from keys.hybrid import RecipientKey

CONTEXT: Final = "trustcenter/key-proposal/1"
_HEADER: Final = b"old,new\n"


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
        4: f"domain: {found.domain}" if found.room is None else f"room: {found.room}",
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
