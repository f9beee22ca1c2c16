"""What the two rooms tell each other: all that the registrar and the comparator know of one another.

The names M0, M2, M5 and M6 are those of the protocol (docs/spec/rooms.md).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from .common import Count, Hex16, Hex32, Message, Name, Positive

EDGE_BYTES: Final = 33  # two refs of 16 bytes, the smaller first, and the level


class Params(Message, frozen=True, kw_only=True):
    """M0: what the comparator needs to know of a study version. No purpose, no recipient, no pseudonym."""

    study: Name
    version: int
    fingerprint: Hex32
    passes: int
    levels: list[int]
    caps: list[int]  # per pass, rows that one source may have in a block
    minimum_rows: Count
    sources: list[Name]


class Receipt(Message, frozen=True, kw_only=True):
    """M2: the comparator's word for an upload it holds. `root` is the Merkle root over the sorted refs."""

    study: Name
    version: int
    source: Name
    upload: Hex16
    rows: Positive
    root: Hex32
    sequence: Positive
    signature: str

    def signed_bytes(self) -> bytes:
        """The bytes under the signature: every field but the signature, one per line."""
        lines = (
            "trustcenter/receipt/1",
            self.study,
            str(self.version),
            self.source,
            self.upload,
            str(self.rows),
            self.root,
            str(self.sequence),
        )
        return ("\n".join(lines) + "\n").encode()


class Accept(Message, frozen=True, kw_only=True):
    """Registrar to comparator: the map of this upload fits, its rows may become live."""

    study: Name
    upload: Hex16


class Retire(Message, frozen=True, kw_only=True):
    """M6: refs (16 bytes each, sorted, packed) whose rows leave the comparison."""

    study: Name
    refs: bytes


class StudyPhase(Message, frozen=True, kw_only=True):
    """Registrar to comparator: whether a study takes rows, and whether all that it has are to go for good."""

    study: Name
    takes_rows: bool
    purge: bool


RoomMessage = Params | Accept | Retire | StudyPhase


class EdgesHeader(Message, frozen=True, kw_only=True):
    """M5, first part: what a delivery of edges is; the edges follow packed, 33 bytes each, sorted."""

    study: Name
    version: int
    window: int
    parameters_hash: Hex32
    edges: Count
    sha256: Hex32


class WindowOrder(Message, frozen=True, kw_only=True):
    """Registrar to comparator: compare what is live as this window."""

    study: Name
    version: int
    window: Positive
    parameters_hash: Hex32


class SourceRows(Message, frozen=True):
    """How many rows of a source a window compared."""

    source: Name
    rows: Count


class WindowState(Message, frozen=True, kw_only=True):
    """How far a window is. The edges of a delivered one follow packed, 33 bytes each, sorted (M5)."""

    study: Name
    window: Positive
    state: Literal["unknown", "running", "delivered", "failed", "cancelled"]
    stage: str = ""
    done: Count = 0
    total: Count = 0
    code: Annotated[str, msgspec.Meta(max_length=64)] = ""  # why it failed
    header: EdgesHeader | None = None
    sources: tuple[SourceRows, ...] = ()
