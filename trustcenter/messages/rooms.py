"""What the two rooms tell each other: all that the registrar and the comparator know of one another.

The names M0, M2, M5 and M6 are those of the protocol (docs/spec/rooms.md).
"""

from __future__ import annotations

from .common import Count, Hex16, Hex32, Message, Name, Positive


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


class EdgesHeader(Message, frozen=True, kw_only=True):
    """M5, first part: what a delivery of edges is; the edges follow packed, 33 bytes each, sorted."""

    study: Name
    version: int
    window: int
    parameters_hash: Hex32
    edges: Count
    sha256: Hex32
