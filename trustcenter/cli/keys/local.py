"""Key commands on the instance's machine, and the inventory, which needs none."""

from __future__ import annotations

import os
from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.operate.backup import backup as backup_part
from trustcenter.cli.operate.options import DIRECTORY, PASSPHRASE, service_passphrase
from trustcenter.cli.operate.restore import restore as restore_parts
from trustcenter.cli.options import PATH, confirm, json_option


@click.command("backup")
@DIRECTORY
@click.option("--room", type=click.Choice(["registrar", "comparator"]), required=True, help="Whose key store.")
@click.option("-o", "--output", "target", type=PATH, metavar="FILE", required=True, help="New file for the backup.")
@click.option("--i-know", "together", is_flag=True, help="Allow a directory that holds another part's backup.")
@json_option
@click.pass_context
def backup(context: click.Context, directory: Path, room: str, target: Path, together: bool, as_json: bool) -> None:
    """Back up the key store of a room, on the instance's machine.

    While the service runs. Take the database first: a newer key store serves an older database, not the reverse.
    """
    context.invoke(
        backup_part, directory=directory, room=room, part="keys", target=target, together=together, as_json=as_json
    )


@click.command("restore")
@click.argument("source", type=PATH, metavar="FILE")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", required=False)
@click.option("--test", "only_test", is_flag=True, help="Check the backup and install nothing; no DIR.")
@click.option("--yes", is_flag=True, help="Do not ask; for automation.")
@PASSPHRASE
@json_option
@click.pass_context
def restore(
    context: click.Context,
    source: Path,
    directory: Path | None,
    only_test: bool,
    yes: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Put the backup of a key store in place, or test it.

    The service must stand still. What was in place is kept beside it. An older key store than the database needs is
    refused at the start.
    """
    if not only_test and directory is not None:
        confirm("The key store in place is exchanged.", directory.name, yes=yes)
    context.invoke(
        restore_parts,
        paths=(source,) if only_test or directory is None else (source, directory),
        only_test=only_test,
        until="latest",
        newer=None,
        passphrase_file=passphrase_file,
        as_json=as_json,
    )


@click.command("rekey")
@DIRECTORY
@PASSPHRASE
@click.option(
    "--new-passphrase-file", "new_file", type=PATH, required=True, metavar="FILE", help="File with the new passphrase."
)
@click.option("--dry-run", is_flag=True, help="Only test both passphrases.")
@click.option("--yes", is_flag=True, help="Do not ask; for automation.")
@json_option
def rekey(
    directory: Path, passphrase_file: Path | None, new_file: Path, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Seal the key stores under another passphrase.

    Of both rooms. Nothing else changes: no key, no state, no pseudonym. A service that reads its passphrase from a file
    goes on by itself, once the new one stands there: put it there first, and name the old one here. Where several
    processes share PostgreSQL they refuse (key_store_conflict) until they can read it. If it is interrupted,
    repeat it. Older copies of the files still open with the old passphrase, until they expire.

    Example:
      trustcenter keys rekey /srv/trustcenter --new-passphrase-file /run/credentials/new
    """
    from keys.passphrase import read_passphrase
    from trustcenter import config
    from trustcenter.instance.rotating import rekey as work

    os.umask(0o077)
    settings = config.load(directory)
    old, new = service_passphrase(settings, passphrase_file), read_passphrase(new_file, prompt=False)
    if not dry_run:
        confirm("Both key stores are sealed under the new passphrase.", directory.name, yes=yes)
    done = work.rekey(settings, old, new, dry_run=dry_run)
    output.items(done, ("room", "store", "generation", "state"), as_json=as_json)
    if not dry_run:
        output.hint("put the new passphrase where the service reads it; one that was typed in has to be restarted")


@click.command("inventory")
@click.option("--markdown", is_flag=True, help="Print the page of the documentation.")
@json_option
def inventory(markdown: bool, as_json: bool) -> None:
    """List the cryptography in use: what, where and why.

    With named deviations, and what follows each after quantum computers. Made from the code.
    """
    import trustcenter.inventory as work

    if markdown:
        click.echo(work.page(), nl=False)
        return
    output.items(work.items(), ("algorithm", "use", "where", "deviation", "after_quantum"), as_json=as_json)
