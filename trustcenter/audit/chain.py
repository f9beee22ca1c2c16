"""The keys of one log, one after the other: each is handed over to by the one before (docs/spec/checkpoint.md, 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from trustcenter.errors import VerificationError

from .note import Checkpoint, Key, open_note, parse_checkpoint, parse_note, parse_vkey, sign_notes

NEXT_KEY: Final = "next-key "
HANDOVERS_MAX: Final = 1_000


@dataclass(frozen=True)
class Handover:
    """The head at which one key ended and the next began.

    Attributes:
        size: entries that the old key answers for; the entry of the handover follows them.
        root: over these entries, 32 bytes.
        key: the next key.
        note: both signatures over it.
    """

    size: int
    root: bytes
    key: Key
    note: str


@dataclass(frozen=True)
class KeyChain:
    """The first key of a log, and every handover since, verified."""

    first: Key
    handovers: tuple[Handover, ...] = ()

    @property
    def last(self) -> Key:
        """The key that signs now."""
        return self.handovers[-1].key if self.handovers else self.first

    def at(self, size: int) -> Key:
        """The only key that may sign a checkpoint of `size`: a key ends with the size of its handover, included."""
        key = self.first
        for handover in self.handovers:
            if size <= handover.size:
                break
            key = handover.key
        return key

    def open(self, note: str) -> Checkpoint:
        """Verify a checkpoint of this log with the key of its size.

        Raises:
            VerificationError: wrong signature, key, format or origin.
        """
        claimed = parse_checkpoint(parse_note(note).text)
        key = self.at(claimed.size)
        if claimed.origin != key.name:
            raise VerificationError("the checkpoint is of another log", where="checkpoint")
        open_note(note, [key])
        return claimed


def sign_handover(
    point: Checkpoint, old: Key, sign_old: Callable[[bytes], bytes], new: Key, sign_new: Callable[[bytes], bytes]
) -> str:
    """The note with which `old` hands over to `new` at the head `point`: signed by both."""
    text = Checkpoint(point.origin, point.size, point.root, (NEXT_KEY + new.vkey,)).text
    return sign_notes(text, [(old, sign_old), (new, sign_new)])


def open_chain(first: Key, notes: Sequence[str]) -> KeyChain:
    """Verify handovers in their order.

    Raises:
        VerificationError: `where` names the first that is wrong, "handover 1".
    """
    if len(notes) > HANDOVERS_MAX:
        raise VerificationError("there are too many handovers of the key", where="header")
    handovers: list[Handover] = []
    seen, key, size = {first.public}, first, -1
    for number, note in enumerate(notes, 1):
        where = f"handover {number}"
        try:
            point = parse_checkpoint(parse_note(note).text)
            if point.origin != first.name or len(point.extensions) != 1:
                raise VerificationError("this is not a handover of a key of this log")
            if not point.extensions[0].startswith(NEXT_KEY):
                raise VerificationError("this is not a handover of a key")
            new = parse_vkey(point.extensions[0][len(NEXT_KEY) :])
            if new.name != first.name or new.public in seen:
                raise VerificationError("a key must be handed over to a new key of the same log")
            if point.size <= size:
                raise VerificationError("handovers are out of order")
            for signer in (key, new):
                open_note(note, [signer])
        except VerificationError as error:
            raise VerificationError(error.message, where=where) from None
        handovers.append(Handover(point.size, point.root, new, note))
        seen.add(new.public)
        key, size = new, point.size
    return KeyChain(first, tuple(handovers))
