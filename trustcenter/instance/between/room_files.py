"""Files that people carry between the rooms: sealed to one room, signed by the other (docs/spec/room-files.md).

Each room has one key, in a file of its own beside those of its certificates; the other room knows it from the card.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

import msgspec

from keys import cards as member_cards
from keys import hybrid, personal
from keys.errors import KeysError, WrongRecipientError
from keys.hybrid import RecipientKey
from trustcenter.client.files import replacing
from trustcenter.config import Config
from trustcenter.errors import ConflictError, VerificationError
from trustcenter.messages.common import Message
from trustcenter.messages.room_card import RoomCard

from . import cards

T = TypeVar("T", bound=Message)
CONTEXT: Final = "trustcenter/room-file/2"
HEAD: Final = CONTEXT.encode() + b"\n"
_SIGNATURE: Final = 86  # characters
_LENGTH: Final = 8  # bytes, of the length of a part
_PART_MAX: Final = 2**31
_BLOCK: Final = 2**20


@dataclass(frozen=True)
class End:
    """One end of the way: its instance, its key, and the card of the other end."""

    instance: str
    room: str
    key: RecipientKey
    peer: RoomCard

    def sign(self, context: str, statement: bytes) -> str:
        """As this room."""
        return self.key.signer().sign(context, statement)

    def verify(self, context: str, statement: bytes, signature: str) -> None:
        """Test a signature of the other room.

        Raises:
            VerificationError: it does not hold.
        """
        try:
            personal.verify(member_cards.parse_card(self.peer.keys).signing, context, statement, signature)
        except KeysError:
            raise VerificationError("this is not signed by the other room", code="bad_room_signature") from None


def open_end(config: Config, instance: str) -> End:
    """This room's end.

    Raises:
        ConflictError: both rooms are here, or cards with keys were not exchanged.
    """
    peer = cards.peer(config)
    path = config.path(config.files.room_key)
    if peer is None or not peer.keys or not path.is_file():
        raise ConflictError(
            "this room has not exchanged a card with a key for files",
            code="no_room_key",
            hint="trustcenter rooms card and rooms pair, on both sides: docs/how-to/separate-rooms.md",
        )
    return End(instance, config.room, RecipientKey.load(path), peer)


def part(message: Message) -> bytes:
    """A message as a part of a file: the length of its JSON, 8 bytes, and the JSON."""
    text = msgspec.json.encode(message)
    return len(text).to_bytes(_LENGTH, "big") + text


def write(target: Path, end: End, content: Iterable[bytes]) -> str:
    """Seal and sign a file for the other room; in memory is one piece of its content at a time.

    Args:
        target: replaced if it exists.
        end: this room.
        content: parts, then packed edges.

    Returns:
        SHA-256 of the file, 64 hex digits.
    """
    info = _info(end.room, end.instance, end.peer.instance)
    sealed = hybrid.seal_stream(member_cards.parse_card(end.peer.keys).sealing, content, info)
    with replacing(target, force=True) as stream:
        stream.write(HEAD + b" " * _SIGNATURE + b"\n")
        digest = hashlib.sha256()
        for piece in sealed:
            digest.update(piece)
            stream.write(piece)
        stream.seek(len(HEAD))
        stream.write(end.sign(CONTEXT, info + digest.digest()).encode())
    return digest_of(target)


@contextmanager
def reading(path: Path, end: End) -> Iterator[Reader]:
    """What reads a file of the other room's, from its beginning.

    The signature over the whole file is tested before anything is opened.

    Raises:
        VerificationError: damaged, cut, of another room, for another room or of another version of this format.
    """
    info = _info(end.peer.room, end.peer.instance, end.instance)
    with path.open("rb") as stream:
        head, signature = stream.read(len(HEAD)), stream.read(_SIGNATURE + 1)
        if head != HEAD and head[:-2] == HEAD[:-2]:
            raise VerificationError(
                "this file was made by another version of the program",
                code="other_room_file_version",
                hint="let both rooms run the same version, then have the file made anew",
            )
        if head != HEAD or not signature.endswith(b"\n"):
            raise VerificationError("this is not a file of the other room", code="not_a_room_file")
        digest = hashlib.sha256()
        while block := stream.read(_BLOCK):
            digest.update(block)
        try:
            end.verify(CONTEXT, info + digest.digest(), signature[:-1].decode("ascii", "replace"))
        except VerificationError:
            raise _refused(stream, end, info) from None
        stream.seek(len(HEAD) + _SIGNATURE + 1)
        try:
            pieces = end.key.open_stream(stream.read, info)
        except KeysError:
            raise _damaged() from None
        yield Reader(pieces)


def reading_parts(stream: IO[bytes]) -> Reader:
    """What reads parts that this room keeps for itself."""
    return Reader(iter(lambda: stream.read(_BLOCK), b""))


class Reader:
    """Takes pieces of any size together to those that are asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def part(self, kind: type[T]) -> T:
        """The next part.

        Raises:
            VerificationError: it is none, or not of this kind.
        """
        length = int.from_bytes(self(_LENGTH), "big")
        try:
            return msgspec.json.decode(self(min(length, _PART_MAX)), type=kind)
        except msgspec.MsgspecError:
            raise _damaged() from None

    def __call__(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        found = [self._left]
        have = len(self._left)
        try:
            while have < size and (piece := next(self._pieces, b"")):
                found.append(piece)
                have += len(piece)
        except KeysError:
            raise _damaged() from None
        whole = b"".join(found)
        self._left = whole[size:]
        return whole[:size]


def _refused(stream: IO[bytes], end: End, info: bytes) -> VerificationError:
    """Why a signature does not hold: the file is for somebody else, or it was changed."""
    stream.seek(len(HEAD) + _SIGNATURE + 1)
    try:
        end.key.open_stream(stream.read, info)
    except WrongRecipientError:
        return VerificationError(
            "this file is sealed to another room",
            code="foreign_room_file",
            hint="carry it to the room it is for; after new cards it has to be made anew",
        )
    except KeysError:
        pass
    return _damaged()


def _damaged() -> VerificationError:
    return VerificationError(
        "this file was damaged or changed on its way, or is not of the paired room",
        code="damaged_room_file",
        hint="nothing of it was used; carry it again, or have it made again",
    )


def _info(room: str, sender: str, receiver: str) -> bytes:
    return b"\0".join((CONTEXT.encode(), room.encode(), sender.encode(), receiver.encode()))


def digest_of(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
