"""Sealing to a recipient, secret even from those who record today and have a quantum computer later.

docs/spec/sealed-message.md: HPKE (RFC 9180) with ML-KEM-768 and X25519, payload in chunks.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from . import _text, kdf, stream
from ._guard import Secret
from ._pair import KeyPair
from .errors import InvalidPublicKeyError, SealError, WrongRecipientError
from .personal import PersonalKey

WORD: Final = "tc-recipient-1"
MAGIC: Final = b"TCSEALD\n"
HEADER_BYTES: Final = 28
WRAPPED_BYTES: Final = 1168
_VERSION_AND_SUITE: Final = b"\0\1\0\1"
_LABEL: Final = "trustcenter/sealed-message/1"
_MLKEM_PUBLIC: Final = 1184
_MLKEM_SEED: Final = 64
_X25519: Final = 32
PUBLIC_BYTES: Final = _MLKEM_PUBLIC + _X25519
SECRET_BYTES: Final = _MLKEM_SEED + _X25519
_SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def seal(public: str, plaintext: bytes, info: bytes) -> bytes:
    """Seal to a recipient.

    Args:
        public: "tc-recipient-1:…".
        plaintext: the payload.
        info: the context, known to both sides and not sent; begins with a label and a zero byte.

    Raises:
        InvalidPublicKeyError: not a recipient's public key.
    """
    return b"".join(seal_stream(public, [plaintext], info))


def seal_stream(public: str, parts: Iterable[bytes], info: bytes) -> Iterator[bytes]:
    """As `seal`, for a payload that does not fit into memory; the same bytes but for what is random.

    Raises:
        InvalidPublicKeyError: at once, not when the first part is taken.
    """
    raw = _text.parse_public(WORD, public, PUBLIC_BYTES)
    try:
        key = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC]),
            X25519PublicKey.from_public_bytes(raw[_MLKEM_PUBLIC:]),
        )
    except ValueError:
        raise InvalidPublicKeyError("the public key is not a possible one", where="public key") from None
    header = MAGIC + _VERSION_AND_SUITE + _recipient(raw)
    file_key = Secret(os.urandom(32))
    try:
        wrapped = _SUITE.encrypt(file_key.reveal(), key, info=_hpke_info(header, info))
    except ValueError:  # an X25519 point of small order
        raise InvalidPublicKeyError("the public key is not a possible one", where="public key") from None
    return _seal_parts(header + wrapped, file_key, parts)


def _seal_parts(head: bytes, file_key: Secret, parts: Iterable[bytes]) -> Iterator[bytes]:
    yield head
    yield from stream.seal_chunks(_payload_key(file_key), parts)


def fingerprint(public: str) -> str:
    """Five groups of four characters, for reading aloud.

    Raises:
        InvalidPublicKeyError: not a recipient's public key.
    """
    return _text.fingerprint(WORD, _text.parse_public(WORD, public, PUBLIC_BYTES))


class RecipientKey(KeyPair):
    """The private key of a data recipient or of a site."""

    __slots__ = ("_key",)
    KIND = "recipient-key"
    WORD = WORD
    SECRET = SECRET_BYTES

    def __init__(self, secret: Secret) -> None:
        """Use `generate` or `load`."""
        super().__init__(secret)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(secret.reveal()[:_MLKEM_SEED])
        x25519 = X25519PrivateKey.from_private_bytes(secret.reveal()[_MLKEM_SEED:])
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self._raw = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def signer(self) -> PersonalKey:
        """The signing key that belongs to this one: docs/spec/secret-relay.md, section 1."""
        return PersonalKey(Secret(kdf.expand(self._secret, "trustcenter/member-card/1/signing", 32)))

    def open(self, blob: bytes, info: bytes) -> bytes:
        """Open a sealed message.

        Args:
            blob: from `seal`.
            info: the same context.

        Raises:
            WrongRecipientError: it is sealed to another key.
            SealError: changed, cut, or sealed for another context.
        """
        return b"".join(self.open_stream(io.BytesIO(blob).read, info))

    def open_stream(self, read: Callable[[int], bytes], info: bytes) -> Iterator[bytes]:
        """As `open`, in parts. Until the iterator ends, the payload may have been cut short.

        Args:
            read: gives up to that many bytes, b"" at the end.
            info: the same context.

        Raises:
            WrongRecipientError, SealError: from the call or from the iterator.
        """
        head = stream.read_full(read, HEADER_BYTES + WRAPPED_BYTES)
        if not head.startswith(MAGIC):
            raise SealError("this is not a sealed message", where="magic")
        if len(head) != HEADER_BYTES + WRAPPED_BYTES:
            raise SealError("the sealed message was cut short", where="header")
        header, wrapped = head[:HEADER_BYTES], head[HEADER_BYTES:]
        if header[len(MAGIC) : len(MAGIC) + 4] != _VERSION_AND_SUITE:
            raise SealError(
                "the sealed message has a version this program does not know",
                hint="it was made by a newer version, or changed",
                where="version",
            )
        if header[len(MAGIC) + 4 :] != _recipient(self._raw):
            raise WrongRecipientError(
                "the message is sealed to another key", hint="name the other key file", where="recipient"
            )
        try:
            file_key = Secret(_SUITE.decrypt(wrapped, self._key, info=_hpke_info(header, info)))
        except (InvalidTag, ValueError):
            raise SealError(
                "the sealed message was changed, or is sealed for another context",
                hint="check that it belongs to this study and release",
                where="file key",
            ) from None
        return stream.open_chunks(_payload_key(file_key), read)


def _recipient(raw: bytes) -> bytes:
    return hashlib.sha256(f"{_LABEL}/recipient\0".encode("ascii") + raw).digest()[:16]


def _hpke_info(header: bytes, info: bytes) -> bytes:
    return f"{_LABEL}\0".encode("ascii") + header + info


def _payload_key(file_key: Secret) -> Secret:
    return Secret(kdf.expand(file_key, f"{_LABEL}/payload", 32))
