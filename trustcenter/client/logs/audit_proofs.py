"""Proofs asked of the service, and checked here."""

from __future__ import annotations

from typing import Protocol

from trustcenter.audit.chain import KeyChain, open_chain
from trustcenter.audit.note import Checkpoint, check_fingerprint, parse_checkpoint, parse_note, parse_vkey
from trustcenter.audit.tree import verify_consistency, verify_inclusion
from trustcenter.errors import LogForkedError, VerificationError
from trustcenter.messages import api


class Asked(Protocol):
    """Who can be asked about the logs: a `TrustCenter`."""

    async def audit_checkpoint(self, room: str) -> str:
        """The signed head of a room's log."""

    async def inclusion(self, room: str, index: int, size: int) -> api.InclusionProof:
        """The proof that entry `index` is in the log of `size` entries."""

    async def consistency(self, room: str, old: int, new: int) -> api.ConsistencyProof:
        """The proof that the log of `new` entries extends that of `old`."""


async def prove(center: Asked, room: str, index: int, fingerprint: str | None = None) -> api.InclusionProof:
    """The proof that an entry is in the log as it is now.

    Args:
        center: as a site, an operator or an auditor.
        room: registrar or comparator.
        index: of the entry.
        fingerprint: of the log's first key, from paper; without it the key is the one that the service names.

    Raises:
        VerificationError: proof, signature or key do not hold. RemoteError: there is no such entry.
    """
    note = await center.audit_checkpoint(room)
    head = claimed(note)
    found = await center.inclusion(room, index, head.size)
    if (found.index, found.size) != (index, head.size):
        raise VerificationError("the service has proven another entry than the one asked for", code="other_proof")
    keys_of(found, fingerprint).open(note)
    hashes = [bytes.fromhex(digest) for digest in found.hashes]
    verify_inclusion(index, head.size, bytes.fromhex(found.leaf_hash), hashes, head.root)
    return found


async def extends(center: Asked, room: str, old: str, new: str, fingerprint: str | None = None) -> Checkpoint:
    """Check that the log of one signed head extends that of an earlier one; returns the later.

    Args:
        center: as a site, an operator or an auditor.
        room: registrar or comparator.
        old: signed checkpoint, of at least one entry.
        new: signed checkpoint.
        fingerprint: of the log's first key.

    Raises:
        LogForkedError: both are signed, and they are not of one log.
        VerificationError: a signature or a key does not hold.
    """
    before, after = claimed(old), claimed(new)
    if before.size > after.size:
        before, after, old, new = after, before, new, old
    proof = await center.consistency(room, before.size, after.size)
    chain = keys_of(proof, fingerprint)
    chain.open(old)
    chain.open(new)
    hashes = [bytes.fromhex(digest) for digest in proof.hashes]
    try:
        verify_consistency(before.size, after.size, hashes, before.root, after.root)
    except VerificationError:
        raise LogForkedError(
            "two signed heads of the service's log do not belong to one log",
            hint="keep both heads and tell the auditor: the log was rewritten, or you were shown another one",
        ) from None
    return after


def keys_of(proof: api.InclusionProof | api.ConsistencyProof, fingerprint: str | None) -> KeyChain:
    """The keys that a proof names, verified from the first on.

    Raises:
        VerificationError: they do not follow on each other, or the first is another one.
    """
    if fingerprint is not None:
        check_fingerprint(proof.vkey, fingerprint)
    return open_chain(parse_vkey(proof.vkey), proof.handovers)


def claimed(note: str) -> Checkpoint:
    """What a checkpoint says, its signature not looked at.

    Raises:
        VerificationError: it is none.
    """
    return parse_checkpoint(parse_note(note).text)
