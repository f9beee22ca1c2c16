"""Commands for rooms that are apart: cards, pairing, and connection files with two addresses."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, force_option, output_option

from .options import DIRECTORY, PASSPHRASE, service_passphrase
from .rooms_files import bring, carry_out, export


@click.group("rooms")
def rooms() -> None:
    """Registrar and comparator apart: pair them, and connect sites to both.

    Each room is an instance of its own (trustcenter init --room). Pairing exchanges cards, which hold certificates
    and public keys: nothing secret, but whoever exchanged a card would stand between the rooms. So both operators
    compare fingerprints by telephone. Where the registrar shall not reach the comparator, files are carried by hand.
    """


for _command in (export, carry_out, bring):
    rooms.add_command(_command)


@rooms.command("card")
@DIRECTORY
@PASSPHRASE
@click.option("--url", default="", help="Of the comparator: where the registrar reaches it, if not where it listens.")
@click.option("--by-hand", is_flag=True, help="Of the comparator: the registrar does not reach it; files are carried.")
@output_option("File for the card.")
@force_option
def card(directory: Path, passphrase_file: Path | None, url: str, by_hand: bool, target: Path, force: bool) -> None:
    """Write the card of the room in DIR, to be handed to the other room's operator.

    Example:
      trustcenter rooms card /srv/comparator --url https://comparator.example:8443 -o comparator.card
    """
    import msgspec

    from trustcenter import config
    from trustcenter.client.files import replacing, require_writable
    from trustcenter.instance.between import cards

    require_writable(target, force=force)
    settings = config.load(directory)
    made = cards.make(settings, service_passphrase(settings, passphrase_file), url, by_hand=by_hand)
    with replacing(target, force=force) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    digits = made.fingerprint
    click.echo(f"{made.room:<12} {'-'.join(digits[at : at + 4] for at in range(0, len(digits), 4))}")
    output.hint("read this fingerprint to the other room's operator; never send it along with the card")


@rooms.command("pair")
@DIRECTORY
@click.argument("card_file", type=click.Path(dir_okay=False, path_type=Path), metavar="CARD")
@click.option("--fingerprint", required=True, help="Of the card, as the other room's operator read it out.")
def pair(directory: Path, card_file: Path, fingerprint: str) -> None:
    """Keep the other room's card in the instance in DIR; restart its service afterwards.

    Repeat it on both sides when a certificate was renewed.

    Example:
      trustcenter rooms pair /srv/registrar comparator.card --fingerprint 6f9c-01d2-…
    """
    from trustcenter import config
    from trustcenter.instance.between import cards

    settings = config.load(directory)
    found = cards.read(card_file.read_bytes())
    cards.keep(settings, found, fingerprint)
    click.echo(f"paired with the {found.room} of instance {found.instance}")


@rooms.command("divide")
@DIRECTORY
@PASSPHRASE
@click.option(
    "--separation",
    type=click.Choice(["process", "operator"]),
    required=True,
    help="From the new comparator: process, the same operator; operator, another one.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def divide(directory: Path, passphrase_file: Path | None, separation: str, yes: bool) -> None:
    """Make the stopped instance in DIR, which holds both rooms, a registrar of its own.

    Everything but its comparator stays: domains, pseudonyms, studies, keys, log, clients. A new comparator is made
    and paired as for a new instance, and the sites' next uploads bring it their rows. Back up first.

    Example:
      trustcenter rooms divide /srv/trustcenter --separation operator
    """
    from trustcenter import config
    from trustcenter.cli.options import confirm
    from trustcenter.instance.between import dividing

    settings = config.load(directory)
    confirm("The comparator of this instance is not used any more.", "divide", yes=yes)
    left = dividing.divide(settings, service_passphrase(settings, passphrase_file), separation)
    click.echo(f"registrar    separation {separation}")
    for item in left:
        output.note(f"not used any more: {item}")
    output.hint("make and pair a comparator, then renew the studies: docs/how-to/separate-rooms.md")


@rooms.command("connect")
@click.argument("registrar", type=PATH, metavar="REGISTRAR.toml")
@click.argument("comparator", type=PATH, metavar="COMPARATOR.toml")
@output_option("File for the joined connection.")
@force_option
def connect(registrar: Path, comparator: Path, target: Path, force: bool) -> None:
    """Join a site's two connection files, one from each room, into one for `--connect`.

    Rows then go to the comparator, everything else to the registrar.

    Example:
      trustcenter rooms connect north-registrar.toml north-comparator.toml -o north.toml
    """
    import msgspec

    from trustcenter.client import Connection
    from trustcenter.client.connection import RowsConnection

    first, second = Connection.load(registrar), Connection.load(comparator)
    rows = RowsConnection(
        url=second.url,
        token=second.token,
        ca=second.ca,
        site=second.site,
        certificate=second.certificate,
        certificate_key=second.certificate_key,
    )
    msgspec.structs.replace(first, comparator=rows).save(target, force=force)
    click.echo(str(target))
