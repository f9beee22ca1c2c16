"""`trustcenter keys rotate`: plan, cut-over and schedule of a domain's key; and the keys of the logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustcenter.errors import UsageError_

from . import output
from .keys_options import DUE, PLAN, purpose_option, yes_option
from .options import call, confirm, connect_option, json_option

if TYPE_CHECKING:
    pass


@click.command("rotate")
@click.argument("domain")
@purpose_option
@click.option(
    "--every", metavar="DAYSd", help="Only say how often, as in 365d; 0d takes it back. Nothing else happens."
)
@click.option(
    "--deadline-days",
    type=click.IntRange(1, 365),
    default=90,
    show_default=True,
    help="Until two people may finalize without every acknowledgement.",
)
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@yes_option
@json_option
@connect_option
def rotate(
    domain: str,
    purpose: str,
    every: str | None,
    deadline_days: int,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Rotate a key of a domain (operator).

    With the pseudonym key every pseudonym of the domain gets a new form; sites fetch theirs with
    `trustcenter translate` or `keys rotation map`. Lookup and data keys change no pseudonym. The plan is shown first,
    and the domain's name asked for. `keys rotation` does what follows.

    Examples:
      trustcenter keys rotate uk-nord --dry-run
      trustcenter keys rotate uk-nord --yes
      trustcenter keys rotate uk-nord --every 365d
    """
    from trustcenter.messages.api import KeySchedule, RotateRequest

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
            f"{plan.pseudonyms} pseudonyms to translate at {output.plain(', '.join(plan.sites) or 'no site')}"
            if purpose == "pseudonym"
            else f"{plan.pseudonyms} rows to rewrite in the background"
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
    output.hint(f"next: trustcenter keys rotation verify {done.rotation}")


@click.command("rotate-audit")
@click.argument("room", type=click.Choice(("registrar", "comparator")))
@yes_option
@json_option
@connect_option
def rotate_audit(room: str, yes: bool, as_json: bool, connect: Path | None) -> None:
    """Give the log of a room another signing key (operator).

    The old key signs the new one, and the log verifies across. Write the new fingerprint on paper beside the old. The
    registrar's state key, which vouches for the states of all keys, is exchanged with it.
    """
    confirm("The log is signed with a new key from now on.", room, yes=yes)
    done = call(connect, lambda center: center.rotate_audit_key(room))
    output.item(done, ("room", "version", "from_fingerprint", "to_fingerprint"), as_json=as_json)


def _days(text: str) -> int:
    number = text.removesuffix("d")
    if not text.endswith("d") or not number.isascii() or not number.isdigit() or int(number) > 3650:
        raise UsageError_("a schedule is a number of days", code="bad_schedule", hint="--every 365d, at most 3650d")
    return int(number)
