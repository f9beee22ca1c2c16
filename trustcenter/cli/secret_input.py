"""Secrets that a command reads from files or the terminal. They stay in the functions that need them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustcenter.errors import ConflictError, UsageError_

from . import output

if TYPE_CHECKING:
    from keys.hybrid import RecipientKey
    from keys.personal import PersonalKey
    from linkage.encode import Secrets


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


def new_passphrase(path: Path | None) -> bytes:
    """The passphrase of a new key: from a file, or twice from the terminal.

    Raises:
        KeysError: the file. UsageError_: nobody can be asked, or the two differ.
    """
    from keys import read_passphrase

    if path is not None:
        return read_passphrase(path, prompt=False)
    _require_terminal()
    first = click.prompt("Passphrase for the new key", hide_input=True, err=True)
    if click.prompt("Again", hide_input=True, err=True) != first:
        raise UsageError_("the two passphrases differ; nothing was written", code="passphrases_differ")
    return str(first).encode()


def passphrase(path: Path | None) -> bytes:
    """The passphrase of an existing key: from a file, or the terminal.

    Raises:
        KeysError: the file. UsageError_: nobody can be asked.
    """
    from keys import read_passphrase

    if path is None:
        _require_terminal()
    return read_passphrase(path, prompt=True)


def _require_terminal() -> None:
    if not output.interactive():
        raise UsageError_("the key needs a passphrase", code="passphrase_needed", hint="give --passphrase-file FILE")


def new_personal_key(target: Path, passphrase_file: Path | None) -> str:
    """Make and save a personal key; its public half."""
    from keys.personal import PersonalKey

    key = PersonalKey.generate()
    key.save(target, new_passphrase(passphrase_file))
    return key.public


def personal_key(path: Path, passphrase_file: Path | None) -> PersonalKey:
    """Open a personal key."""
    from keys.personal import PersonalKey

    return PersonalKey.load(path, passphrase(passphrase_file))


def new_recipient_key(target: Path, passphrase_file: Path | None) -> str:
    """Make and save a recipient's key; its public half."""
    from keys.hybrid import RecipientKey

    key = RecipientKey.generate()
    key.save(target, new_passphrase(passphrase_file))
    return key.public


def recipient_key(path: Path, passphrase_file: Path | None) -> RecipientKey:
    """Open a recipient's key."""
    from keys.hybrid import RecipientKey

    return RecipientKey.load(path, passphrase(passphrase_file))
