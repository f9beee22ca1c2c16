"""`trustcenter keys compromise`: a key leaked."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, confirm, connect_option, force_option, json_option
from trustcenter.errors import UsageError

from .options import PURPOSES, ROOMS, dry_run_option, version_option, yes_option
from .rotate import target as require_target


@click.command("compromise")
@click.argument("domain", required=False)
@click.option("--room", type=click.Choice(ROOMS), help="In the place of a domain: a room's own keys.")
@click.option("--purpose", type=click.Choice(PURPOSES), help="Which key of a domain; pseudonym unless named.")
@version_option()
@click.option("--reason", required=True, metavar="TEXT", help="Why it is thought; stands in the log. No identifiers.")
@click.option("--since", metavar="YYYY-MM-DD", help="Since when it may be known; without it since it was made.")
@click.option("--report", "target", type=PATH, metavar="FILE", help="Write the report as Markdown.")
@force_option
@dry_run_option
@yes_option
@json_option
@connect_option
def compromise(
    domain: str | None,
    room: str | None,
    purpose: str | None,
    version: int | None,
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

    Of a domain: issue under the version stops at once, and the next version is opened. Of a room: its log, key states
    or receipts are signed with the next keys at once. The report says what was exposed since when, who must translate
    copies, and what no rotation heals.

    Examples:
      trustcenter keys compromise uk-nord --version 1 --reason "backup disk stolen" --since 2026-11-01 --report r.md
      trustcenter keys compromise --room registrar --reason "backup disk stolen" --report r.md
    """
    from trustcenter.client.files import replacing, require_writable
    from trustcenter.client.keys import report_text
    from trustcenter.messages.api.keys import KeyCompromise, RoomKeyCompromise

    require_target(domain, room)
    if (domain is not None) == (version is None) or (room is not None and purpose is not None):
        raise UsageError(
            "of a domain a version is named, of a room neither version nor purpose",
            code="bad_purpose",
            hint="trustcenter keys list shows the versions",
        )
    if target is not None and not dry_run:
        require_writable(target, force=force)
    name = domain or room or ""
    if not dry_run:
        confirm("A compromised version never comes back.", name, yes=yes)
    if domain is not None:
        body = KeyCompromise(
            version=version,  # type: ignore[arg-type]
            reason=reason,
            since=since,
            purpose=purpose or "pseudonym",  # type: ignore[arg-type]
            dry_run=dry_run,
        )
        report = call(connect, lambda center: center.compromise_key(name, body))
    else:
        leaked = RoomKeyCompromise(reason=reason, since=since, dry_run=dry_run)
        report = call(connect, lambda center: center.compromise_room_keys(name, leaked))
    if dry_run:
        output.note("nothing was changed; this would be reported:")
    elif target is not None:
        with replacing(target, force=force) as stream:
            stream.write(report_text(report).encode())
    if as_json:
        output.data(report)
    elif target is None or dry_run:
        click.echo(report_text(report), nl=False)
    else:
        output.note(f"version {report.version} is compromised; the report, with what comes next, is in {target}")
