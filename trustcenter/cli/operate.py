"""Commands for the operator: backup and fsck; and what the commands on the instance's machine share."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import output
from .options import PATH, json_option

if TYPE_CHECKING:
    from keys.store import Passphrase
    from trustcenter.config import Config
    from trustcenter.instance.backups.manifest import Manifest
    from trustcenter.instance.checking.checks import Finding

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


@click.command("backup")
@DIRECTORY
@click.option("--room", type=click.Choice(["registrar", "comparator"]), required=True, help="Whose part.")
@click.option("--part", type=click.Choice(["database", "keys"]), required=True, help="Which part.")
@click.option("-o", "--output", "target", type=PATH, metavar="FILE", required=True, help="New file for the backup.")
@click.option("--i-know", "together", is_flag=True, help="Allow a directory that holds another part's backup.")
@json_option
def backup(directory: Path, room: str, part: str, target: Path, together: bool, as_json: bool) -> None:
    """Back up one part of an instance, while it runs.

    Or while it stands still. Needs no passphrase.

    Take the database first, then the keys of the same room: a newer key store serves an older database, but not the
    other way round. Registrar, comparator and each one's keys go to different places, with different access rights.

    Examples:
      trustcenter backup /srv/trustcenter --room registrar --part database -o /backup/a/registrar-2026-11-24.tc
      trustcenter restore --test /backup/a/registrar-2026-11-24.tc
    """
    from trustcenter import config
    from trustcenter.instance.backups import backup as work
    from trustcenter.instance.backups import notes

    os.umask(0o077)
    settings = config.load(directory)
    made = work.take(settings, room, part, target, together=together)
    if not notes.leave(settings, "backup", [made]):
        output.note("this account cannot leave a note for the audit log: the log will not tell of this backup")
    show_manifests([made], as_json=as_json)
    output.hint(f"test it: trustcenter restore --test {target}")


def show_manifests(manifests: Sequence[Manifest], *, as_json: bool) -> None:
    """Print what backups hold."""
    if as_json:
        output.data(list(manifests))
        return
    output.table(
        ([m.room, m.part, m.time, m.epoch, m.log_size, m.log_root[:16] or "-", m.instance] for m in manifests),
        ("room", "part", "time", "epoch", "log", "root", "instance"),
    )


@click.command("fsck")
@DIRECTORY
@PASSPHRASE
@json_option
def fsck(directory: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Check that everything stored fits together.

    Reads only; works beside a running service.

    SQLite's integrity check, counters and reservations, ranges in the log, rows against the log, records and refs,
    key states and material, both log trees, uploads, and both rooms against each other (reported only).
    Exit code 3 when something is wrong; the first finding is named.

    Example:
      trustcenter fsck /srv/trustcenter --json
    """
    from trustcenter import config
    from trustcenter.instance.checking import fsck as work

    settings = config.load(directory)
    findings = work.run(settings, service_passphrase(settings, passphrase_file))
    show_findings(findings, as_json=as_json)
    work.require_clean(findings)
