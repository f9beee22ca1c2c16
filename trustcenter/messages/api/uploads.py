"""Records of sites in a study: registered, uploaded, mapped, and their results."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trustcenter.messages.common import Count, Hex16, Hex32, ManyHex16, Message, Positive
from trustcenter.messages.receipts import Receipt

from .service import ItemError


class RegisterRequest(Message, frozen=True, kw_only=True):
    """Record numbers of one source, sorted, each once (M3)."""

    record_numbers: list[ManyHex16]


class RegisterAnswer(Message, frozen=True, kw_only=True):
    """Study pseudonyms in the order of the record numbers; null where `errors` names the index.

    Only in a study that requires consent are single record numbers refused.
    """

    pseudonyms: list[str | None]
    key_version: int
    errors: list[ItemError] = msgspec.field(default_factory=list)


class UploadOpen(Message, frozen=True, kw_only=True):
    """Announcement of a row upload (M1)."""

    version: int
    fingerprint: Hex32
    rows: Positive
    chunks: Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class UploadOpened(Message, frozen=True, kw_only=True):
    """Where the chunks go."""

    upload: Hex16
    chunk_bytes_max: int


class ChunkStored(Message, frozen=True, kw_only=True):
    """A chunk is durable; sending the same bytes again is harmless."""

    upload: Hex16
    chunk: Count
    received: Count
    chunks: Positive


class Deduplication(Message, frozen=True, kw_only=True):
    """What a site says about the duplicates of its source: counts and a digest (`trustcenter linkage dedupe`).

    The digest is of the list of ids that the site keeps; the list holds random bytes, so that nobody can guess it.
    """

    format: Literal["trustcenter/deduplication/1"]
    schema: Hex32
    records: Count
    compared: Count
    blocks_skipped: Count
    listed: Count
    same: Count
    different: Count
    open: Count
    accepted: Count
    removed: Count
    cut: Annotated[float, msgspec.Meta(ge=0, le=1)]
    duplicates_sha256: Hex32


class MapUpload(Message, frozen=True, kw_only=True):
    """Which refs belong to which record (M4).

    `entries` packs, per record, record number (16 bytes), flags (1 byte, bit 0: decoy) and its sorted refs
    (16 bytes each, one per pass).
    """

    receipt: Receipt
    entries: bytes
    deduplication: Deduplication | None = None  # kept in the log, with the entry of this map


class MapAccepted(Message, frozen=True, kw_only=True):
    """The map fits its receipt; the rows are live."""

    mapped: Count
    accepted: bool


class ResultLine(Message, frozen=True, kw_only=True):
    """One record of the caller's own source."""

    record_number: Hex16
    pseudonym: str
    successor: str | None = None  # pseudonym of the record that stands for this one, an own duplicate
    date_shift: int | None = None  # days to add to this person's dates; after a release of a study that shifts


class Duplicate(Message, frozen=True, kw_only=True):
    """A record of the caller's source and the one of the same source that stands for it from now on."""

    record_number: Hex16
    successor: Hex16


class DuplicateRequest(Message, frozen=True, kw_only=True):
    """Duplicates that a site found in its own plaintext."""

    duplicates: Annotated[list[Duplicate], msgspec.Meta(min_length=1)]


class DuplicateAnswer(Message, frozen=True, kw_only=True):
    """How many records were superseded that were not before."""

    superseded: Count


class RecordRefs(Message, frozen=True, kw_only=True):
    """A mapped record of the caller and its current refs, 16 bytes each, sorted and joined."""

    record_number: Hex16
    refs: bytes
