"""Cosigning heads of the logs as a site, and holding the service against what other sites have cosigned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from trustcenter.audit.cosign import Witnessed, agreed, cosign, cosigned_by, witness_name
from trustcenter.audit.note import COSIGNATURE, Key, fingerprint
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing
from trustcenter.errors import VerificationError
from trustcenter.messages import api

from .audit_heads import beside as heads_beside
from .audit_heads import load as load_head
from .audit_proofs import claimed, extends, keys_of

if TYPE_CHECKING:
    from trustcenter.client.api import TrustCenter

ROOMS: Final = ("registrar", "comparator")
SUFFIX: Final = ".cosigned"
_DAY: Final = 86_400


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was cosigned last, per room: fingerprint of the log's first key, and the head."""

    format: str = "trustcenter/cosigned-heads/1"
    rooms: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)


def witness_key(origin: str, site: str, public: bytes) -> Key:
    """The verifier key of a site as a witness."""
    return Key(witness_name(origin, site), public, COSIGNATURE)


async def cosign_head(
    center: TrustCenter,
    room: str,
    site: str,
    public: bytes,
    sign: Callable[[bytes], bytes],
    connection: Path,
    mark: str | None = None,
) -> tuple[api.CosignedHead, Key]:
    """Cosign the head of a room's log as it is now, and give the cosignature to the service.

    A head is cosigned only if its log extends the head cosigned before it and, at the registrar, the one that the site
    keeps beside its connection file. What will be signed is on disk before it is.

    Args:
        center: as the site.
        room: registrar or comparator.
        site: its name.
        public: of the site's key, 32 bytes.
        sign: makes the signature of a message.
        connection: the connection file; what was cosigned is kept beside it.
        mark: fingerprint of the log's first key, from paper.

    Raises:
        LogForkedError: the log does not extend what was signed before. VerificationError: signature or key.
        LocalFileError: the file of what was cosigned.
    """
    path = connection.with_name(connection.name + SUFFIX)
    kept = _load(path)
    before, old = kept.rooms.get(room, (None, None))
    heads = load_head(heads_beside(connection)) if room == ROOMS[0] else None
    mark = mark or before or (heads.fingerprint if heads is not None else None)
    note = await center.audit_checkpoint(room)
    now = claimed(note)
    for earlier in (old, heads.checkpoint if heads is not None else None):
        if earlier is None:
            continue
        if claimed(earlier).origin != now.origin:
            raise VerificationError(
                "the log of the service goes on under another origin: it was reopened or moved",
                code="log_origin_changed",
                hint="confirm the new fingerprint with the centre, then put the files .heads and .cosigned aside",
            )
        if claimed(earlier).size > now.size:
            raise VerificationError(
                "the service does not prove that its log extends the head kept here",
                code="head_not_extended",
                hint="keep the file with the cosigned heads and tell the auditor",
                where=path.name,
            )
        await extends(center, room, earlier, note, mark)
    proof = await center.consistency(room, now.size, now.size)
    keys_of(proof, mark).open(note)
    key = witness_key(now.origin, site, public)
    _save(path, Kept(rooms={**kept.rooms, room: (mark or fingerprint(proof.vkey), note)}))
    made = cosign(note, key, sign, int(time.time()))
    return await center.audit_cosign(room, api.Cosignature(note=made, witness=key.vkey)), key


async def require(
    center: TrustCenter, room: str, witnesses: Sequence[Key], quorum: int, days: float, mark: str | None = None
) -> tuple[api.CosignedHeads, list[Witnessed]]:
    """Hold the log as it is now against the heads that other sites have cosigned.

    Args:
        center: as anybody who may read proofs.
        room: registrar or comparator.
        witnesses: verifier keys, from the sites themselves. None: only look.
        quorum: how many of them must have cosigned this log.
        days: a cosignature older than this does not count.
        mark: fingerprint of the log's first key, from paper.

    Returns:
        The heads that were shown, and what each witness saw.

    Raises:
        LogForkedError: a site cosigned a head that this log does not have: different histories were shown.
        VerificationError: a cosignature is wrong, or fewer than `quorum` count.
    """
    shown = await center.audit_cosigned(room)
    note = await center.audit_checkpoint(room)
    oldest = time.time() - days * _DAY
    seen: dict[str, Witnessed] = {}
    for head in shown.heads:
        if not claimed(head.note).size:
            continue
        await extends(center, room, head.note, note, mark)
        for key in witnesses:
            seconds = cosigned_by(head.note, key)
            if seconds is not None and seconds >= oldest:
                size = claimed(head.note).size
                if key.name not in seen or seen[key.name].size < size:
                    seen[key.name] = Witnessed(key.name, size, seconds)
    if len(seen) < quorum:
        raise VerificationError(
            f"{len(seen)} of the named witnesses have lately cosigned this log, and {quorum} must",
            code="too_few_witnesses",
            hint="ask the sites whether they cosign, and what head they saw: trustcenter audit cosign",
        )
    return shown, sorted(seen.values(), key=lambda one: (-one.size, one.name))


def _load(path: Path) -> Kept:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except FileNotFoundError:
        return Kept()
    except (OSError, msgspec.DecodeError):
        raise LocalFileError(
            "the file with the heads that this site cosigned cannot be read",
            code="cosigned_unreadable",
            hint="restore it; a site that forgets what it cosigned may cosign two histories",
            where=path.name,
        ) from None


def _save(path: Path, kept: Kept) -> None:
    try:
        with replacing(path, force=True) as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
    except OSError:
        raise LocalFileError(
            "the head cannot be kept beside the connection file, so it is not cosigned",
            code="cosigned_unwritable",
            hint="give the directory of the connection file to the user of this job",
        ) from None


__all__ = ["ROOMS", "agreed", "cosign_head", "require", "witness_key"]
