"""`trustcenter keys rotation`: what follows the start of a rotation."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trustcenter.cli import output
from trustcenter.cli.options import (
    PATH,
    call,
    confirm,
    connect_option,
    force_option,
    json_option,
    output_option,
    passphrase_option,
)
from trustcenter.cli.progress import progress
from trustcenter.errors import UsageError

from .options import dry_run_option, yes_option

if TYPE_CHECKING:
    from trustcenter.client.parts.keys import Step

LISTED = ("rotation", "domain", "room", "purpose", "from_version", "to_version", "stage", "done", "total", "deadline")
_SHOWN = (*LISTED, "high_water_mark", "started_by", "started", "since", "map_mac", "old_key_needed")
_PARTIES = ("party", "deliveries", "acknowledged", "acknowledged_by")


@click.group()
def rotation() -> None:
    """Follow a rotation: verify, maps, finalize, abort."""


@rotation.command("list")
@click.option("--domain", metavar="DOMAIN", help="Of this domain; a site names one of its own.")
@json_option
@connect_option
def list_(domain: str | None, as_json: bool, connect: Path | None) -> None:
    """List rotations, oldest first."""
    found = call(connect, lambda center: center.rotations(domain))
    output.items(found, LISTED, as_json=as_json, empty="no rotations yet")
    following(found)


def following(found: Sequence[Any]) -> None:
    """Say what comes next of each rotation that is under way."""
    for one in found:
        if one.stage in ("prepared", "rewriting", "changed", "verified"):
            output.hint(f"next: {_next(one)}")


@rotation.command("show")
@click.argument("ident", metavar="ROTATION")
@json_option
@connect_option
def show(ident: str, as_json: bool, connect: Path | None) -> None:
    """Show how far a rotation is, and who has acknowledged the map."""
    _shown(call(connect, lambda center: center.rotation(ident)), as_json=as_json)


def _shown(found: Any, *, as_json: bool) -> None:
    output.item(found, _SHOWN, as_json=as_json)
    if not as_json and found.parties:
        click.echo()
        output.items(found.parties, _PARTIES, as_json=False)
    following = _next(found)
    if following:
        output.hint(f"next: {following}")


def _next(found: Any) -> str:
    """What an operator does next, by the stage of a rotation; "" where nothing is left to do."""
    on, ident = "trustcenter keys rotation", found.rotation
    silent = next((party.party for party in found.parties if party.acknowledged is None), None)
    if found.room is not None:
        ended = f"trustcenter keys destroy --room {found.room} --version {found.from_version}, after 30 days"
        return ended if found.stage == "finalized" else f"{on} resume {ident} ends it"
    match found.stage:
        case "prepared":
            return f"{on} resume {ident} cuts over; {on} abort {ident} ends it"
        case "rewriting":
            return f"it goes on by itself; if it stands still, {on} resume {ident}"
        case "changed":
            return f"{on} verify {ident}"
        case "verified" if silent is not None and found.approval_needed:
            return (
                f"trustcenter keys propose deliver {ident} --party {silent}, which an approver signs; then"
                f" {on} map {ident} --party {silent} -o FILE; the party opens and acknowledges it"
            )
        case "verified" if silent is not None:
            return f"{on} map {ident} --party {silent} -o FILE; the party opens and acknowledges it"
        case "verified":
            return f"{on} finalize {ident} (operator)"
        case "finalized" if not found.old_key_needed:
            which = "" if found.purpose == "pseudonym" else f" --purpose {found.purpose}"
            return f"trustcenter keys destroy {found.domain}{which} --version {found.from_version}, after 30 days"
    return ""


def _step(name: Step, question: str = "") -> Callable[[Callable[[], None]], click.Command]:
    """A command that takes one step of a rotation; with a question it asks first. The function gives its help."""

    def run(ident: str, as_json: bool, connect: Path | None, yes: bool = True, dry_run: bool = False) -> None:
        if question and not dry_run:
            confirm(question, ident[:8], yes=yes)
        _shown(call(connect, lambda center: center.rotation_step(ident, name, dry_run=dry_run)), as_json=as_json)
        if dry_run:
            output.note(f"nothing was changed; {name} would be possible: {question}")

    def decorate(described: Callable[[], None]) -> click.Command:
        command = json_option(connect_option(run))
        command = dry_run_option(yes_option(command)) if question else command
        command = click.argument("ident", metavar="ROTATION")(command)
        return rotation.command(name, help=described.__doc__)(command)

    return decorate


@_step("resume")
def resume() -> None:
    """Go on where a crash stopped a rotation (operator). Repeating it changes nothing."""


@rotation.command("verify")
@click.argument("ident", metavar="ROTATION")
@json_option
@connect_option
def verify(ident: str, as_json: bool, connect: Path | None) -> None:
    """Check everything that the rotation changed (operator); a keyed hash of the map goes into the log.

    It runs inside the service: if this command is stopped, repeating it waits for the same verification.
    """
    with progress("verifying") as tick:
        found = call(connect, lambda center: center.verify_rotation(ident, tick))
    _shown(found, as_json=as_json)


@_step("finalize", "No way back afterwards.")
def finalize() -> None:
    """Deactivate the old key (operator): verified, and every party has its map.

    Past the deadline two people can do it without: `keys propose finalize`.
    """


@_step("abort", "The prepared key version is destroyed.")
def abort() -> None:
    """End a rotation before its cut-over (operator); the prepared version is destroyed."""


@_step("rollback", "Pseudonyms get their old form again.")
def rollback() -> None:
    """Make the old key the active one again (operator), while it is suspended."""


@rotation.command("map")
@click.argument("ident", metavar="ROTATION")
@click.option("--party", required=True, metavar="PARTY", help="site:NAME or recipient:STUDY/NAME; a site its own.")
@output_option("Where the sealed map goes.")
@force_option
@connect_option
def map_(ident: str, party: str, target: Path, force: bool, connect: Path | None) -> None:
    """Fetch the map old to new, sealed to the public key of a party (that site, or an operator).

    Example:
      trustcenter keys rotation map 0f3c5a… --party site:uk-nord -o map.sealed
    """
    from trustcenter.client.keys import fetch_sealed_map

    size = call(connect, lambda center: fetch_sealed_map(center, ident, party, target, force=force))
    output.note(f"{size:,} bytes; next: trustcenter keys rotation open-map, where the party's key is")


@rotation.command("open-map")
@click.argument("sealed", metavar="FILE", type=PATH)
@click.option("--rotation", "ident", required=True, metavar="ID", help="Rotation that the map belongs to.")
@click.option("--party", required=True, metavar="PARTY", help="Whom it was sealed for.")
@click.option("--key", "key_file", type=PATH, required=True, metavar="FILE", help="The key of that party.")
@output_option("Where the map (CSV: old, new) goes.")
@passphrase_option
@force_option
@json_option
def open_map(
    sealed: Path,
    ident: str,
    party: str,
    key_file: Path,
    target: Path,
    passphrase_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Open a sealed map, and print the SHA-256 that acknowledges it. Works without a service."""
    from trustcenter.cli.secret_input import recipient_key
    from trustcenter.client import keys as jobs

    found = jobs.open_map(sealed, recipient_key(key_file, passphrase_file), ident, party, target, force=force)
    output.item(found, ("rotation", "party", "pairs", "sha256"), as_json=as_json)


@rotation.command("acknowledge")
@click.argument("ident", metavar="ROTATION")
@click.option("--sha256", required=True, metavar="HEX", help="As open-map printed it.")
@click.option("--party", metavar="PARTY", help="For operators: the recipient that said it.")
@json_option
@connect_option
def acknowledge(ident: str, sha256: str, party: str | None, as_json: bool, connect: Path | None) -> None:
    """Say that the map has arrived and copies are translated (site; an operator for a recipient)."""
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise UsageError(
            "this is not a SHA-256", code="bad_sha256", hint="64 hex digits, as open-map printed them", where="--sha256"
        )
    _shown(call(connect, lambda center: center.acknowledge_map(ident, sha256, party)), as_json=as_json)
