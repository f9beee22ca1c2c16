"""`trustcenter keys create`, `activate`, `suspend`, `deactivate`, `compromise`, `destroy`: single steps of a key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trustcenter.cli import output
from trustcenter.cli.options import F, call, confirm, connect_option, json_option
from trustcenter.errors import CommandLineError

from .options import (
    KEY,
    PLAN,
    PROPOSAL,
    PURPOSES,
    ROOMS,
    dry_run_option,
    purpose_option,
    version_option,
    yes_option,
)
from .rotate import target as require_target

if TYPE_CHECKING:
    from trustcenter.client.parts.keys import Act


@click.command("create")
@click.argument("domain")
@purpose_option
@dry_run_option
@yes_option
@json_option
@connect_option
def create(domain: str, purpose: str, dry_run: bool, yes: bool, as_json: bool, connect: Path | None) -> None:
    """Prepare the next version of a key, without using it yet (operator).

    `keys activate` cuts over to it, `keys rotation abort` takes it back.
    """
    from trustcenter.messages.api import RotateRequest

    if not dry_run:
        confirm("A new key version is made and waits.", domain, yes=yes)
    body = RotateRequest(dry_run=dry_run, prepare=True, purpose=purpose)  # type: ignore[arg-type]
    made = call(connect, lambda center: center.rotate_key(domain, body))
    output.item(made, PLAN, as_json=as_json)
    if not dry_run:
        which = "" if purpose == "pseudonym" else f" --purpose {purpose}"
        output.hint(
            f"next: trustcenter keys activate {domain}{which} cuts over;"
            f" trustcenter keys rotation abort {made.rotation} takes it back"
        )


def _act_options(command: F) -> F:
    for option in (connect_option, json_option, yes_option, dry_run_option, version_option()):
        command = option(command)
    return command


@click.command("activate")
@click.argument("domain")
@purpose_option
@_act_options
def activate(**options: Any) -> None:
    """Cut over to a prepared version, or end a suspension (operator)."""
    _act("activate", "New pseudonyms are made under this version from now on.", **options)


@click.command("suspend")
@click.argument("domain")
@_act_options
def suspend(**options: Any) -> None:
    """Stop issue in a domain; what exists still resolves (operator)."""
    _act("suspend", "No more pseudonyms in this domain until `keys activate`.", **options)


@click.command("deactivate")
@click.argument("domain")
@_act_options
def deactivate(**options: Any) -> None:
    """End the use of a key version for good (operator).

    What exists still resolves, until the version is destroyed.
    """
    _act("deactivate", "This version never becomes active again.", **options)


def _act(
    act: Act,
    question: str,
    *,
    domain: str,
    version: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    connect: Path | None,
    purpose: str = "pseudonym",
) -> None:
    from trustcenter.messages.api import KeyAct

    if not dry_run:
        confirm(question, domain, yes=yes)
    body = KeyAct(purpose=purpose, version=version, dry_run=dry_run)  # type: ignore[arg-type]
    done = call(connect, lambda center: center.key_act(domain, act, body))
    output.item(done, KEY, as_json=as_json)
    if dry_run:
        output.note(f"nothing was changed; {act} would be possible: {question}")
    else:
        output.hint(f"next: {_AFTER[act].format(domain=domain, version=done.version)}")


_AFTER: Final = {
    "suspend": "trustcenter keys activate {domain} ends it; trustcenter keys rotate {domain} opens another version",
    "activate": "trustcenter keys rotation list says what a cut-over still takes",
    "deactivate": "trustcenter keys rotate {domain} lets the domain issue again;"
    " trustcenter keys destroy {domain} --version {version}, after 30 days",
}


@click.command("destroy")
@click.argument("domain", required=False)
@click.option("--room", type=click.Choice(ROOMS), help="In the place of a domain: a room's own keys.")
@click.option("--purpose", type=click.Choice(PURPOSES), help="Which key of a domain; pseudonym unless named.")
@version_option(required=True)
@dry_run_option
@yes_option
@json_option
@connect_option
def destroy(
    domain: str | None,
    room: str | None,
    purpose: str | None,
    version: int,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Propose to destroy a key version; two people (operator).

    It must have been deactivated or compromised for the grace period, and a rotation away from it must be finalized.
    Nothing happens until an approver signs. Afterwards nothing that was made under it resolves; nothing but a
    backup of the key store brings it back, and that has to expire as well.

    Of a room --version is that of its log's key; the key that was exchanged together with it is destroyed too.

    Examples:
      trustcenter keys destroy uk-nord --version 1
      trustcenter keys destroy --room comparator --version 1
    """
    from trustcenter.messages.api import KeyPropose

    require_target(domain, room)
    if room is not None and purpose is not None:
        raise CommandLineError(
            "of a room no purpose is named", hint="its two keys are exchanged and destroyed together"
        )
    if not dry_run:
        which = f"{purpose or 'pseudonym'} key" if room is None else "the log's key and the one that goes with it"
        confirm(f"Propose: version {version} of {which} is destroyed for ever.", domain or room or "", yes=yes)
    body = KeyPropose(
        kind="destroy",
        domain=domain,
        room=room,  # type: ignore[arg-type]
        purpose=purpose,  # type: ignore[arg-type]
        version=version,
        dry_run=dry_run,
    )
    made = call(connect, lambda center: center.propose_for_key(body))
    if dry_run:
        named = ("kind", "domain", "room", "purpose", "version")
        shown = {name: getattr(made, name) for name in named}  # there is no proposal
        output.data(shown) if as_json else output.fields(shown)
        output.note("nothing was proposed; it could be")
        return
    output.item(made, PROPOSAL, as_json=as_json)
    output.hint(f"an approver signs it next: trustcenter keys approve {made.proposal} --personal-key FILE")
