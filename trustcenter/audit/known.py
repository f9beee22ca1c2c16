"""The heads that a bundle's entries are held against: of handovers, and those that a reader kept, cosigned or not."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from trustcenter.errors import VerificationError

from . import tree
from .chain import KeyChain
from .cosign import Witnessed, agreed, cosigned_by
from .note import Key, fingerprint
from .report import broken, span


@dataclass(frozen=True)
class Witnesses:
    """Whose cosignatures a reader demands.

    Attributes:
        keys: verifier keys of witnesses, from the sites themselves.
        quorum: how many of them must have cosigned heads of this log.
    """

    keys: tuple[Key, ...] = ()
    quorum: int = 0


class KnownHeads:
    """Earlier heads by size. The root of the entries up to there must be theirs."""

    def __init__(self, chain: KeyChain, size: int, old: Sequence[str], demanded: Witnesses) -> None:
        """Verify the heads.

        Args:
            chain: the log's keys.
            size: entries of the log.
            old: signed notes of earlier heads.
            demanded: whose cosignatures must be among them.

        Raises:
            BundleError: a head is not of this log, or too few witnesses have cosigned one.
        """
        self._marks: dict[int, list[tuple[str, bytes]]] = {}
        self.handed: dict[int, str] = {}  # index of the entry that must tell of a handover: the new key's fingerprint
        self.good = 0  # size of the largest head that the entries agree with
        seen: dict[str, Witnessed] = {}
        for number, handover in enumerate(chain.handovers, 1):
            if handover.size >= size:
                broken("a key was handed over after the end of the log", f"handover {number}")
            self.handed[handover.size] = fingerprint(handover.key.vkey)
            self._marks[handover.size] = [(f"the head at handover {number}", handover.root)]
        for number, note in enumerate(old, 1):
            where = f"old checkpoint {number}"
            try:
                point = chain.open(note)
                times = [(key.name, cosigned_by(note, key)) for key in demanded.keys]
            except VerificationError as error:
                broken("an earlier checkpoint is not signed by the key of this log: " + error.message, where)
            if point.size > size:
                broken(
                    "the log is shorter than it was at an earlier checkpoint",
                    where,
                    "a checkpoint from after this export belongs to a later one; if it is older, entries were removed",
                )
            marks = self._marks.setdefault(point.size, [])
            if marks and not hmac.compare_digest(marks[0][1], point.root):
                broken("two signed heads of one size differ: two histories were signed", where)
            marks.append((f"earlier checkpoint number {number}", point.root))
            for name, seconds in times:
                if seconds and point.size and (name not in seen or seen[name].size < point.size):
                    seen[name] = Witnessed(name, point.size, seconds)
        self.seen = tuple(sorted(seen.values(), key=lambda one: (-one.size, one.name)))
        if len(self.seen) < demanded.quorum:
            broken(
                f"{len(self.seen)} of the witnesses have cosigned a head of this log, and {demanded.quorum} must",
                "witnesses",
                "the heads that sites cosigned: trustcenter audit cosigned; is one of them missing, ask that site",
            )
        self.agreed = agreed(self.seen, demanded.quorum)

    def __contains__(self, size: int) -> bool:
        return size in self._marks

    def inside(self, start: int, end: int) -> bool:
        """Whether a head lies between two sizes, the ends not counted."""
        return any(start < at < end for at in self._marks)

    def compare(self, size: int, frontier: Sequence[bytes]) -> None:
        """Hold the entries so far against the heads of this size.

        Raises:
            BundleError: `where` names the entries since the last head that agreed.
        """
        if size not in self._marks:
            return
        root = tree.root_of(frontier)
        for name, expected in self._marks[size]:
            if not hmac.compare_digest(root, expected):
                broken(f"the entries are not those of {name}", span(self.good, size))
            self.good = size
