"""The decisions of a linkage run, as handed over, and their check against the audit log (docs/spec/linkage-log.md)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing, require_writable
from trustcenter.client.parts.audit import AuditOperations
from trustcenter.errors import BundleError, VerificationError
from trustcenter.messages import api

from .bundles import verify_files

if TYPE_CHECKING:
    from trustcenter.audit.entries import Entry

CONTEXT: Final = "trustcenter/linkage-disclosure/1"
SALT_BYTES: Final = 16
PREFIX: Final = b"trustcenter/linkage-decision/1\0"


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of decisions was found to be: those of a run, of which some were erased since."""

    study: str
    run: str
    decisions: int
    erased: int


async def approve(center: AuditOperations, ident: str, sign: Callable[[str], str]) -> api.LinkageDisclosure:
    """Sign that an auditor may read decisions.

    Raises:
        VerificationError: the statement is about another disclosure.
    """
    found = await center.disclosure(ident)
    lines = found.statement.split("\n")
    wanted = (f"disclosure: {ident}", f"study: {found.study}", f"to: {found.proposed_by}")
    if lines[0] != CONTEXT or any(lines.count(line) != 1 for line in wanted):
        raise VerificationError(
            "the statement to be signed is not for this disclosure",
            code="wrong_statement",
            hint="do not sign it; tell the data protection officer",
        )
    return await center.approve_disclosure(ident, sign(found.statement))


async def fetch(center: AuditOperations, ident: str, target: Path, *, force: bool = False) -> int:
    """Write the decisions, one a line; returns their number."""
    require_writable(target, force=force)
    encoder, count = msgspec.json.Encoder(), 0
    with replacing(target, force=force) as stream:
        async for decision in center.decisions(ident):
            stream.write(encoder.encode(decision) + b"\n")
            count += 1
    return count


def check(decisions: Path, bundles: Sequence[Path], fingerprints: Sequence[str] = ()) -> Checked:
    """Hold decisions against the run's entry in a verified log.

    Raises:
        BundleError: the log is broken, knows no run with these decisions, or a decision does not open its commitment.
        LocalFileError: a file.
    """
    from trustcenter.audit import Event, merkle_root

    applied: dict[str, dict[str, Any]] = {}

    def see(entry: Entry, leaf: bytes, digest: bytes) -> None:
        if entry.event == Event.RUN_APPLY.value and "decisions_root" in entry.data:
            applied[str(entry.data["decisions_root"])] = entry.data

    verify_files(bundles, fingerprints, each=see)
    leaves, erased, runs = [], 0, set()
    try:
        with decisions.open("rb") as stream:
            for number, line in enumerate(stream):
                found = msgspec.json.decode(line, type=api.LinkageDecision)
                leaves.append(bytes.fromhex(found.leaf))
                erased += not found.salt
                if found.number != number:
                    raise BundleError("decisions are missing or out of order", where=f"decision {number}")
                if found.salt or found.detail:
                    runs.add(_open(found))
    except (OSError, msgspec.DecodeError, ValueError):
        raise LocalFileError("the file of decisions cannot be read", code="no_input", where=decisions.name) from None
    told = applied.get(merkle_root(leaves).hex())
    if told is None or told["decisions"] != len(leaves) or not runs <= {told["run"]}:
        raise BundleError("no run of this log has committed to these decisions", where="decisions")
    return Checked(study=str(told["study"]), run=str(told["run"]), decisions=len(leaves), erased=erased)


def _open(found: api.LinkageDecision) -> str:
    """The run that a decision names, once it opens its commitment."""
    salt = bytes.fromhex(found.salt)
    if len(salt) != SALT_BYTES:  # HMAC takes a shorter key for one that ends in zeros
        raise BundleError("a decision does not open its commitment", where=f"decision {found.number}")
    digest = hmac.digest(salt, PREFIX + found.detail.encode(), "sha256")
    if digest.hex() != found.leaf:
        raise BundleError("a decision does not open its commitment", where=f"decision {found.number}")
    return str(msgspec.json.decode(found.detail)["run"])
