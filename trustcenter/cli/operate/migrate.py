"""`trustcenter migrate`: from files to PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import confirm, json_option
from trustcenter.cli.progress import progress

from .options import DIRECTORY, PASSPHRASE, service_passphrase


@click.command("migrate")
@DIRECTORY
@click.option("--postgres-registrar", required=True, metavar="CONNINFO", help="Empty database for the registrar.")
@click.option("--postgres-comparator", required=True, metavar="CONNINFO", help="Empty database for the comparator.")
@PASSPHRASE
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def migrate(
    directory: Path,
    postgres_registrar: str,
    postgres_comparator: str,
    passphrase_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Move an instance from its files to PostgreSQL.

    The instance in DIR must be stopped, and the two databases empty.

    Every row is copied verbatim and compared, every pseudonym is computed from both sides. Then the files are fenced:
    they never open again. Interrupted, the same command takes up where it ended. A connection string holds no
    password: name a file with passfile=.

    Example:
      trustcenter migrate /srv/trustcenter
        --postgres-registrar "host=/run/postgresql dbname=registrar user=tc-registrar"
        --postgres-comparator "host=/run/postgresql dbname=comparator user=tc-comparator"
    """
    from trustcenter import config
    from trustcenter.instance.backups import migrate as moving

    settings = config.load(directory)
    confirm("The files of this instance will never open again.", "move", yes=yes)
    names = config.Postgres(postgres_registrar, postgres_comparator)
    config.check_postgres(names)
    passphrase = service_passphrase(settings, passphrase_file)
    started = time.monotonic()
    with progress("moving") as tick:
        moved = asyncio.run(
            moving.migrate(
                settings,
                passphrase,
                names,
                # Two passes over the rows: the bar shows both as one.
                progress=lambda stage, done, total: tick(done + (total if stage == "comparing" else 0), 2 * total),
            )
        )
    if as_json:
        click.echo(
            json.dumps(
                {
                    "version": 1,
                    "rows": moved.rows,
                    "pseudonyms": moved.pseudonyms,
                    "epoch": moved.epoch,
                    "fingerprint": moved.fingerprint,
                }
            )
        )
        return
    if moved.rows:
        seconds = time.monotonic() - started
        click.echo(
            f"{counted(moved.rows, 'row')} copied and compared, "
            f"{counted(moved.pseudonyms, 'pseudonym')} equal, {seconds:.0f} s"
        )
    click.echo(f"epoch        {moved.epoch}")
    click.echo(f"registrar    {moved.fingerprint}")
    output.note("Write the registrar's new fingerprint down: its log goes on under a new name.")
    output.note(f"Next: trustcenter serve {directory}")
