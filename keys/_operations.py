"""What can be done with a key, by purpose: docs/spec/key-store.md, section 4.

Caches live in the object, one for each open key, and go away with it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from . import kdf
from ._guard import Guarded, Secret
from .computed import prp_blocks
from .errors import InvalidBatchError, SealError, SignatureError

TAG_BYTES: Final = 16
NONCE_BYTES: Final = 12
_SHA256_BLOCK: Final = 64


class BlockKey(Guarded):
    """A pseudonym key."""

    __slots__ = ("_material",)

    def __init__(self, material: Secret) -> None:
        self._material = material

    def encipher(self, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return prp_blocks(self._material.reveal(), x)

    def decipher(self, c: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return prp_blocks(self._material.reveal(), c, inverse=True)


class TagKey(Guarded):
    """A lookup key."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, material: Secret) -> None:
        # HMAC (RFC 2104) with both padded keys absorbed once: half the time of a fresh HMAC for each
        # of many short messages. tests/keys compares it with hmac.digest.
        self._inner = hashlib.sha256(bytes(b ^ 0x36 for b in material.reveal().ljust(_SHA256_BLOCK, b"\0")))
        self._outer = hashlib.sha256(bytes(b ^ 0x5C for b in material.reveal().ljust(_SHA256_BLOCK, b"\0")))

    def tags(self, originals: Sequence[bytes]) -> list[bytes]:
        result = []
        for original in originals:
            inner = self._inner.copy()
            inner.update(original)
            outer = self._outer.copy()
            outer.update(inner.digest())
            result.append(outer.digest()[:TAG_BYTES])
        return result


class DataKey(Guarded):
    """A data key."""

    __slots__ = ("_aead",)

    def __init__(self, material: Secret) -> None:
        self._aead = AESGCM(material.reveal())

    def seal(self, nonces: Sequence[bytes], plaintexts: Sequence[bytes], aads: Sequence[bytes]) -> list[bytes]:
        _require_batch(nonces, plaintexts, aads)
        encrypt = self._aead.encrypt
        return [encrypt(n, p, a) for n, p, a in zip(nonces, plaintexts, aads, strict=True)]

    def unseal(self, nonces: Sequence[bytes], ciphertexts: Sequence[bytes], aads: Sequence[bytes]) -> list[bytes]:
        _require_batch(nonces, ciphertexts, aads)
        decrypt = self._aead.decrypt
        result = []
        for index, (nonce, ciphertext, aad) in enumerate(zip(nonces, ciphertexts, aads, strict=True)):
            try:
                result.append(decrypt(nonce, ciphertext, aad))
            except InvalidTag:
                result.clear()
                raise SealError(
                    "a sealed value was changed, or belongs to something else", where=f"item {index}"
                ) from None
        return result


class MessageKey(Guarded):
    """A key that authenticates messages: mac and signature under sub-keys of their own."""

    __slots__ = ("_mac", "_public", "_signing")

    def __init__(self, material: Secret) -> None:
        self._mac = Secret(kdf.expand(material, "trustcenter/key/1/mac", 32))
        self._signing = Ed25519PrivateKey.from_private_bytes(kdf.expand(material, "trustcenter/key/1/sign", 32))
        self._public = self._signing.public_key()

    def mac(self, message: bytes) -> bytes:
        return hmac.digest(self._mac.reveal(), message, "sha256")

    def verify_mac(self, message: bytes, mac: bytes) -> None:
        if not hmac.compare_digest(self.mac(message), mac):
            raise SignatureError("a message authentication code does not fit", where="mac")

    def sign(self, message: bytes) -> bytes:
        return self._signing.sign(message)

    def public_key(self) -> bytes:
        return self._public.public_bytes_raw()


def _require_batch(nonces: Sequence[bytes], texts: Sequence[bytes], aads: Sequence[bytes]) -> None:
    if not len(nonces) == len(texts) == len(aads):
        raise InvalidBatchError("nonces, texts and associated data are not equally many", where="batch")
    for index, nonce in enumerate(nonces):
        if len(nonce) != NONCE_BYTES:
            raise InvalidBatchError("a nonce has 12 bytes", where=f"item {index}")
