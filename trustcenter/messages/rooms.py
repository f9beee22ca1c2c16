"""What the two rooms tell each other: all that the registrar and the comparator know of one another.

The names M0, M2, M5 and M6 are those of the protocol (docs/spec/rooms.md).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from .common import Count, Hex16, Hex32, Message, Name, Positive

CODE: Final = "[a-z0-9_]{1,64}"  # of an error
EDGE_BYTES: Final = 33  # two refs of 16 bytes, the smaller first, and the level
Link = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$")]


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
    former: list[Name] = msgspec.field(default_factory=list)  # sources that were removed: they send no more
    lead: Name | None = None  # the site whose share of the study secret counts


class RoomParameters(Message, frozen=True, kw_only=True):
    """M0 for a site: what one room knows of a study version, signed by that room. Both rooms say the same.

    `public_key` is the room's, Ed25519: at the comparator that of its receipts, at the registrar that of its log.
    """

    room: Literal["registrar", "comparator"]
    study: Name
    version: int
    fingerprint: Hex32
    passes: int
    levels: list[int]
    caps: list[int]
    minimum_rows: Count
    separation: Literal["none", "process", "operator"]
    lead: Name | None
    public_key: Hex32
    signature: str

    @property
    def parameters(self) -> tuple[object, ...]:
        """What both rooms have to agree on."""
        return (
            self.study,
            self.version,
            self.fingerprint,
            self.passes,
            self.levels,
            self.caps,
            self.minimum_rows,
            self.separation,
            self.lead,
        )

    def signed_bytes(self) -> bytes:
        """The bytes under the signature: one field per line, lists joined by spaces."""
        lines = (
            "trustcenter/parameters/1",
            self.room,
            self.study,
            str(self.version),
            self.fingerprint,
            str(self.passes),
            " ".join(map(str, self.levels)),
            " ".join(map(str, self.caps)),
            str(self.minimum_rows),
            self.separation,
            self.lead or "",
            self.public_key,
        )
        return ("\n".join(lines) + "\n").encode()

    @classmethod
    def sign(
        cls, room: str, params: Params, separation: str, public_key: bytes, sign: Callable[[bytes], bytes]
    ) -> RoomParameters:
        """Say and sign it."""
        said = ("study", "version", "fingerprint", "passes", "levels", "caps", "minimum_rows", "lead")
        told = {
            **{name: getattr(params, name) for name in said},
            "room": room,
            "separation": separation,
            "public_key": public_key.hex(),
            "signature": "",
        }
        unsigned = msgspec.convert(told, type=cls)
        signature = base64.b64encode(sign(unsigned.signed_bytes())).decode()
        return msgspec.structs.replace(unsigned, signature=signature)


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


class ShutOut(Message, frozen=True, kw_only=True):
    """Registrar to comparator: a practice was turned out, or its invitation taken back. Ends what is named here."""

    site: Name
    access: bool = True  # tokens and certificates of the practice at the comparator
    codes: bool = False  # codes of the comparator's own that it has not used


RoomMessage = Params | Accept | Retire | StudyPhase | ShutOut
KINDS: Final[dict[str, type[RoomMessage]]] = {
    "params": Params,
    "accept": Accept,
    "retire": Retire,
    "state": StudyPhase,
    "shut_out": ShutOut,
}


class Step(Message, frozen=True):
    """How far the exchange of messages is: how many there were, and the hash over all of them."""

    number: Count
    chain: Hex32

    def after(self, kind: str, payload: str) -> Step:
        """The step after one more message: SHA-256 over the chain, the number (8 bytes), kind, 0 and payload."""
        number = self.number + 1
        told = b"".join((bytes.fromhex(self.chain), number.to_bytes(8, "big"), kind.encode(), b"\0", payload.encode()))
        return Step(number, hashlib.sha256(told).hexdigest())


class Envelope(Message, frozen=True, kw_only=True):
    """One message of the registrar, in its place: `before` is the step that it follows."""

    before: Step
    kind: Annotated[str, msgspec.Meta(max_length=16)]
    payload: str  # JSON of the message of this kind


class Told(Message, frozen=True):
    """The comparator's answer to a message: rows of the study that are left, where it is a `StudyPhase`."""

    left: Count


class EdgesHeader(Message, frozen=True, kw_only=True):
    """M5, first part: what a delivery of edges is; the edges follow packed, 33 bytes each, sorted.

    Deliveries are chained: `previous` is the `link` of the one that the registrar had applied last, empty for none.
    """

    study: Name
    version: int
    window: int
    parameters_hash: Hex32
    edges: Count
    sha256: Hex32
    previous: Link = ""

    @property
    def link(self) -> str:
        """SHA-256 over all fields, one per line: what names this delivery and all before it."""
        lines = (
            "trustcenter/edges/1",
            self.study,
            str(self.version),
            str(self.window),
            self.parameters_hash,
            str(self.edges),
            self.sha256,
            self.previous,
        )
        return hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest()

    def answers(self, order: WindowOrder) -> bool:
        """Whether this is of the delivery that was ordered."""
        said = (self.study, self.version, self.window, self.parameters_hash, self.previous)
        return said == (order.study, order.version, order.window, order.parameters_hash, order.previous)


class WindowOrder(Message, frozen=True, kw_only=True):
    """Registrar to comparator: compare what is new among what is live, or all of it, as this window.

    `previous` is the `link` of the delivery that the registrar applied last, empty for none.
    """

    study: Name
    version: int
    window: Positive
    parameters_hash: Hex32
    previous: Link = ""
    full: bool = False


class WindowEstimate(Message, frozen=True, kw_only=True):
    """What a window would compare, from a sample of its rows."""

    study: Name
    rows: Count
    fresh_rows: Count
    comparisons: Count
    reads_everything: bool


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
    code: Annotated[str, msgspec.Meta(pattern=f"^({CODE})?$")] = ""  # why it failed
    header: EdgesHeader | None = None
    sources: tuple[SourceRows, ...] = ()


class Settle(Message, frozen=True, kw_only=True):
    """Registrar to comparator: every map of this source that I hold is accepted; drop what else it has staged.

    Receipts up to `sequence` are refused at the registrar: the next one gets a greater number.
    """

    study: Name
    source: Name
    sequence: Count


class Settled(Message, frozen=True):
    """The last receipt that the source got. The registrar takes no map for it or an earlier one any more."""

    sequence: Count


class PeerState(Message, frozen=True, kw_only=True):
    """What the comparator says of itself."""

    instance: Hex16
    version: str
    separation: Literal["none", "process", "operator"]
    step: Step
