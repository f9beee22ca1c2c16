"""The key store: one sealed file, a narrow batch interface; docs/spec/key-store.md.

Material never leaves this module's objects. What it offers is by domain and version, never "encrypt these
bytes", so that the keys can move behind another process or an HSM without a change to the callers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import _content, _envelope, _persist, kdf
from ._content import Entry
from ._guard import Guarded
from ._operations import BlockKey, DataKey, MessageKey, TagKey
from .errors import (
    InvalidBatchError,
    KeyDestroyedError,
    KeyPurposeError,
    KeyStoreConflictError,
    KeyStoreLimitError,
    UnknownKeyError,
)
from .ids import DOMAIN_PURPOSES, KeyId, Purpose, domain_scope
from .kdf import DEFAULT_KDF, KdfProfile

_ATTEMPTS: Final = 10  # of a change to a store that other processes change as well

T = TypeVar("T", BlockKey, TagKey, DataKey, MessageKey)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What may be known of a key.

    Attributes:
        id: its name.
        kcv: key check value, 16 hex digits.
        created: UTC, YYYY-MM-DDTHH:MM:SSZ.
        destroyed: likewise, or None while it lives.
    """

    id: KeyId
    kcv: str
    created: str
    destroyed: str | None


class KeyStore(Guarded):
    """An open key store. Threads may use it at the same time; changes are one at a time.

    Attributes:
        store_id: 32 hex digits, fixed for life.
        generation: 1 at creation, one more with each save.
    """

    def __init__(
        self,
        path: Path,
        header: _envelope.Header,
        keys: kdf.PassphraseKeys,
        entries: dict[KeyId, Entry],
        *,
        shared: bool = False,
    ) -> None:
        """Use `create` or `open`."""
        self._shared = shared
        self._seen = _persist.marks(path) if shared else ()
        self._path = path
        self._header = header
        self._keys = keys
        self._entries: Mapping[KeyId, Entry] = entries  # replaced as a whole, never changed in place
        self._saving = threading.Lock()

    @classmethod
    def create(cls, path: Path, passphrase: bytes, *, kdf: KdfProfile = DEFAULT_KDF) -> KeyStore:
        """Create an empty key store; durable on return.

        Raises:
            KeyStoreExistsError: there is a file of that name.
            PassphraseError: shorter than 12 bytes.
            KeyStoreUnavailableError: the disk refused.
        """
        return cls(*_persist.create(path, passphrase, kdf), {})

    @classmethod
    def open(cls, path: Path, passphrase: bytes, *, shared: bool = False) -> KeyStore:
        """Open a key store. Costs one Argon2id.

        Args:
            path: of the file.
            passphrase: that seals it.
            shared: other processes change the same file meanwhile; what they save is taken over before each use.

        Raises:
            KeyStoreNotFoundError: no such file.
            WrongPassphraseError: another passphrase (or a forged header; the spec says why).
            KeyStoreDamagedError: not a key store, changed or cut.
            KeyStoreUnavailableError: it cannot be read.
        """
        path, file = _persist.read(path)
        header = _envelope.parse_header(file)
        keys = _envelope.unlock(header, passphrase)
        return cls(path, header, keys, _content.decode(_envelope.unseal(file, header, keys)), shared=shared)

    @property
    def store_id(self) -> str:
        """32 hex digits, fixed for life."""
        return self._header.store_id.hex()

    @property
    def generation(self) -> int:
        """1 at creation, one more with each save."""
        return self._header.generation

    def __repr__(self) -> str:
        return f"<KeyStore {self.store_id} generation {self.generation}, {len(self._entries)} keys (redacted)>"

    # -- keys ------------------------------------------------------------------------------------------

    def add(self, ids: Sequence[KeyId]) -> None:
        """Add random keys, all or none, in one save; durable and read back on return.

        Raises:
            KeyExistsError: one exists, or existed and was destroyed.
            InvalidBatchError: one is named twice.
            KeyStoreLimitError: too many keys.
            KeyStoreConflictError, KeyStoreUnavailableError, KeyStoreDamagedError: from saving.
        """
        if len(set(ids)) != len(ids):
            raise InvalidBatchError("a key is named twice", where="ids")
        if not ids:
            return
        with self._saving:
            self._change(lambda entries: _content.with_new(entries, ids))

    def destroy(self, ids: Sequence[KeyId]) -> None:
        """Destroy keys, all or none, in one save. Keys that are destroyed already stay as they are.

        Raises:
            UnknownKeyError: one never existed.
            KeyStoreConflictError, KeyStoreUnavailableError, KeyStoreDamagedError: from saving.
        """
        with self._saving:
            self._change(lambda entries: _content.without(entries, ids))

    def refresh(self) -> None:
        """Take over what another process saved, where the store is shared. A newer generation counts, nothing else.

        Raises:
            KeyStoreConflictError: the file is another store, or its passphrase was changed.
            KeyStoreDamagedError, KeyStoreUnavailableError: it cannot be read.
        """
        if not self._shared or (seen := _persist.marks(self._path)) == self._seen:
            return
        with self._saving:
            self._take_over()
            self._seen = seen

    def entries(self) -> list[KeyEntry]:
        """All keys, destroyed ones too, by scope, purpose, version."""
        self.refresh()
        return [KeyEntry(key_id, e.kcv, e.created, e.destroyed) for key_id, e in sorted(self._entries.items())]

    def has(self, key_id: KeyId) -> bool:
        """Whether the key exists and is not destroyed."""
        self.refresh()
        entry = self._entries.get(key_id)
        return entry is not None and entry.destroyed is None

    def known(self, key_id: KeyId) -> bool:
        """Whether the key exists or existed."""
        self.refresh()
        return key_id in self._entries

    def change_passphrase(self, passphrase: bytes, *, kdf: KdfProfile = DEFAULT_KDF) -> None:
        """Seal under another passphrase. Older copies of the file still open with the old one.

        Raises:
            PassphraseError: shorter than 12 bytes.
            KeyStoreConflictError, KeyStoreUnavailableError, KeyStoreDamagedError: from saving.
        """
        salt, keys = _persist.new_keys(passphrase, kdf)
        with self._saving:
            self._save(dict(self._entries), salt=salt, keys=keys, profile=kdf)

    # -- operations ------------------------------------------------------------------------------------

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

    # -- inside ----------------------------------------------------------------------------------------

    def _message_key(self, scope: str, purpose: Purpose, version: int) -> MessageKey:
        key_id = KeyId(scope, purpose, version)
        if purpose in DOMAIN_PURPOSES:
            raise KeyPurposeError("a key with this purpose signs and authenticates nothing", where="purpose")
        return self._operation(key_id, MessageKey)

    def _take_over(self) -> None:
        _, file = _persist.read(self._path)
        header = _envelope.parse_header(file)
        if (header.store_id, header.salt) != (self._header.store_id, self._header.salt):
            raise KeyStoreConflictError(
                "the key store on disk is another one, or has another passphrase, than this process loaded",
                hint="restart every process of the service",
            )
        if header.generation > self._header.generation:
            entries = _content.decode(_envelope.unseal(file, header, self._keys))
            self._header, self._entries = header, entries

    def _operation(self, key_id: KeyId, kind: type[T]) -> T:
        self.refresh()
        entry = self._entries.get(key_id)
        if entry is None:
            raise UnknownKeyError("the key store has no such key")
        if entry.material is None:
            raise KeyDestroyedError("the key was destroyed")
        operation = entry.operation
        if operation is None:  # two threads may both build it; either is good
            operation = entry.operation = kind(entry.material)
        assert isinstance(operation, kind), "the purpose in the id decides the kind"
        return operation

    def _change(self, change: Callable[[Mapping[KeyId, Entry]], dict[KeyId, Entry]]) -> None:
        """Save what `change` makes of the entries; again on those of another process that was faster."""
        for attempt in range(_ATTEMPTS):
            entries = change(self._entries)
            if entries == self._entries:
                return
            try:
                self._save(entries)
                return
            except KeyStoreConflictError:
                if not self._shared or attempt == _ATTEMPTS - 1:
                    raise
                self._take_over()

    def _save(
        self,
        entries: dict[KeyId, Entry],
        *,
        salt: bytes | None = None,
        keys: kdf.PassphraseKeys | None = None,
        profile: KdfProfile | None = None,
    ) -> None:
        """Section 5 of the spec. The caller holds `_saving`; the new view is taken over at the very end."""
        keys = keys or self._keys
        file = _envelope.seal(
            _content.encode(entries),
            keys,
            profile or self._header.profile,
            salt or self._header.salt,
            self._header.store_id,
            self._header.generation + 1,
        )
        if len(file) > _envelope.MAX_FILE_BYTES:
            raise KeyStoreLimitError("the key store has become too large")
        header = _persist.save(self._path, self._header, file, keys, entries)
        self._header, self._keys, self._entries = header, keys, entries
