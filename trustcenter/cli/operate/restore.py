"""`trustcenter restore`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import json_option
from trustcenter.errors import CommandLineError, UsageError

from .backup import show_manifests
from .options import passphrase_source, service_passphrase

if TYPE_CHECKING:
    from trustcenter.instance.backups.rebuild import Rebuilt
    from trustcenter.instance.backups.restore import Restored


@click.command("restore")
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="SOURCE... [DIR]")
@click.option("--test", "only_test", is_flag=True, help="Check the sources and install nothing; no DIR.")
@click.option(
    "--to", "until", default="latest", show_default=True, metavar="TIME", help="Of continuous backups: the moment."
)
@click.option(
    "--replay",
    "newer",
    type=click.Path(path_type=Path),
    metavar="LOG",
    help="Delete again at the next start what this newer log tells of: an audit export, a database, or a backup of it.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the passphrase of the key stores: with it they are opened and checked as well.",
)
@json_option
def restore(
    paths: tuple[Path, ...],
    only_test: bool,
    until: str,
    newer: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Put backups in place, or test them.

    SOURCE is a backup file, or the directory of a continuous backup. DIR is a new directory or a stopped instance.

    Everything is verified before anything is exchanged: checksums, SQLite's integrity check, the log's tree, and, if
    there is a passphrase, key store and head. What was in place is kept beside it as *.replaced until you delete it.
    A head in place that is newer than the one in the backup stays: it never goes back.

    What was deleted or anonymised after the restored moment is there again. With --replay it is removed again before
    the instance serves; without any SOURCE the database in place is the restored one.

    Examples:
      trustcenter restore --test registrar-2026-11-24.tc
      trustcenter restore registrar-db.tc registrar-keys.tc comparator-db.tc comparator-keys.tc /srv/trustcenter
      trustcenter restore /backup/live/registrar --to 2026-11-24T15:30:00Z /srv/trustcenter
      trustcenter restore --replay registrar-log.ndjson /srv/trustcenter
    """
    from keys.passphrase import read_passphrase
    from trustcenter import config
    from trustcenter.instance.backups import notes, rebuild, replaying
    from trustcenter.instance.backups import restore as work

    os.umask(0o077)
    moment = rebuild.moment(until)
    if only_test:
        source = passphrase_source(None, passphrase_file)
        with rebuild.ordinary(paths, moment, Path(tempfile.gettempdir())) as found:
            tested = work.test(_files(found), read_passphrase(source, prompt=False) if source else None)
            show_manifests(tested, as_json=as_json)
            _tell_rebuilt(found)
        if source is None and any(manifest.part == "keys" for manifest in tested):
            output.hint("without --passphrase-file the sealed key store was not opened")
        output.note("every check passed; nothing was put in place")
        return
    if len(paths) < 2 and (newer is None or not paths):
        raise CommandLineError("name the backups, then the instance's directory", hint="or use --test")
    *sources, directory = paths
    settings = config.load(directory) if (directory / "config.toml").exists() else None
    source = passphrase_source(settings, passphrase_file)
    passphrase = read_passphrase(source, prompt=False) if source else None
    beside = directory.absolute().parent
    if not beside.is_dir():
        raise UsageError("the directory that DIR would lie in does not exist", code="no_directory")
    if sources:
        with rebuild.ordinary(sources, moment, beside) as found:
            done = work.install(_files(found), directory, passphrase)
            show_manifests(done.manifests, as_json=as_json)
            _tell_rebuilt(found)
        settings = config.load(directory)
        if not notes.leave(settings, "restore", done.manifests, done.missing):
            output.note("no note for the audit log could be left: the log will not tell of this restore")
        _tell_done(done, directory, replayed=newer is not None)
    if newer is not None:
        if settings is None:
            settings = config.load(directory)
        replay = replaying.stage(settings, newer, service_passphrase(settings, passphrase_file))
        rows = sum(len(one.serials) for one in replay.removals)
        output.note(f"{replay.size - replay.first:,} entries of the newer log are missing here; they removed {rows:,}")
        output.note("pseudonyms, which are removed again at the next start, before anything is served")
        if replay.withdrawals:
            output.note(f"{replay.withdrawals:,} withdrawals of consent are among them: the sites must send them again")


def _files(found: Sequence[Rebuilt | Path]) -> list[Path]:
    return [one if isinstance(one, Path) else one.path for one in found]


def _tell_rebuilt(found: Sequence[Rebuilt | Path]) -> None:
    for one in found:
        if not isinstance(one, Path):
            output.note(f"{one.manifest.room}: as of {one.manifest.time}, {one.segments:,} segments after the base")


def _tell_done(done: Restored, directory: Path, *, replayed: bool) -> None:
    if done.newer_head_kept:
        output.note("the head in place is newer than the one in the backup and was kept")
    if done.kept:
        output.note(f"kept beside their places until you delete them: {', '.join(done.kept)}")
    if done.missing and not replayed:
        output.hint(f"with a newer log they can be removed again: trustcenter restore --replay LOG {directory}")
        output.note(f"missing in the log: at least {counted(done.missing, 'entry')}; deletions among them are undone")
    if done.reopen:
        output.hint(f"the database is older than the head; two people let it serve: trustcenter reopen {directory} -h")
    else:
        if done.head_restored:
            output.note("the head comes from the backup too, and cannot tell whether the database is the newest:")
            output.note("if anything was issued since, let two people begin a new epoch (docs/how-to/backups.md)")
        output.hint(f"next: trustcenter fsck {directory}")
    if not _has_certificate(directory):
        output.note("the server's certificate and key are in no backup: put them back where config.toml says, or")
        output.note(f"let the instance make new ones: trustcenter renew-certificate {directory} --new-authority")


def _has_certificate(directory: Path) -> bool:
    from trustcenter import config

    server = config.load(directory).server
    return all((directory / one).exists() for one in (server.certificate, server.key) if one is not None)
