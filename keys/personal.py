"""Personal keys of staff, and Ed25519 verification: docs/spec/sealed-message.md, section 3."""

from __future__ import annotations

import re
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from . import _text
from ._guard import Secret
from ._pair import KeyPair
from .errors import InvalidPublicKeyError, KeysUsageError, SignatureError

WORD: Final = "tc-person-1"
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_COSIGNATURE: Final = b"cosignature/v1\n"
_CONTEXT: Final = re.compile(r"[\x21-\x7e]{1,255}")

_PRIME: Final = 2**255 - 19
# y coordinates of the eight points whose order divides the cofactor. For such a "public key" signatures
# exist that hold for any statement, so whoever registers one could let anybody approve in that name.
_SMALL_ORDER_Y: Final = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)


class PersonalKey(KeyPair):
    """The private key with which a member of staff signs approvals."""

    __slots__ = ("_key",)
    KIND = "personal-key"
    WORD = WORD
    SECRET = KEY_BYTES

    def __init__(self, secret: Secret) -> None:
        """Use `generate` or `load`."""
        super().__init__(secret)
        self._key = Ed25519PrivateKey.from_private_bytes(secret.reveal())
        self._raw = self._key.public_key().public_bytes_raw()

    def sign(self, context: str, statement: bytes) -> str:
        """Sign a statement; base64url, 86 characters.

        Args:
            context: kind and version of the statement, "trustcenter/release/1".
            statement: what is signed.

        Raises:
            KeysUsageError: not a possible context.
        """
        return _text.to_base64url(self._key.sign(_message(context, statement)))

    @property
    def public_bytes(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._raw

    def cosign(self, message: bytes) -> bytes:
        """Sign, as it is, the message of a cosignature (C2SP tlog-cosignature); 64 bytes.

        Nothing else that this key signs begins as such a message does.

        Raises:
            KeysUsageError: another message.
        """
        if not message.startswith(_COSIGNATURE):
            raise KeysUsageError("this is not the message of a cosignature", where="message")
        return self._key.sign(message)


def verify(public: str, context: str, statement: bytes, signature: str) -> None:
    """Test the signature of a person.

    Raises:
        SignatureError: it does not hold for that key, context and statement.
        InvalidPublicKeyError: not a personal public key.
        KeysUsageError: not a possible context.
    """
    raw = check_public(public)
    try:
        decoded = _text.from_base64url(signature)
    except ValueError:
        raise SignatureError("the signature is not well formed", where="signature") from None
    verify_ed25519(raw, _message(context, statement), decoded)


def check_public(public: str) -> bytes:
    """The 32 bytes of a personal public key.

    Raises:
        InvalidPublicKeyError: not one, or one that accepts signatures nobody made.
    """
    raw = _text.parse_public(WORD, public, KEY_BYTES)
    _require_strong(raw)
    return raw


def fingerprint(public: str) -> str:
    """Five groups of four characters, for reading aloud.

    Raises:
        InvalidPublicKeyError: not a personal public key.
    """
    return _text.fingerprint(WORD, check_public(public))


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Test an Ed25519 signature over a message as it is, such as `KeyStore.sign` makes.

    Args:
        public_key: 32 bytes.
        message: what was signed.
        signature: 64 bytes.

    Raises:
        SignatureError: it does not hold.
        InvalidPublicKeyError: no possible public key.
    """
    if len(public_key) != KEY_BYTES:
        raise InvalidPublicKeyError("an Ed25519 public key has 32 bytes", where="public key")
    _require_strong(public_key)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        raise SignatureError(
            "the signature does not hold",
            hint="was it made with the personal key that is on file for this person?",
            where="signature",
        ) from None


def _require_strong(raw: bytes) -> None:
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _PRIME or y in _SMALL_ORDER_Y:
        raise InvalidPublicKeyError("the public key accepts signatures nobody made", where="public key")


def _message(context: str, statement: bytes) -> bytes:
    if not _CONTEXT.fullmatch(context):
        raise KeysUsageError("a context is 1 to 255 visible ASCII characters", where="context")
    prefix = b"trustcenter/personal-signature/1\0"
    return prefix + bytes([len(context)]) + context.encode("ascii") + statement
