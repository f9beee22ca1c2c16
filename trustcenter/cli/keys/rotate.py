"""`trustcenter keys rotate`: plan, cut-over and schedule, of a domain's key or of a room's own keys."""

from __future__ import annotations

from pathlib import Path

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import call, confirm, connect_option, json_option
from trustcenter.errors import ConflictError, UsageError

from .options import DUE, PLAN, PURPOSES, ROOM_PLAN, ROOM_PURPOSES, ROOMS, yes_option


@click.command("rotate")
@click.argument("domain", required=False)
@click.option("--room", type=click.Choice(ROOMS), help="In the place of a domain: a room's own keys.")
@click.option(
    "--purpose",
    type=click.Choice((*PURPOSES, *ROOM_PURPOSES)),
    help="Which key: of a domain pseudonym (the default), lookup or data; of a room audit (the default) or sealing.",
)
@click.option(
    "--every", metavar="DAYSd", help="Only say how often, as in 365d; 0d takes it back. Nothing else happens."
)
@click.option(
    "--deadline-days",
    type=click.IntRange(1, 365),
    default=90,
    show_default=True,
    help="Until two people may finalize without every acknowledgement; of a pseudonym key.",
)
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@yes_option
@json_option
@connect_option
def rotate(
    domain: str | None,
    room: str | None,
    purpose: str | None,
    every: str | None,
    deadline_days: int,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Rotate a key of a domain, or a room's own keys (operator).

    With the pseudonym key every pseudonym of the domain gets a new form; sites fetch theirs with
    `trustcenter translate` or `keys rotation map`. Lookup and data keys change no pseudonym. The plan is shown first,
    and the domain's name asked for. `keys rotation` does what follows.

    A room's own keys are that of its log and, with it, that of key states (registrar) or of receipts (comparator). The
    old ones sign the new ones, nobody outside has to act, and it is done when the command ends. Write the new
    fingerprint on paper beside the old one.

    Examples:
      trustcenter keys rotate uk-nord --dry-run
      trustcenter keys rotate uk-nord --yes
      trustcenter keys rotate uk-nord --every 365d
      trustcenter keys rotate --room comparator
    """
    target(domain, room)
    allowed = PURPOSES if domain is not None else ROOM_PURPOSES
    purpose = purpose or allowed[0]
    if purpose not in allowed:
        raise UsageError(
            "there is no such key here",
            code="bad_purpose",
            hint=f"of a domain: {', '.join(PURPOSES)}; of a room: {', '.join(ROOM_PURPOSES)}",
            where="--purpose",
        )
    if room is not None:
        _room(room, purpose, every, dry_run=dry_run, yes=yes, as_json=as_json, connect=connect)
    elif domain is not None:
        _domain(domain, purpose, every, deadline_days, dry_run=dry_run, yes=yes, as_json=as_json, connect=connect)


def target(domain: str | None, room: str | None) -> None:
    """A domain or a room, one of them.

    Raises:
        UsageError: none, or both.
    """
    if (domain is None) == (room is None):
        raise UsageError(
            "name a domain, or a room with --room",
            code="domain_or_room",
            hint="trustcenter keys list shows both",
        )


def _domain(
    domain: str,
    purpose: str,
    every: str | None,
    deadline_days: int,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    from trustcenter.messages.api.keys import KeySchedule, RotateRequest

    if every is not None:
        schedule = KeySchedule(days=_days(every), purpose=purpose)  # type: ignore[arg-type]
        output.items(
            call(connect, lambda center: center.schedule_key(domain, schedule)), DUE, as_json=as_json, empty="none"
        )
        return
    ask = RotateRequest(dry_run=True, purpose=purpose, deadline_days=deadline_days)  # type: ignore[arg-type]
    plan = call(connect, lambda center: center.rotate_key(domain, ask))
    if dry_run:
        output.item(plan, PLAN, as_json=as_json)
        return
    if not yes and output.interactive():
        to_do = (
            f"{counted(plan.pseudonyms, 'pseudonym')} to translate at "
            + output.plain(", ".join(plan.sites) or "no site")
            if purpose == "pseudonym"
            else f"{counted(plan.pseudonyms, 'row')} to rewrite in the background"
        )
        output.note(
            f"domain {output.plain(plan.domain)}: key version {plan.from_version} to {plan.to_version}, {to_do},"
            f" about {plan.estimated_seconds} s"
        )
    question = (
        "This changes every pseudonym of the domain."
        if purpose == "pseudonym"
        else "Pseudonyms stay; what is stored is sealed anew."
    )
    confirm(question, domain, yes=yes)
    # The plan's version goes along: a rotation by somebody else meanwhile makes this one fail.
    body = RotateRequest(
        expected_version=plan.from_version or None,
        purpose=purpose,  # type: ignore[arg-type]
        deadline_days=deadline_days,
    )
    done = call(connect, lambda center: center.rotate_key(domain, body))
    output.item(done, PLAN, as_json=as_json)
    follow = "verify" if purpose == "pseudonym" else "show"
    output.hint(f"next: trustcenter keys rotation {follow} {done.rotation}")


def _room(
    room: str, purpose: str, every: str | None, *, dry_run: bool, yes: bool, as_json: bool, connect: Path | None
) -> None:
    from trustcenter.messages.api.keys import RoomKeySchedule, RoomRotateRequest

    if every is not None:
        schedule = RoomKeySchedule(days=_days(every), purpose=purpose)  # type: ignore[arg-type]
        output.items(
            call(connect, lambda center: center.schedule_room_keys(room, schedule)), DUE, as_json=as_json, empty="none"
        )
        return
    if purpose == "sealing":
        raise ConflictError(
            "a passphrase never goes to the service: key stores are sealed anew on the instance's machine",
            code="sealing_is_local",
            hint="there: trustcenter keys rekey DIR --passphrase-file OLD --new-passphrase-file NEW",
        )
    plan = call(connect, lambda center: center.rotate_room_keys(room, RoomRotateRequest(dry_run=True)))
    if dry_run:
        output.item(plan, ROOM_PLAN, as_json=as_json)
        return
    if not yes and output.interactive():
        output.note(f"{room}: keys {' and '.join(plan.purposes)}; the log is signed by {plan.from_fingerprint}")
    confirm("The log is signed with a new key from now on; there is no way back.", room, yes=yes)
    body = RoomRotateRequest(expected_version=plan.from_versions[0])
    done = call(connect, lambda center: center.rotate_room_keys(room, body))
    output.item(done, ROOM_PLAN, as_json=as_json)
    output.hint("verified and ended; write to_fingerprint on paper beside the old one")


def _days(text: str) -> int:
    number = text.removesuffix("d")
    if not text.endswith("d") or not number.isascii() or not number.isdigit() or int(number) > 3650:
        raise UsageError("a schedule is a number of days", code="bad_schedule", hint="--every 365d, at most 3650d")
    return int(number)
