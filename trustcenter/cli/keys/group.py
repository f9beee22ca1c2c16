"""`trustcenter keys`: key versions, their rotation, and what to do when one leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trustcenter.cli import output
from trustcenter.cli.base import LazyGroup
from trustcenter.cli.options import call, connect_option, json_option

from .options import DUE, KEY, ROOMS

_AT = "trustcenter.cli.keys."
_COMMANDS = {
    "list": (_AT + "group:list_", "List every key version and its state (operator); never the keys."),
    "show": (_AT + "group:show", "Show the keys of one domain: versions, rotations, what is due (operator)."),
    "create": (_AT + "life:create", "Prepare the next version of a key, without using it yet (operator)."),
    "activate": (_AT + "life:activate", "Cut over to a prepared version, or end a suspension (operator)."),
    "rotate": (_AT + "rotate:rotate", "Rotate a key of a domain, or a room's own keys (operator)."),
    "rotation": (_AT + "rotation:rotation", "Follow a rotation: verify, maps, finalize, abort."),
    "suspend": (_AT + "life:suspend", "Stop issue in a domain; what exists still resolves (operator)."),
    "deactivate": (_AT + "life:deactivate", "End the use of a key version for good (operator)."),
    "compromise": (_AT + "compromise:compromise", "A key leaked: stop issue, open the next, report (operator)."),
    "destroy": (_AT + "life:destroy", "Propose to destroy a key version; two people (operator)."),
    "propose": (_AT + "agree:propose", "Propose what takes two people in a rotation (operator)."),
    "proposals": (_AT + "agree:proposals", "List what waits for a second person (operator, approver)."),
    "approve": (_AT + "agree:approve", "Sign a proposal; it is carried out at once (approver)."),
    "backup": (_AT + "local:backup", "Back up the key store of a room, on the instance's machine."),
    "restore": (_AT + "local:restore", "Put the backup of a key store in place, or test it."),
    "rekey": (_AT + "local:rekey", "Seal the key stores under another passphrase."),
    "inventory": (_AT + "local:inventory", "List the cryptography in use: what, where and why."),
}


@click.group(cls=LazyGroup, sections={"Commands": _COMMANDS})
def keys() -> None:
    """Key versions and their rotation."""


@click.command("list")
@click.option("--due", is_flag=True, help="Only the scheduled ones, the most urgent first.")
@json_option
@connect_option
def list_(due: bool, as_json: bool, connect: Path | None) -> None:
    """List every key version and its state (operator); never the keys."""
    if due:
        output.items(call(connect, lambda center: center.keys_due()), DUE, as_json=as_json, empty="no schedules yet")
        return
    output.items(call(connect, lambda center: center.keys()), KEY, as_json=as_json)


@click.command("show")
@click.argument("domain", required=False)
@click.option("--room", type=click.Choice(ROOMS), help="In the place of a domain: a room's own keys.")
@json_option
@connect_option
def show(domain: str | None, room: str | None, as_json: bool, connect: Path | None) -> None:
    """Show the keys of one domain, or of one room: versions, rotations, what is due (operator)."""
    from trustcenter.client import TrustCenter

    from .rotate import target
    from .rotation import LISTED, following

    target(domain, room)

    async def job(center: TrustCenter) -> tuple[list[Any], list[Any], list[Any]]:
        rotations = await center.rotations(domain)  # of an unknown domain: refused
        of: list[list[Any]] = [await center.keys(), rotations, await center.keys_due()]
        found, rotations, due = ([one for one in part if (one.domain, one.room) == (domain, room)] for part in of)
        return found, rotations, due

    found, rotations, due = call(connect, job)
    if as_json:
        output.data({"version": 1, "keys": found, "rotations": rotations, "due": due})
        return
    output.items(found, KEY, as_json=False)
    for items, columns in ((rotations, LISTED), (due, DUE)):
        if items:
            click.echo()
            output.items(items, columns, as_json=False)
    following(rotations)
