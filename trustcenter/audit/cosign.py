"""Cosignatures: a site says that it saw a head of the log, and that the head extends those it saw before.

The form is that of C2SP tlog-cosignature for Ed25519 (docs/spec/cosignature.md). Two sites to whom the centre shows two
histories cannot both have cosigned heads that one log extends: who demands cosignatures of several sites finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from trustcenter.errors import VerificationError

from .note import COSIGNATURE, Key, parse_note, parse_vkey, signature_line

SECONDS_MAX: Final = 2**53
_TIME_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True)
class Witnessed:
    """What one witness has seen.

    Attributes:
        name: of the witness's key.
        size: of the largest head that it cosigned.
        seconds: when it says that it did, since 1970.
    """

    name: str
    size: int
    seconds: int


def witness_name(origin: str, site: str) -> str:
    """The name under which a site cosigns the logs of an instance: trustcenter/<instance>/site/<site>."""
    return "/".join((*origin.split("/")[:2], "site", site))


def parse_witness(text: str) -> Key:
    """Read the verifier key of a witness.

    Raises:
        VerificationError: it is none, or a key that signs heads instead of cosigning them.
    """
    return parse_vkey(text.strip(), COSIGNATURE)


def cosign(note: str, key: Key, sign: Callable[[bytes], bytes], seconds: int) -> str:
    """The note with one more line: that `key` saw this head.

    Args:
        note: a checkpoint that was verified, and that extends all that this witness cosigned before.
        key: the witness's, of kind `COSIGNATURE`.
        sign: makes the 64-byte Ed25519 signature of a message.
        seconds: now, since 1970.

    Raises:
        VerificationError: not a note.
    """
    signature = sign(message(parse_note(note).text, seconds))
    return note + signature_line(key, seconds.to_bytes(_TIME_BYTES, "big") + signature)


def message(text: str, seconds: int) -> bytes:
    """What a witness signs for the text of a checkpoint."""
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def cosigned_by(note: str, key: Key) -> int | None:
    """When a witness says that it saw this head; None if it has not cosigned it.

    Raises:
        VerificationError: a line in its name is not its signature.
    """
    parsed = parse_note(note)
    found = None
    for name, ident, raw in parsed.signatures:
        if (name, ident) != (key.name, key.id):
            continue
        seconds = int.from_bytes(raw[:_TIME_BYTES], "big")
        try:
            if len(raw) != _TIME_BYTES + _SIGNATURE_BYTES or not 0 < seconds <= SECONDS_MAX:
                raise InvalidSignature
            Ed25519PublicKey.from_public_bytes(key.public).verify(raw[_TIME_BYTES:], message(parsed.text, seconds))
        except (InvalidSignature, ValueError):
            raise VerificationError("the cosignature of a witness is wrong", where="witness") from None
        found = max(seconds, found or 0)
    return found


def merged(notes: Sequence[str]) -> str:
    """One note of several over the same text: each signature line once, in order.

    Raises:
        VerificationError: their texts differ, or one is no note.
    """
    text = parse_note(notes[0]).text
    lines: dict[str, None] = {}
    for note in notes:
        if parse_note(note).text != text:
            raise VerificationError("these notes are not over one text")
        lines.update(dict.fromkeys(note[len(text) + 1 :].splitlines(keepends=True)))
    return text + "\n" + "".join(lines)


def only(note: str, keys: Sequence[Key]) -> str:
    """The note with the signatures of these keys alone.

    Raises:
        VerificationError: not a note.
    """
    parsed = parse_note(note)
    names = {(key.name, key.id) for key in keys}
    lines = note[len(parsed.text) + 1 :].splitlines(keepends=True)
    kept = [line for line, (name, ident, _) in zip(lines, parsed.signatures, strict=True) if (name, ident) in names]
    return parsed.text + "\n" + "".join(kept)


def agreed(seen: Sequence[Witnessed], quorum: int) -> int:
    """The size up to which `quorum` witnesses saw one log; 0 if fewer than that have cosigned."""
    sizes = sorted((one.size for one in seen), reverse=True)
    return sizes[quorum - 1] if 0 < quorum <= len(sizes) else 0
