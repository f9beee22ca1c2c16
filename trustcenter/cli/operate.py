"""Commands for the operator: backup, restore, fsck; and what the commands on the instance's machine share."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustcenter.errors import UsageError_

from . import output
from .options import PATH, json_option

if TYPE_CHECKING:
    from trustcenter.config import Config
    from trustcenter.instance.checks import Finding
    from trustcenter.instance.manifest import Manifest

DIRECTORY = click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
PASSPHRASE = click.option(
    "--passphrase-file", type=PATH, metavar="FILE", help="File with the passphrase of the key stores."
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
    from trustcenter.instance import backup as work

    os.umask(0o077)
    made = work.take(config.load(directory), room, part, target, together=together)
    _show_manifests([made], as_json=as_json)
    output.hint(f"test it: trustcenter restore --test {target}")


@click.command("restore")
@click.argument("paths", type=PATH, nargs=-1, required=True, metavar="FILE... [DIR]")
@click.option("--test", "only_test", is_flag=True, help="Check the files and install nothing; no DIR.")
@PASSPHRASE
@json_option
def restore(paths: tuple[Path, ...], only_test: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Put backups in place, or test them.

    DIR is a new directory or a stopped instance; with --test nothing is installed.

    Everything is verified before anything is exchanged: checksums, SQLite's integrity check, the log's tree, and, if
    there is a passphrase, key store and head. What was in place is kept beside it as *.replaced until you delete it.
    A head in place that is newer than the one in the backup stays: it never goes back.

    Examples:
      trustcenter restore --test registrar-2026-11-24.tc
      trustcenter restore registrar-db.tc registrar-keys.tc comparator-db.tc comparator-keys.tc /srv/trustcenter
    """
    from keys.passphrase import read_passphrase
    from trustcenter import config
    from trustcenter.instance import restore as work

    os.umask(0o077)
    if only_test:
        source = passphrase_source(None, passphrase_file)
        tested = work.test(paths, read_passphrase(source, prompt=False) if source else None)
        _show_manifests(tested, as_json=as_json)
        if source is None and any(manifest.part == "keys" for manifest in tested):
            output.hint("without --passphrase-file the sealed key store was not opened")
        return
    if len(paths) < 2:
        raise UsageError_("name the backups, then the instance's directory", code="usage", hint="or use --test")
    *files, directory = paths
    settings = config.load(directory) if (directory / "config.toml").exists() else None
    source = passphrase_source(settings, passphrase_file)
    done = work.install(files, directory, read_passphrase(source, prompt=False) if source else None)
    _show_manifests(done.manifests, as_json=as_json)
    if done.newer_head_kept:
        output.note("the head in place is newer than the one in the backup and was kept")
    if done.kept:
        output.note(f"kept beside their places until you delete them: {', '.join(done.kept)}")
    if done.reopen:
        output.hint(f"the database is older than the head; two people let it serve: trustcenter reopen {directory} -h")
    else:
        output.hint(f"next: trustcenter fsck {directory}")


def _show_manifests(manifests: Sequence[Manifest], *, as_json: bool) -> None:
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
    from trustcenter.instance import fsck as work

    settings = config.load(directory)
    findings = work.run(settings, service_passphrase(settings, passphrase_file))
    show_findings(findings, as_json=as_json)
    work.require_clean(findings)
