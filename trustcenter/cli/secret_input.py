"""Secrets that a command reads from files or the terminal. They stay in the functions that need them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from trustcenter.client.files import require_writable
from trustcenter.errors import CommandLineError, ConflictError, UsageError

from . import output

if TYPE_CHECKING:
    from keys.hybrid import RecipientKey
    from keys.personal import PersonalKey
    from linkage.encode import Secrets

K = TypeVar("K")


def linkage_secrets(study_secret: Path, site_key: Path, study: str | None = None) -> Secrets:
    """The two secrets of an encoding.

    Raises:
        KeysError: a file is missing, readable by others or damaged.
        ConflictError: the study secret is another study's.
    """
    from keys.secretfiles import SiteKey, StudySecret
    from linkage.encode import Secrets

    shared = StudySecret.load(study_secret)
    if study is not None and shared.study != study:
        raise ConflictError(
            "the study secret was made for another study",
            code="wrong_study_secret",
            hint="trustcenter linkage secret --show FILE says for which",
        )
    return Secrets(shared.material, SiteKey.load(site_key).material, shared.study, shared.version)


def require_file(path: Path) -> None:
    """Refuse a key file that is not there, where it is needed for its name only.

    Raises:
        UsageError: there is none.
    """
    if not path.is_file():
        raise UsageError(
            "the key file does not exist",
            code="no_key_file",
            hint="what was compared is kept beside it: name the same file as before",
            where="--key",
        )


def new_passphrase(path: Path | None, *, bare: bool) -> bytes | None:
    """The passphrase of a new key: from a file, or twice from the terminal; None where none is wanted.

    Raises:
        KeysError: the file, or the two differ. UsageError: nobody can be asked.
    """
    from keys.passphrase import read_passphrase

    if bare:
        if path is not None:
            raise CommandLineError("--no-passphrase and --passphrase-file exclude each other")
        return None
    if path is None:
        _require_terminal("give --passphrase-file FILE, or --no-passphrase to rely on file permissions alone")
    return read_passphrase(path, prompt=True, confirm=True)


def _open(load: Callable[[Path, bytes | None], K], path: Path, passphrase_file: Path | None) -> K:
    """Load a key; the passphrase is asked for only if there is one."""
    from keys.errors import PassphraseError
    from keys.passphrase import read_passphrase

    if passphrase_file is None:
        try:
            return load(path, None)
        except PassphraseError:
            _require_terminal("give --passphrase-file FILE")
    return load(path, read_passphrase(passphrase_file, prompt=True))


def _require_terminal(hint: str) -> None:
    if not output.interactive():
        raise UsageError("the key needs a passphrase", code="passphrase_needed", hint=hint)


def new_personal_key(target: Path, passphrase_file: Path | None, *, bare: bool) -> PersonalKey:
    """Make and save a personal key."""
    from keys.personal import PersonalKey

    require_writable(target)
    key = PersonalKey.generate()
    key.save(target, new_passphrase(passphrase_file, bare=bare))
    return key


def personal_key(path: Path, passphrase_file: Path | None) -> PersonalKey:
    """Open a personal key."""
    from keys.personal import PersonalKey

    return _open(PersonalKey.load, path, passphrase_file)


def new_recipient_key(target: Path, passphrase_file: Path | None, *, bare: bool) -> RecipientKey:
    """Make and save a recipient's key."""
    from keys.hybrid import RecipientKey

    require_writable(target)
    key = RecipientKey.generate()
    key.save(target, new_passphrase(passphrase_file, bare=bare))
    return key


def recipient_key(path: Path, passphrase_file: Path | None) -> RecipientKey:
    """Open a recipient's key."""
    from keys.hybrid import RecipientKey

    return _open(RecipientKey.load, path, passphrase_file)
