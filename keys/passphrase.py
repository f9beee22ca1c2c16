"""Reading passphrases and other private files that the user names."""

from __future__ import annotations

import getpass
import os
import stat
import warnings
from pathlib import Path
from typing import Final

from .errors import PassphraseError
from .kdf import MAX_PASSPHRASE_BYTES

_MAX_FILE_BYTES: Final = 16 * 1024
_NAME_A_FILE: Final = "name a file that holds it: --passphrase-file FILE"


class ExposedError(Exception):
    """A private file that others can read or change."""


def read_private(path: Path, limit: int) -> bytes:
    """A file that only its owner (us or root) can read, or a systemd credential, or a pipe.

    Raises:
        ExposedError: group or others have rights, or it is somebody else's.
        ValueError: not a file or pipe, or more than `limit` bytes.
        OSError: as usual.
    """
    with path.open("rb") as stream:
        # The open file is tested, not its name, so that it cannot be exchanged in between.
        status = os.fstat(stream.fileno())
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
            raise ValueError("not a file")
        # Windows has access lists instead: mode and owner say nothing there.
        exposed = hasattr(os, "geteuid") and (
            status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid not in (0, os.geteuid())
        )
        if exposed and not _is_credential(path):
            raise ExposedError
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError("too large")
    return data


def _is_credential(path: Path) -> bool:
    """Whether systemd passed the file; it sets mode and owner of that directory itself."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and path.resolve().is_relative_to(Path(str(directory)).resolve())


def read_passphrase(path: Path | None, *, prompt: bool, confirm: bool = False) -> bytes:
    """A passphrase from a file, or from the terminal.

    Args:
        path: a file; one trailing line break is dropped, everything else counts.
        prompt: whether to ask on the terminal when there is no path.
        confirm: ask twice, for a new passphrase.

    Raises:
        PassphraseError: no source, unreadable, open to others, empty, too long, or typed differently.
    """
    if path is None:
        if not prompt:
            raise PassphraseError("no passphrase was given", hint=_NAME_A_FILE, where="passphrase")
        return _ask(confirm)
    try:
        data = read_private(path, _MAX_FILE_BYTES)
    except ExposedError:
        raise PassphraseError(
            "the passphrase file is another account's, or others can read it",
            hint="chmod 600; it must belong to the account that runs this, or to root",
            where="passphrase",
        ) from None
    except FileNotFoundError:
        hint = "check the path: --passphrase-file, the credential of the service, or files.passphrase in config.toml"
        raise PassphraseError("the passphrase file does not exist", hint=hint, where="passphrase") from None
    except (OSError, ValueError):
        hint = "it must be a file or pipe of at most 16 KiB that this account may read"
        raise PassphraseError("the passphrase file cannot be read", hint=hint, where="passphrase") from None
    end = 2 if data.endswith(b"\r\n") else 1 if data.endswith(b"\n") else 0
    return _usable(data[: len(data) - end])


def _ask(confirm: bool) -> bytes:
    try:
        with warnings.catch_warnings():
            # Without a terminal getpass warns and reads what stands on stdin, which is not meant for it.
            warnings.simplefilter("error", getpass.GetPassWarning)
            first = getpass.getpass("Passphrase: ")
            if confirm and getpass.getpass("Again: ") != first:
                raise PassphraseError("the two passphrases differ", where="passphrase")
    except (EOFError, getpass.GetPassWarning):
        raise PassphraseError("there is no terminal to ask on", hint=_NAME_A_FILE, where="passphrase") from None
    return _usable(first.encode("utf-8", "surrogateescape"))


def _usable(data: bytes) -> bytes:
    if not data:
        raise PassphraseError("the passphrase is empty", where="passphrase")
    if len(data) > MAX_PASSPHRASE_BYTES:
        raise PassphraseError(f"a passphrase has at most {MAX_PASSPHRASE_BYTES} bytes", where="passphrase")
    return data
