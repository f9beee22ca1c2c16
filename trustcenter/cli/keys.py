"""`trustcenter keys`: key versions, their rotation, and what to do when one leaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trustcenter.errors import UsageError_

from . import output
from .base import LazyGroup
from .options import PATH, call, confirm, connect_option, force_option, json_option

if TYPE_CHECKING:
    from trustcenter.client.keys import Act

F = TypeVar("F", bound=Callable[..., Any])
_PLAN = (
    "rotation",
    "domain",
    "purpose",
    "from_version",
    "to_version",
    "pseudonyms",
    "sites",
    "recipients",
    "estimated_seconds",
    "state",
    "high_water_mark",
)
_KEY = ("domain", "purpose", "version", "state", "since", "kcv")
PROPOSAL = (
    "proposal",
    "kind",
    "domain",
    "purpose",
    "version",
    "rotation",
    "party",
    "proposed_by",
    "created",
    "approved_by",
    "approved",
)
_DUE = ("domain", "purpose", "version", "days", "due", "overdue")
_PURPOSES = ("pseudonym", "lookup", "data")

_COMMANDS = {
    "list": ("trustcenter.cli.keys:list_", "List every key version and its state (operator); never the keys."),
    "show": ("trustcenter.cli.keys:show", "Show the keys of one domain: versions, rotations, what is due (operator)."),
    "create": ("trustcenter.cli.keys:create", "Prepare the next version of a key, without using it yet (operator)."),
    "activate": ("trustcenter.cli.keys:activate", "Cut over to a prepared version, or end a suspension (operator)."),
    "rotate": ("trustcenter.cli.keys:rotate", "Rotate a key of a domain (operator)."),
    "rotate-audit": ("trustcenter.cli.keys:rotate_audit", "Give the log of a room another signing key (operator)."),
    "rotation": ("trustcenter.cli.keys_rotation:rotation", "Follow a rotation: verify, maps, finalize, abort."),
    "suspend": ("trustcenter.cli.keys:suspend", "Stop issue in a domain; what exists still resolves (operator)."),
    "deactivate": ("trustcenter.cli.keys:deactivate", "End the use of a key version for good (operator)."),
    "compromise": ("trustcenter.cli.keys:compromise", "A key leaked: stop issue, open the next, report (operator)."),
    "destroy": ("trustcenter.cli.keys:destroy", "Propose to destroy a key version; two people (operator)."),
    "propose": ("trustcenter.cli.keys:propose", "Propose what takes two people in a rotation (operator)."),
    "approve": ("trustcenter.cli.keys:approve", "Sign a proposal; it is carried out at once (approver)."),
    "backup": ("trustcenter.cli.keys_local:backup", "Back up the key store of a room, on the instance's machine."),
    "restore": ("trustcenter.cli.keys_local:restore", "Put the backup of a key store in place, or test it."),
    "rekey": ("trustcenter.cli.keys_local:rekey", "Seal the key stores under another passphrase."),
    "inventory": ("trustcenter.cli.keys_local:inventory", "List the cryptography in use: what, where and why."),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def keys() -> None:
    """Key versions and their rotation."""


def _purpose_option(command: F) -> F:
    return click.option(
        "--purpose", type=click.Choice(_PURPOSES), default="pseudonym", show_default=True, help="Which key."
    )(command)


def _version_option(*, required: bool = False) -> Callable[[F], F]:
    return click.option(
        "--version", "version", type=click.IntRange(1, 255), required=required, metavar="N", help="Which version."
    )


_dry_run = click.option("--dry-run", is_flag=True, help="Only show what would happen.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask; for automation.")


@click.command("list")
@click.option("--due", is_flag=True, help="Only the scheduled ones, the most urgent first.")
@json_option
@connect_option
def list_(due: bool, as_json: bool, connect: Path | None) -> None:
    """List every key version and its state (operator); never the keys."""
    if due:
        output.items(call(connect, lambda center: center.keys_due()), _DUE, as_json=as_json, empty="no schedules yet")
        return
    output.items(call(connect, lambda center: center.keys()), _KEY, as_json=as_json)


@click.command("show")
@click.argument("domain")
@json_option
@connect_option
def show(domain: str, as_json: bool, connect: Path | None) -> None:
    """Show the keys of one domain: versions, rotations, what is due (operator)."""
    from trustcenter.client import TrustCenter

    from .keys_rotation import LISTED

    async def job(center: TrustCenter) -> tuple[list[Any], list[Any], list[Any]]:
        rotations = await center.rotations(domain)
        found = [key for key in await center.keys() if key.domain == domain]
        return found, rotations, [key for key in await center.keys_due() if key.domain == domain]

    found, rotations, due = call(connect, job)
    if as_json:
        output.data({"version": 1, "keys": found, "rotations": rotations, "due": due})
        return
    output.items(found, _KEY, as_json=False)
    for items, columns in ((rotations, LISTED), (due, _DUE)):
        if items:
            click.echo()
            output.items(items, columns, as_json=False)


@click.command("create")
@click.argument("domain")
@_purpose_option
@_dry_run
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
    output.item(call(connect, lambda center: center.rotate_key(domain, body)), _PLAN, as_json=as_json)


@click.command("activate")
@click.argument("domain")
@_purpose_option
@_version_option()
@_dry_run
@yes_option
@json_option
@connect_option
def activate(**options: Any) -> None:
    """Cut over to a prepared version, or end a suspension (operator)."""
    _act("activate", "New pseudonyms are made under this version from now on.", **options)


@click.command("suspend")
@click.argument("domain")
@_version_option()
@_dry_run
@yes_option
@json_option
@connect_option
def suspend(**options: Any) -> None:
    """Stop issue in a domain; what exists still resolves (operator)."""
    _act("suspend", "No more pseudonyms in this domain until `keys activate`.", **options)


@click.command("deactivate")
@click.argument("domain")
@_version_option()
@_dry_run
@yes_option
@json_option
@connect_option
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

    if dry_run:
        found = [k for k in call(connect, lambda center: center.keys()) if (k.domain, k.purpose) == (domain, purpose)]
        output.note(f"{act} would be asked for: {question}")
        output.items(found, _KEY, as_json=as_json, empty="no such domain")
        return
    confirm(question, domain, yes=yes)
    body = KeyAct(purpose=purpose, version=version)  # type: ignore[arg-type]
    output.item(call(connect, lambda center: center.key_act(domain, act, body)), _KEY, as_json=as_json)


@click.command("rotate")
@click.argument("domain")
@_purpose_option
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
            call(connect, lambda center: center.schedule_key(domain, schedule)), _DUE, as_json=as_json, empty="none"
        )
        return
    ask = RotateRequest(dry_run=True, purpose=purpose, deadline_days=deadline_days)  # type: ignore[arg-type]
    plan = call(connect, lambda center: center.rotate_key(domain, ask))
    if dry_run:
        output.item(plan, _PLAN, as_json=as_json)
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
    output.item(done, _PLAN, as_json=as_json)
    output.hint(f"next: trustcenter keys rotation verify {done.rotation}")


@click.command("rotate-audit")
@click.argument("room", type=click.Choice(("registrar", "comparator")))
@yes_option
@json_option
@connect_option
def rotate_audit(room: str, yes: bool, as_json: bool, connect: Path | None) -> None:
    """Give the log of a room another signing key (operator).

    The old key signs the new one, and the log verifies across. Write the new fingerprint on paper beside the old.
    """
    confirm("The log is signed with a new key from now on.", room, yes=yes)
    done = call(connect, lambda center: center.rotate_audit_key(room))
    output.item(done, ("room", "version", "from_fingerprint", "to_fingerprint"), as_json=as_json)


def _days(text: str) -> int:
    number = text.removesuffix("d")
    if not text.endswith("d") or not number.isascii() or not number.isdigit() or int(number) > 3650:
        raise UsageError_("a schedule is a number of days", code="bad_schedule", hint="--every 365d, at most 3650d")
    return int(number)


@click.command("compromise")
@click.argument("domain")
@_purpose_option
@_version_option(required=True)
@click.option("--reason", required=True, metavar="TEXT", help="Why it is thought; stands in the log. No identifiers.")
@click.option("--since", metavar="YYYY-MM-DD", help="Since when it may be known; without it since it was made.")
@click.option("--report", "target", type=PATH, metavar="FILE", help="Write the report as Markdown.")
@force_option
@_dry_run
@yes_option
@json_option
@connect_option
def compromise(
    domain: str,
    purpose: str,
    version: int,
    reason: str,
    since: str | None,
    target: Path | None,
    force: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """A key leaked: stop issue, open the next, report (operator).

    Issue under the version stops at once, and the next version is opened. The report says what was exposed since when,
    who must translate copies, and what no rotation heals.

    Example:
      trustcenter keys compromise uk-nord --version 1 --reason "backup disk stolen" --since 2026-11-01 --report r.md
    """
    from trustcenter.client.files import replacing, require_writable
    from trustcenter.client.keys import report_text
    from trustcenter.messages.api import KeyCompromise

    if target is not None:
        require_writable(target, force=force)
    if dry_run:
        output.note(f"version {version} would be compromised for good; the next one would be opened and cut over to")
        found = [k for k in call(connect, lambda center: center.keys()) if (k.domain, k.purpose) == (domain, purpose)]
        output.items(found, _KEY, as_json=as_json, empty="no such domain")
        return
    confirm("A compromised version never comes back.", domain, yes=yes)
    body = KeyCompromise(version=version, reason=reason, since=since, purpose=purpose)  # type: ignore[arg-type]
    report = call(connect, lambda center: center.compromise_key(domain, body))
    if target is not None:
        with replacing(target, force=force) as stream:
            stream.write(report_text(report).encode())
    if as_json:
        output.data(report)
    elif target is None:
        click.echo(report_text(report), nl=False)


@click.command("destroy")
@click.argument("domain")
@_purpose_option
@_version_option(required=True)
@_dry_run
@yes_option
@json_option
@connect_option
def destroy(
    domain: str, purpose: str, version: int, dry_run: bool, yes: bool, as_json: bool, connect: Path | None
) -> None:
    """Propose to destroy a key version; two people (operator).

    It must have been deactivated or compromised for the grace period, and a rotation away from it must be finalized.
    Nothing happens until an approver signs. Afterwards nothing that was made under it resolves; nothing but a
    backup of the key store brings it back, and that has to expire as well.
    """
    from trustcenter.messages.api import KeyPropose

    if dry_run:
        found = [
            k
            for k in call(connect, lambda center: center.keys())
            if (k.domain, k.purpose, k.version) == (domain, purpose, version)
        ]
        output.items(found, _KEY, as_json=as_json, empty="no such version")
        return
    confirm(f"Propose: {purpose} key version {version} is destroyed for ever.", domain, yes=yes)
    body = KeyPropose(kind="destroy", domain=domain, purpose=purpose, version=version)  # type: ignore[arg-type]
    made = call(connect, lambda center: center.propose_for_key(body))
    output.item(made, PROPOSAL, as_json=as_json)
    output.hint(f"an approver signs it next: trustcenter keys approve {made.proposal} --key FILE")


@click.command("propose")
@click.argument("kind", type=click.Choice(("finalize", "deliver")))
@click.argument("rotation")
@click.option("--party", metavar="PARTY", help="For deliver: site:NAME or recipient:STUDY/NAME.")
@json_option
@connect_option
def propose(kind: str, rotation: str, party: str | None, as_json: bool, connect: Path | None) -> None:
    """Propose what takes two people in a rotation (operator).

    finalize: a verified rotation whose deadline has passed, without every acknowledgement. deliver: the map of a
    compromised key to a party.
    """
    from trustcenter.messages.api import KeyPropose

    body = KeyPropose(kind=kind, rotation=rotation, party=party)  # type: ignore[arg-type]
    made = call(connect, lambda center: center.propose_for_key(body))
    output.item(made, PROPOSAL, as_json=as_json)
    output.hint(f"an approver signs it next: trustcenter keys approve {made.proposal} --key FILE")


@click.command("approve")
@click.argument("proposal")
@click.option("--key", type=PATH, required=True, metavar="FILE", help="The approver's personal key.")
@click.option("--key-passphrase-file", type=PATH, metavar="FILE", help="File with the passphrase of that key.")
@click.option("--yes", is_flag=True, help="Do not ask after showing the statement.")
@json_option
@connect_option
def approve(
    proposal: str, key: Path, key_passphrase_file: Path | None, yes: bool, as_json: bool, connect: Path | None
) -> None:
    """Sign a proposal; it is carried out at once (approver). What is signed is shown first."""
    from trustcenter.client import keys as jobs

    from .secret_input import personal_key
    from .signing import signer

    sign = signer(personal_key(key, key_passphrase_file), jobs.CONTEXT, yes=yes)
    done = call(connect, lambda center: jobs.approve(center, proposal, sign))
    output.item(done, PROPOSAL, as_json=as_json)
