"""`trustcenter backup` and `trustcenter fsck`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, json_option

from .options import DIRECTORY, PASSPHRASE, service_passphrase, show_findings

if TYPE_CHECKING:
    from trustcenter.instance.backups.manifest import Manifest


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
