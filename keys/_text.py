"""Text pieces shared by public keys and secret files: strict base64url, check characters, fingerprints.

docs/spec/sealed-message.md, section 1.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from .computed import ALPHABET
from .errors import InvalidPublicKeyError

CHECK_CHARACTERS: Final = 8
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")


def to_base64url(data: bytes) -> str:
    """RFC 4648 section 5 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """The inverse, of exactly what `to_base64url` writes.

    Raises:
        ValueError: anything else; the message holds nothing of the text.
    """
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64url(data) != text:  # unused bits that are not zero
        raise ValueError("not canonical base64url")
    return data


def symbols(data: bytes, count: int) -> str:
    """The first 5 * count bits as characters that survive copying and reading aloud."""
    number = int.from_bytes(data, "big") >> (8 * len(data) - 5 * count)
    return "".join(ALPHABET[(number >> (5 * (count - 1 - i))) & 31] for i in range(count))


def check_characters(label: str, text: bytes) -> str:
    """Eight characters that find copying errors."""
    return symbols(hashlib.sha256(label.encode("ascii") + b"\0" + text).digest(), CHECK_CHARACTERS)


def grouped(data: bytes) -> str:
    """100 bits as five groups of four characters."""
    text = symbols(data, 20)
    return "-".join(text[i : i + 4] for i in range(0, 20, 4))


def format_public(word: str, raw: bytes) -> str:
    """A public key as "word:base64url:check"."""
    body = f"{word}:{to_base64url(raw)}"
    return f"{body}:{check_characters('trustcenter/text-check/1', body.encode('ascii'))}"


def parse_public(word: str, text: str, length: int) -> bytes:
    """The key bytes of a public key text.

    Raises:
        InvalidPublicKeyError: another kind or version, damaged, or not copied exactly.
    """
    raw = parse_text(word, text)
    if len(raw) != length:
        raise InvalidPublicKeyError("the public key has a wrong length", where="public key")
    return raw


def parse_text(word: str, text: str) -> bytes:
    """The bytes behind "word:base64url:check", b"" for what is not base64url.

    Raises:
        InvalidPublicKeyError: another kind or version, damaged, or not copied exactly.
    """
    parts = text.split(":")
    if parts[0] != word:
        raise InvalidPublicKeyError(
            f"this is not a public key of the kind {word}",
            hint="copy the whole line, from its first word to its last character",
            where="public key",
        )
    if (
        len(parts) != 3
        or check_characters("trustcenter/text-check/1", f"{word}:{parts[1]}".encode("utf-8", "replace")) != parts[2]
    ):
        raise InvalidPublicKeyError(
            "the check characters of the public key do not fit",
            hint="it was not copied completely, or a line break came in",
            where="public key",
        )
    try:
        return from_base64url(parts[1])
    except ValueError:
        return b""


def fingerprint(word: str, raw: bytes) -> str:
    """100 bits of a public key for comparison by people."""
    return grouped(hashlib.sha256(b"trustcenter/fingerprint/1\0" + word.encode("ascii") + b"\0" + raw).digest())
