"""The key store on disk: create, read, replace; docs/spec/key-store.md, section 5."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from . import _content, _envelope, _files, kdf
from ._content import Entry
from ._guard import Secret
from .errors import (
    InvalidBatchError,
    KeyStoreConflictError,
    KeyStoreDamagedError,
    KeyStoreExistsError,
    KeyStoreNotFoundError,
    KeyStoreUnavailableError,
)
from .ids import KeyId

_EXISTS = "a file with this name exists already"


def create(path: Path, passphrase: bytes, profile: kdf.KdfProfile) -> tuple[Path, _envelope.Header, kdf.PassphraseKeys]:
    """Create the file of an empty store.

    Returns:
        Its resolved path, header and keys.
    """
    path = path.parent.resolve() / path.name
    if os.path.lexists(path):  # before Argon2; the link below decides
        raise KeyStoreExistsError(_EXISTS, where="path")
    salt, keys = new_keys(passphrase, profile)
    file = _envelope.seal(_content.encode({}), keys, profile, salt, os.urandom(16), 1)
    try:
        with _files.locked(path):
            _files.create(path, Secret(file))
            header = _read_back(path, file, keys, {})
    except FileExistsError:
        raise KeyStoreExistsError(_EXISTS, where="path") from None
    except TimeoutError:
        raise _lock_held() from None
    except OSError as error:
        raise _unavailable(error) from None
    return path, header, keys


def new_keys(passphrase: bytes, profile: kdf.KdfProfile) -> tuple[bytes, kdf.PassphraseKeys]:
    kdf.require_good_passphrase(passphrase)
    if not profile.within_bounds():
        raise InvalidBatchError("the key derivation profile is outside the allowed bounds", where="kdf")
    salt = os.urandom(kdf.SALT_BYTES)
    return salt, kdf.derive(passphrase, salt, profile, _envelope.LABEL)


def read(path: Path) -> tuple[Path, bytes]:
    """The file behind `path`; through a symbolic link, so that a save replaces the file and not the link."""
    try:
        resolved = path.resolve(strict=True)
        return resolved, _files.read_limited(resolved, _envelope.MAX_FILE_BYTES)
    except FileNotFoundError:
        raise KeyStoreNotFoundError("there is no key store at this place", where="path") from None
    except _files.TooLargeError:
        raise KeyStoreDamagedError("the file is too large for a key store", where="length") from None
    except (OSError, RuntimeError) as error:
        raise _unavailable(error) from None


def marks(path: Path) -> tuple[int, ...]:
    """What changes whenever the file is replaced."""
    try:
        found = path.stat()
    except OSError as error:
        raise _unavailable(error) from None
    return found.st_ino, found.st_mtime_ns, found.st_size


def save(
    path: Path, loaded: _envelope.Header, file: bytes, keys: kdf.PassphraseKeys, entries: Mapping[KeyId, Entry]
) -> _envelope.Header:
    """Replace the file that this process loaded; section 5 of the spec.

    Args:
        path: resolved.
        loaded: header of the file as this process knows it.
        file: the new file.
        keys: that seal it.
        entries: what it must contain when read back.

    Returns:
        The header now on disk.
    """
    try:
        with _files.locked(path):
            with path.open("rb") as stream:
                on_disk = stream.read(_envelope.HEADER_BYTES)
            if on_disk != loaded.pack():
                raise KeyStoreConflictError(
                    "the key store on disk is not the one this process loaded",
                    hint="another process saved it, or it was restored: restart to load it",
                )
            _files.remove_leftovers(path)
            _files.replace(path, Secret(file))
            return _read_back(path, file, keys, entries)
    except TimeoutError:
        raise _lock_held() from None
    except OSError as error:
        raise _unavailable(error) from None


def _read_back(
    path: Path, written: bytes, keys: kdf.PassphraseKeys, entries: Mapping[KeyId, Entry]
) -> _envelope.Header:
    file = _files.read_limited(path, _envelope.MAX_FILE_BYTES)
    if file != written:
        raise KeyStoreDamagedError("the key store on disk is not what was written", hint="check the disk")
    header = _envelope.parse_header(file)
    found = _content.decode(_envelope.unseal(file, header, keys))
    if {key_id: e.kcv for key_id, e in found.items()} != {key_id: e.kcv for key_id, e in entries.items()}:
        raise KeyStoreDamagedError("the keys on disk are not the ones that were saved")
    return header


def _unavailable(error: Exception) -> KeyStoreUnavailableError:
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "input or output error"
    return KeyStoreUnavailableError(
        f"the key store cannot be read or saved: {reason}", hint="check the disk and the rights on its directory"
    )


def _lock_held() -> KeyStoreUnavailableError:
    return KeyStoreUnavailableError("another process holds the lock of the key store", hint="wait, then try again")
