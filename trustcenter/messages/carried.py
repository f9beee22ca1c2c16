"""What the rooms tell each other in files that people carry: docs/spec/room-files.md.

The messages are those of the connection (`messages.rooms`), as many at a time as wait.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from .common import Count, Hex16, Hex32, Message, Name, Positive
from .reconcile import ReconciledStudy, ReconcileStudy, Rejoin
from .rooms import CODE, Link, Step, WindowEstimate, WindowOrder, WindowState

Code = Annotated[str, msgspec.Meta(pattern=f"^({CODE})?$")]


class CarriedMessage(Message, frozen=True, kw_only=True):
    """A message of the registrar: what an envelope holds beside its place."""

    kind: Annotated[str, msgspec.Meta(max_length=16)]
    payload: str


class AppliedWindow(Message, frozen=True, kw_only=True):
    """The delivery that the registrar applied last: its edges may go."""

    study: Name
    link: Link


class Reconciliation(Message, frozen=True, kw_only=True):
    """M7 in one file: for a comparator that is at this step, or has done it already. The refs follow in pages."""

    at: Step
    studies: list[ReconcileStudy]
    rejoin: Rejoin


class RoomOrders(Message, frozen=True, kw_only=True):
    """Registrar to comparator: first part of a file. Pages of refs follow, if it reconciles, then so many messages.

    `before` is the step that the first message follows, after reconciling if asked.
    """

    before: Step
    reconcile: Reconciliation | None = None
    messages: Count
    windows: list[WindowOrder]
    questions: list[WindowOrder]
    applied: list[AppliedWindow]


class StudyLeft(Message, frozen=True, kw_only=True):
    """Rows that a study has left after it was to be purged."""

    study: Name
    rows: Count


class RoomAnswers(Message, frozen=True, kw_only=True):
    """Comparator to registrar: first part of a file. So many pages of refs follow, in the order of what they answer,
    then the edges of delivered windows, packed, in the order of the windows.

    `file` is the SHA-256 of the file that is answered; `at` the comparator's step after it; `code` says why nothing of
    it was carried out, "" if it was.
    """

    file: Hex32
    at: Step
    code: Code = ""
    left: list[StudyLeft] = msgspec.field(default_factory=list)
    windows: list[WindowState] = msgspec.field(default_factory=list)
    studies: list[ReconciledStudy] = msgspec.field(default_factory=list)
    pages: Count = 0
    estimates: list[WindowEstimate] = msgspec.field(default_factory=list)


class RoomFile(Message, frozen=True, kw_only=True):
    """A file that lies ready to be fetched and carried; `file` is its SHA-256."""

    file: Hex32
    size: Count  # bytes
    messages: Count
    windows: Count
    reconciles: bool = False


class RoomFileTaken(Message, frozen=True, kw_only=True):
    """What became of a file that was carried here.

    At the comparator `answer` appears once every window has ended; until then `done` of `total` pieces are compared.
    `code` is not "" where nothing was carried out, and the answer says so to the registrar.
    """

    messages: Count  # carried out, or acknowledged, by this file
    windows: Count
    code: Code = ""
    done: Count = 0
    total: Count = 0
    answer: RoomFile | None = None


class SettleOrder(Message, frozen=True, kw_only=True):
    """Registrar to comparator, carried by the site itself: `Settle` where nothing is answered at once.

    The maps of `accepted` uploads are taken; everything else of the source that is staged is given up. From now on the
    registrar takes no map of it until the answer to this turn is brought.
    """

    study: Name
    source: Name
    turn: Positive
    sequence: Count
    accepted: list[Hex16]
    signature: str

    def signed_bytes(self) -> bytes:
        """The statement under the signature of the registrar's room key: one field per line."""
        lines = (self.study, self.source, str(self.turn), str(self.sequence), " ".join(self.accepted))
        return ("\n".join(lines) + "\n").encode()


class SettleAnswer(Message, frozen=True, kw_only=True):
    """Comparator to registrar, carried by the site: the last receipt of the source; earlier ones are over."""

    study: Name
    source: Name
    turn: Positive
    sequence: Count
    signature: str

    def signed_bytes(self) -> bytes:
        """The statement under the signature of the comparator's room key: one field per line."""
        lines = (self.study, self.source, str(self.turn), str(self.sequence))
        return ("\n".join(lines) + "\n").encode()


class Settlement(Message, frozen=True, kw_only=True):
    """The registrar's answer to a site that settles; with `order` the site takes it to the comparator itself."""

    order: SettleOrder | None = None
