"""What the commands on the instance's machine share: its directory, the passphrase, and how findings are shown."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustcenter.cli.options import PATH

if TYPE_CHECKING:
    from keys.store import Passphrase
    from trustcenter.config import Config
    from trustcenter.instance.checking.finding import Finding

DIRECTORY = click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
PASSPHRASE = click.option(
    "--passphrase-file",
    type=PATH,
    metavar="FILE",
    help="File with the passphrase of the key stores; without it you are asked.",
)
CREDENTIAL = "passphrase"  # name of the systemd credential


def passphrase_source(settings: Config | None, given: Path | None) -> Path | None:
    """Where the passphrase comes from: the option, systemd's credential, the configuration; None: the terminal."""
    if given is not None:
        return given
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (Path(credentials) / CREDENTIAL).exists():
        return Path(credentials) / CREDENTIAL
    return settings.path(settings.files.passphrase) if settings is not None and settings.files.passphrase else None


def service_passphrase(settings: Config, given: Path | None) -> bytes:
    """The passphrase of the key stores.

    Raises:
        PassphraseError: it cannot be read.
    """
    from keys.passphrase import read_passphrase

    return read_passphrase(passphrase_source(settings, given), prompt=True)


def passphrase_reader(settings: Config, given: Path | None) -> Passphrase:
    """As `service_passphrase` where it is typed; else what reads it, so that a change of it needs no restart."""
    from keys.passphrase import read_passphrase

    source = passphrase_source(settings, given)
    if source is None or not source.is_file():  # a pipe is read once
        return service_passphrase(settings, given)
    return partial(read_passphrase, source, prompt=False)


def show_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print what a check found."""
    if as_json:
        click.echo(json.dumps({"version": 1, "checks": [finding.as_dict() for finding in findings]}))
        return
    for finding in findings:
        click.echo(f"{finding.state:<5} {finding.name:<22} {finding.text}")
        if finding.hint:
            click.echo(f"      {'':<22} hint: {finding.hint}")
