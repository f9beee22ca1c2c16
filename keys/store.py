"""The key store: one sealed file, a narrow batch interface; docs/spec/key-store.md.

Material never leaves this module's objects. What it offers is by domain and version, never "encrypt these
bytes", so that the keys can move behind another process or an HSM without a change to the callers.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import _content, _envelope, _persist, kdf
from ._content import Entry
from ._operating import Operating
from .errors import (
    InvalidBatchError,
    KeyStoreConflictError,
    KeyStoreLimitError,
    PassphraseError,
    WrongPassphraseError,
)
from .ids import KeyId
from .kdf import DEFAULT_KDF, KdfProfile

_ATTEMPTS: Final = 10  # of a change to a store that other processes change as well

Passphrase = bytes | Callable[[], bytes]  # or where it is to be read, now and after it was changed


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


class KeyStore(Operating):
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
        source: Callable[[], bytes] | None = None,
    ) -> None:
        """Use `create` or `open`."""
        self._shared = shared
        self._source = source
        self._refused: tuple[bytes, bytes] | None = None  # salt of the file, and hash of what did not open it
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
    def open(cls, path: Path, passphrase: Passphrase, *, shared: bool = False) -> KeyStore:
        """Open a key store. Costs one Argon2id.

        Args:
            path: of the file.
            passphrase: that seals it; if it is what reads it, the store goes on by itself after `change_passphrase` in
                another process.
            shared: other processes change the same file meanwhile; what they save is taken over before each use.

        Raises:
            KeyStoreNotFoundError: no such file.
            WrongPassphraseError: another passphrase (or a forged header; the spec says why).
            KeyStoreDamagedError: not a key store, changed or cut.
            KeyStoreUnavailableError: it cannot be read.
        """
        path, file = _persist.read(path)
        header = _envelope.parse_header(file)
        source = passphrase if callable(passphrase) else None
        keys = _envelope.unlock(header, passphrase() if callable(passphrase) else passphrase)
        entries = _content.decode(_envelope.unseal(file, header, keys))
        return cls(path, header, keys, entries, shared=shared, source=source)

    @property
    def store_id(self) -> str:
        """32 hex digits, fixed for life."""
        return self._header.store_id.hex()

    @property
    def generation(self) -> int:
        """1 at creation, one more with each save."""
        return self._header.generation

    @property
    def sealing(self) -> str:
        """16 hex digits that change with the passphrase, and with nothing else; of the file as it is on disk now.

        Raises:
            KeyStoreDamagedError, KeyStoreUnavailableError, KeyStoreNotFoundError: it cannot be read.
        """
        _, file = _persist.read(self._path)
        return hashlib.sha256(b"trustcenter/sealing\0" + _envelope.parse_header(file).salt).hexdigest()[:16]

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

    # -- inside ----------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        _, file = _persist.read(self._path)
        header = _envelope.parse_header(file)
        if header.store_id != self._header.store_id:
            raise _other_store()
        if header.generation > self._header.generation:
            keys = self._keys if header.salt == self._header.salt else self._unlock_again(header)
            entries = _content.decode(_envelope.unseal(file, header, keys))
            self._header, self._keys, self._entries = header, keys, entries
        elif header.salt != self._header.salt:
            raise _other_store()

    def _unlock_again(self, header: _envelope.Header) -> kdf.PassphraseKeys:
        """The keys of a file whose passphrase was changed, if the new one is where it was read from before."""
        if self._source is None:
            raise _other_store()
        try:
            passphrase = self._source()
        except PassphraseError:
            raise _other_store() from None
        tried = (header.salt, hashlib.sha256(passphrase).digest())
        if tried == self._refused:  # another Argon2id for each request would be a way to stop the service
            raise _other_store()
        try:
            return _envelope.unlock(header, passphrase)
        except WrongPassphraseError:
            self._refused = tried
            raise _other_store() from None

    def _entry(self, key_id: KeyId) -> Entry | None:
        self.refresh()
        return self._entries.get(key_id)

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
                before = self._header.generation
                if attempt == _ATTEMPTS - 1 or not (self._shared or self._was_resealed()):
                    raise
                self._take_over()
                if self._header.generation == before:  # an older file: it was restored beside this process
                    raise

    def _was_resealed(self) -> bool:
        """Whether the file is this store under another passphrase, and newer: what `change_passphrase` leaves."""
        _, file = _persist.read(self._path)
        now, mine = _envelope.parse_header(file), self._header
        return now.store_id == mine.store_id and now.salt != mine.salt and now.generation == mine.generation + 1

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


def _other_store() -> KeyStoreConflictError:
    return KeyStoreConflictError(
        "the key store on disk is another one, or has another passphrase, than this process loaded",
        hint="put the new passphrase where the service reads it, or restart every process of the service",
    )
