"""What a verification found: a report, or the first broken part."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NoReturn

from trustcenter.errors import BundleError

from .cosign import Witnessed
from .retention import Deletion


@dataclass(frozen=True)
class Report:
    """What was verified.

    Attributes:
        origin: the log.
        room: registrar or comparator.
        size: number of entries.
        root: Merkle root over them, 64 hex digits.
        vkey: the public key that signed.
        fingerprint: of the key, to be compared with the printed one.
        fingerprint_checked: whether it was compared here. Without it anybody could have signed.
        first_time: time of the first entry, "" if there is none.
        last_time: time of the last entry, "" if there is none.
        checkpoints: how many earlier checkpoints this log extends.
        events: entries per event.
        keys: fingerprints of the keys that signed one after the other, the first included.
        entries: how many entries are in the bundle; fewer than `size` in an extract.
        selection: what an extract was asked for. Its entries are proven; that there are no others is signed only.
        witnesses: of each witness that was asked for and has cosigned, the largest of the earlier checkpoints that it
            cosigned.
        agreed: up to this size the asked-for number of witnesses saw this log; nothing is known of what follows.
        deletions: details that were deleted by a rule, each of which was allowed to be.
        separation: of the rooms, as the head declares it: none, process or operator; "" if it says nothing.
    """

    origin: str
    room: str
    size: int
    root: str
    vkey: str
    fingerprint: str
    fingerprint_checked: bool
    first_time: str
    last_time: str
    checkpoints: int
    events: Counter[str]
    keys: tuple[str, ...] = ()
    entries: int = 0
    selection: dict[str, Any] | None = None
    witnesses: tuple[Witnessed, ...] = ()
    agreed: int = 0
    deletions: tuple[Deletion, ...] = ()
    separation: str = ""


def broken(message: str, where: str, hint: str = "") -> NoReturn:
    """End a verification at its first broken part."""
    raise BundleError(message, where=where, hint=hint) from None


def span(start: int, end: int) -> str:
    """The entries between two heads, in words."""
    return f"entries {start} to {end - 1}" if end - start > 1 else f"entry {start}" if end > start else "checkpoint"
