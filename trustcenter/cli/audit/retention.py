"""`trustcenter audit`: for how long details of entries are kept, and deleting what is due."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustcenter.cli import output
from trustcenter.cli.options import approval_options, call, connect_option, json_option
from trustcenter.errors import CommandLineError

if TYPE_CHECKING:
    from trustcenter.messages.api import RetentionRules


@click.command("retention")
@click.argument("event", required=False)
@click.option("--years", type=click.IntRange(1, 100), help="Keep the details of EVENT's entries for that long.")
@json_option
@connect_option
def retention(event: str | None, years: int | None, as_json: bool, connect: Path | None) -> None:
    """Show for how long details of entries are kept, or set it for an event (operator).

    Entries stay for ever and hold nobody's identity; what goes are the details that they commit to: reasons, decisions,
    and the salts by which an entry is known to be about somebody. A rule that was set, or changed, is in force after
    30 days; it and every deletion are in the log, and `audit verify` says whether what went was allowed to go.

    Without a rule details are kept for ever. The first rule of an event, and one of fewer years, is only proposed:
    an approver signs it with `audit approve-retention`. More years are set at once.

    Examples:
      trustcenter audit retention
      trustcenter audit retention site:pseudonym:reidentify --years 10
    """
    if (event is None) != (years is None):
        raise CommandLineError("an event and its years go together", hint="trustcenter audit retention EVENT --years N")
    if event is None or years is None:
        found = call(connect, lambda center: center.retention())
    else:
        name, number = event, years
        found = call(connect, lambda center: center.set_retention(name, number))
    _show(found, as_json=as_json)
    if event is not None and any(rule.event == event and rule.proposed for rule in found.rules):
        output.note(f"an approver signs it next: trustcenter audit approve-retention {event} --personal-key FILE")


@click.command("approve-retention")
@click.argument("event")
@approval_options
@json_option
@connect_option
def approve_retention(
    event: str, key: Path, key_passphrase_file: Path | None, yes: bool, as_json: bool, connect: Path | None
) -> None:
    """Sign the rule that an operator proposed for an event (approver): its details go sooner than before.

    What is signed is shown first. The rule is in force after 30 days, until which an operator may set more years again.

    Example:
      trustcenter audit approve-retention site:pseudonym:reidentify --personal-key anna.key --connect anna.toml
    """
    from trustcenter.cli.secret_input import personal_key
    from trustcenter.cli.signing import signer
    from trustcenter.client.operator import approve_retention as run
    from trustcenter.messages.api.audit import RETENTION_CONTEXT

    sign = signer(personal_key(key, key_passphrase_file), RETENTION_CONTEXT, yes=yes)
    _show(call(connect, lambda center: run(center, event, sign)), as_json=as_json)


@click.command("delete-details")
@json_option
@connect_option
def delete_details(as_json: bool, connect: Path | None) -> None:
    """Delete the details that the rules in force no longer keep (operator). Best once a month, by a timer.

    Decisions of a run are kept as long as a study goes on that builds on them.

    Example:
      trustcenter audit delete-details --connect operator.toml
    """
    _show(call(connect, lambda center: center.delete_details()), as_json=as_json)


def _show(found: RetentionRules, *, as_json: bool) -> None:
    if as_json:
        output.data(found)
        return
    rows = [
        (
            rule.event,
            rule.years or "for ever",
            rule.in_force,
            rule.deleted_before,
            f"{rule.proposed} years" if rule.proposed else "",
            rule.details,
        )
        for rule in found.rules
    ]
    output.table(rows, ("event", "years", "in force from", "deleted before", "proposed", "details"))
