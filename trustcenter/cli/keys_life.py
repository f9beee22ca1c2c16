"""`trustcenter keys create`, `activate`, `suspend`, `deactivate`, `compromise`, `destroy`: single steps of a key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import output
from .keys_options import KEY, PLAN, PROPOSAL, dry_run_option, purpose_option, version_option, yes_option
from .options import PATH, F, call, confirm, connect_option, force_option, json_option

if TYPE_CHECKING:
    from trustcenter.client.keys import Act


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
    output.item(call(connect, lambda center: center.rotate_key(domain, body)), PLAN, as_json=as_json)


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

    if dry_run:
        found = [k for k in call(connect, lambda center: center.keys()) if (k.domain, k.purpose) == (domain, purpose)]
        output.note(f"{act} would be asked for: {question}")
        output.items(found, KEY, as_json=as_json, empty="no such domain")
        return
    confirm(question, domain, yes=yes)
    body = KeyAct(purpose=purpose, version=version)  # type: ignore[arg-type]
    output.item(call(connect, lambda center: center.key_act(domain, act, body)), KEY, as_json=as_json)


@click.command("compromise")
@click.argument("domain")
@purpose_option
@version_option(required=True)
@click.option("--reason", required=True, metavar="TEXT", help="Why it is thought; stands in the log. No identifiers.")
@click.option("--since", metavar="YYYY-MM-DD", help="Since when it may be known; without it since it was made.")
@click.option("--report", "target", type=PATH, metavar="FILE", help="Write the report as Markdown.")
@force_option
@dry_run_option
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
        output.items(found, KEY, as_json=as_json, empty="no such domain")
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
    else:
        output.note(f"version {version} is compromised; the report, with what comes next, is in {target}")


@click.command("destroy")
@click.argument("domain")
@purpose_option
@version_option(required=True)
@dry_run_option
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
        output.items(found, KEY, as_json=as_json, empty="no such version")
        return
    confirm(f"Propose: {purpose} key version {version} is destroyed for ever.", domain, yes=yes)
    body = KeyPropose(kind="destroy", domain=domain, purpose=purpose, version=version)  # type: ignore[arg-type]
    made = call(connect, lambda center: center.propose_for_key(body))
    output.item(made, PROPOSAL, as_json=as_json)
    output.hint(f"an approver signs it next: trustcenter keys approve {made.proposal} --personal-key FILE")
