"""C2SP signed notes with Ed25519, and the checkpoints of transparency logs (docs/spec/checkpoint.md)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from trustcenter.config import SEPARATIONS
from trustcenter.errors import VerificationError

from .tree import EMPTY_ROOT, HASH_BYTES

NOTE_BYTES_MAX: Final = 1 << 20
SIGNATURES_MAX: Final = 100
SIZE_MAX: Final = 1 << 53
ED25519: Final = b"\x01"
COSIGNATURE: Final = b"\x04"
_KINDS: Final = {ED25519: "an Ed25519 key", COSIGNATURE: "a witness's Ed25519 key"}
_DASH: Final = "\u2014"
SEPARATION: Final = "separation "  # an extension line: how the two rooms are kept apart, as the signer declares it
_SEPARATION_LINES: Final = tuple(SEPARATION + word for word in SEPARATIONS)


@dataclass(frozen=True)
class Key:
    """A verifier key: name, Ed25519 public key (32 bytes), and what it signs: notes (0x01), or cosignatures (0x04)."""

    name: str
    public: bytes
    kind: bytes = ED25519

    @property
    def id(self) -> bytes:
        """The 4-byte key id: SHA-256(name || LF || kind || public key), cut."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.kind + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The text form: name, id in hex, base64 of kind and key, joined by "+"."""
        return f"{self.name}+{self.id.hex()}+{_b64(self.kind + self.public)}"


def parse_vkey(text: str, kind: bytes = ED25519) -> Key:
    """Read a verifier key of one kind.

    Raises:
        VerificationError: not of that form, another type, or an id that does not fit the key.
    """
    parts = text.split("+", 2)
    if len(parts) != 3 or not valid_name(parts[0]):
        raise VerificationError("a verifier key has the form name+id+key")
    material = _unb64(parts[2])
    if len(material) != 33 or material[:1] != kind:
        raise VerificationError(f"the verifier key is not {_KINDS[kind]}")
    key = Key(parts[0], material[1:], kind)
    if key.id.hex() != parts[1]:
        raise VerificationError("the id in the verifier key does not belong to the key")
    return key


def fingerprint(vkey: str) -> str:
    """What people compare on paper or by telephone: 128 bits of SHA-256 of the vkey, in 8 groups of 4 hex digits."""
    digits = hashlib.sha256(vkey.encode()).hexdigest()[:32]
    return "-".join(digits[at : at + 4] for at in range(0, 32, 4))


def check_fingerprint(vkey: str, expected: str) -> None:
    """Compare with a fingerprint as typed: case, spaces, hyphens and colons do not matter, every digit does.

    Raises:
        VerificationError: another key, or not a whole fingerprint.
    """
    typed = "".join(expected.lower().split()).replace("-", "").replace(":", "")
    if typed != fingerprint(vkey).replace("-", ""):
        raise VerificationError(
            "the public key is not the one of the given fingerprint",
            hint="compare all 32 digits with the printed sheet; where the key was rotated, the first one counts",
            where="public key",
        )


@dataclass(frozen=True)
class Note:
    """A parsed note: its text and (key name, key id, signature) in order. Not verified by parsing."""

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]


def sign_note(text: str, key: Key, sign: Callable[[bytes], bytes]) -> str:
    """The note over `text` with one signature. `sign` makes the 64-byte Ed25519 signature.

    Raises:
        VerificationError: the text or the key name cannot stand in a note.
    """
    return sign_notes(text, [(key, sign)])


def sign_notes(text: str, signers: Sequence[tuple[Key, Callable[[bytes], bytes]]]) -> str:
    """The note over `text` with a signature of each signer, in order.

    Raises:
        VerificationError: the text or a key name cannot stand in a note.
    """
    names = all(valid_name(key.name) for key, _ in signers)
    if not text.endswith("\n") or len(text) < 2 or _has_control(text) or not names:
        raise VerificationError("this text or key name cannot stand in a signed note")
    raw = text.encode()
    return text + "\n" + "".join(signature_line(key, sign(raw)) for key, sign in signers)


def signature_line(key: Key, signature: bytes) -> str:
    """The line of a note that holds a signature."""
    return f"{_DASH} {key.name} {_b64(key.id + signature)}\n"


def parse_note(note: str) -> Note:
    """Split a note strictly.

    Raises:
        VerificationError: not a note.
    """
    if len(note) > NOTE_BYTES_MAX or _has_control(note) or not note.endswith("\n"):
        raise VerificationError("this is not a signed note")
    at = note.rfind("\n\n")
    if at < 1:
        raise VerificationError("the note has no signature")
    lines = note[at + 2 : -1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise VerificationError("the note has too many signatures")
    return Note(note[: at + 1], tuple(_signature(line) for line in lines))


def open_note(note: str, keys: Sequence[Key]) -> str:
    """Verify a note and return its text. Signatures of unknown keys are ignored.

    Raises:
        VerificationError: not a note; a signature of a known key is wrong; no known key has signed.
    """
    parsed = parse_note(note)
    known = {(key.name, key.id): key for key in keys}
    verified = False
    for name, key_id, signature in parsed.signatures:
        key = known.get((name, key_id))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, parsed.text.encode())
        except (InvalidSignature, ValueError):
            raise VerificationError("the signature of the note is wrong", where="signature") from None
        verified = True
    if not verified:
        raise VerificationError("the note is not signed by the expected key", where="signature")
    return parsed.text


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says: origin, number of leaves, root (32 bytes), extension lines."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text."""
        return "\n".join((self.origin, str(self.size), _b64(self.root), *self.extensions)) + "\n"

    @property
    def separation(self) -> str:
        """In which separation of the rooms it was signed: none, process or operator; "" if it does not say."""
        return next((line[len(SEPARATION) :] for line in self.extensions if line.startswith(SEPARATION)), "")


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint strictly: only what `Checkpoint.text` writes is accepted.

    Raises:
        VerificationError: not a checkpoint.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() != "" or not all(lines):
        raise VerificationError("this is not a checkpoint", where="checkpoint")
    origin, size, root, *extensions = lines
    if not size.isascii() or not size.isdigit() or len(size) > 16 or str(int(size)) != size or int(size) > SIZE_MAX:
        raise VerificationError("the size in the checkpoint is not a number in decimal", where="checkpoint")
    found = Checkpoint(origin, int(size), _unb64(root), tuple(extensions))
    if len(found.root) != HASH_BYTES or (found.size == 0) != (found.root == EMPTY_ROOT):
        raise VerificationError("the root in the checkpoint is not possible for its size", where="checkpoint")
    told = [line for line in extensions if line.startswith(SEPARATION.rstrip())]
    if len(told) > 1 or any(line not in _SEPARATION_LINES for line in told):
        raise VerificationError(
            "what the checkpoint says of the separation is not one word of three", where="checkpoint"
        )
    return found


def open_checkpoint(note: str, key: Key) -> Checkpoint:
    """Verify a signed checkpoint of the log whose origin is the key's name.

    Raises:
        VerificationError: wrong signature, format or origin.
    """
    found = parse_checkpoint(open_note(note, [key]))
    if found.origin != key.name:
        raise VerificationError("the checkpoint is of another log", where="checkpoint")
    return found


def valid_name(name: str) -> bool:
    """Whether a key name may stand in a note: not empty, no space of any kind, no "+", no control character."""
    return bool(name) and not any(
        char == "+" or char.isspace() or ord(char) < 0x20 or 0xD800 <= ord(char) < 0xE000 for char in name
    )


def _signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != _DASH or not valid_name(parts[1]):
        raise VerificationError("a signature line of the note is malformed", where="signature")
    raw = _unb64(parts[2])
    if len(raw) < 5:
        raise VerificationError("a signature line of the note is too short", where="signature")
    return parts[1], raw[:4], raw[4:]


def _has_control(text: str) -> bool:
    return any((char < " " and char != "\n") or "\ud800" <= char < "\ue000" for char in text)


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unb64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise VerificationError("this is not standard base64") from None
    if _b64(raw) != text:  # unused bits or padding: one value must have one spelling
        raise VerificationError("this is not standard base64")
    return raw
