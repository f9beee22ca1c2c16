"""`trustcenter recipient`: for data recipients. Works without a service."""

from __future__ import annotations

from pathlib import Path

import click

from . import output
from .options import PATH, bare_option, force_option, json_option, output_option, passphrase_option


@click.group()
def recipient() -> None:
    """For data recipients: keys and sealed join maps."""


@recipient.command("keygen")
@output_option("Where the key goes; it stays with the recipient.")
@passphrase_option
@bare_option
def keygen(target: Path, passphrase_file: Path | None, bare: bool) -> None:
    """Make a recipient's key. Prints the public half, which the operator needs for `study create`.

    Example:
      trustcenter recipient keygen -o registry.key > registry.pub
    """
    from .secret_input import new_recipient_key

    key = new_recipient_key(target, passphrase_file, bare=bare)
    click.echo(key.public)
    output.note(f"fingerprint {key.fingerprint}: read it to the operator, over the telephone for instance")


@recipient.command("open")
@click.argument("sealed", metavar="FILE", type=PATH)
@click.option("--key", "key_file", type=PATH, required=True, metavar="FILE", help="The recipient's key.")
@click.option("--study", required=True, metavar="STUDY", help="Study that the map belongs to.")
@click.option("--release", "release_id", required=True, metavar="ID", help="Release that the map belongs to.")
@output_option("Where the join map (CSV) goes.")
@passphrase_option
@force_option
@json_option
def open_(
    sealed: Path,
    key_file: Path,
    study: str,
    release_id: str,
    target: Path,
    passphrase_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Open a sealed join map. It opens only for the study and release that it was made for.

    Example:
      trustcenter recipient open joinmap.sealed --key registry.key --study sepsis --release 0f3c5a… -o joinmap.csv
    """
    from trustcenter.client.files import require_writable
    from trustcenter.client.joinmap import open_join_map

    from .secret_input import recipient_key

    require_writable(target, sources=(sealed, key_file), force=force)
    lines = open_join_map(sealed, recipient_key(key_file, passphrase_file), study, release_id, target, force=force)
    if as_json:
        output.data({"study": study, "release": release_id, "records": lines})
    output.note(f"{lines} records")
