"""The batch interface of the key store: what may be done with keys by domain and version; docs/spec/key-store.md."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ._content import Entry
from ._guard import Guarded
from ._operations import BlockKey, DataKey, MessageKey, TagKey
from .errors import KeyDestroyedError, KeyPurposeError, UnknownKeyError
from .ids import DOMAIN_PURPOSES, KeyId, Purpose, domain_scope

T = TypeVar("T", BlockKey, TagKey, DataKey, MessageKey)


class Operating(Guarded, ABC):
    """Operations with the keys that `_entry` finds. Threads may use them at the same time."""

    @abstractmethod
    def _entry(self, key_id: KeyId) -> Entry | None:
        """What is held under a name, None if nothing ever was."""

    def encipher(self, domain: str, version: int, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """C of each X under the pseudonym key; uint8 (n, 16) both.

        Raises:
            UnknownKeyError, KeyDestroyedError, InvalidKeyIdError, InvalidBatchError: see the arguments.
        """
        return self._operation(KeyId(domain_scope(domain), Purpose.PSEUDONYM, version), BlockKey).encipher(x)

    def decipher(self, domain: str, version: int, c: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """X of each C; the inverse of `encipher`, same errors."""
        return self._operation(KeyId(domain_scope(domain), Purpose.PSEUDONYM, version), BlockKey).decipher(c)

    def tags(self, domain: str, version: int, originals: Sequence[bytes]) -> list[bytes]:
        """Lookup tag of each original, 16 bytes.

        Raises:
            UnknownKeyError, KeyDestroyedError, InvalidKeyIdError: see the arguments.
        """
        return self._operation(KeyId(domain_scope(domain), Purpose.LOOKUP, version), TagKey).tags(originals)

    def seal(
        self,
        domain: str,
        version: int,
        nonces: Sequence[bytes],
        plaintexts: Sequence[bytes],
        aads: Sequence[bytes],
    ) -> list[bytes]:
        """AES-256-GCM of each plaintext under the data key, 16 bytes longer.

        A nonce (12 bytes) MUST NOT be given twice under one version: draw it from os.urandom.

        Raises:
            UnknownKeyError, KeyDestroyedError, InvalidKeyIdError, InvalidBatchError: see the arguments.
        """
        key = self._operation(KeyId(domain_scope(domain), Purpose.DATA, version), DataKey)
        return key.seal(nonces, plaintexts, aads)

    def unseal(
        self,
        domain: str,
        version: int,
        nonces: Sequence[bytes],
        ciphertexts: Sequence[bytes],
        aads: Sequence[bytes],
    ) -> list[bytes]:
        """The plaintexts; the inverse of `seal`.

        Raises:
            SealError: one does not open; names its index only, and none is returned.
            UnknownKeyError, KeyDestroyedError, InvalidKeyIdError, InvalidBatchError: see the arguments.
        """
        key = self._operation(KeyId(domain_scope(domain), Purpose.DATA, version), DataKey)
        return key.unseal(nonces, ciphertexts, aads)

    def mac(self, scope: str, purpose: Purpose, version: int, message: bytes) -> bytes:
        """HMAC-SHA-256 of a message, 32 bytes.

        Raises:
            KeyPurposeError: a pseudonym, lookup or data key was named.
            UnknownKeyError, KeyDestroyedError, InvalidKeyIdError: see the arguments.
        """
        return self._message_key(scope, purpose, version).mac(message)

    def verify_mac(self, scope: str, purpose: Purpose, version: int, message: bytes, mac: bytes) -> None:
        """Compare in constant time.

        Raises:
            SignatureError: it does not fit.
            KeyPurposeError, UnknownKeyError, KeyDestroyedError, InvalidKeyIdError: as `mac`.
        """
        self._message_key(scope, purpose, version).verify_mac(message, mac)

    def sign(self, scope: str, purpose: Purpose, version: int, message: bytes) -> bytes:
        """Ed25519 signature, 64 bytes; errors as `mac`."""
        return self._message_key(scope, purpose, version).sign(message)

    def public_key(self, scope: str, purpose: Purpose, version: int) -> bytes:
        """Ed25519 public key, 32 bytes; errors as `mac`. Outlives the key in whoever kept it."""
        return self._message_key(scope, purpose, version).public_key()

    def _message_key(self, scope: str, purpose: Purpose, version: int) -> MessageKey:
        key_id = KeyId(scope, purpose, version)
        if purpose in DOMAIN_PURPOSES:
            raise KeyPurposeError("a key with this purpose signs and authenticates nothing", where="purpose")
        return self._operation(key_id, MessageKey)

    def _operation(self, key_id: KeyId, kind: type[T]) -> T:
        entry = self._entry(key_id)
        if entry is None:
            raise UnknownKeyError("the key store has no such key")
        if entry.material is None:
            raise KeyDestroyedError("the key was destroyed")
        operation = entry.operation
        if operation is None:  # two threads may both build it; either is good
            operation = entry.operation = kind(entry.material)
        assert isinstance(operation, kind), "the purpose in the id decides the kind"
        return operation
