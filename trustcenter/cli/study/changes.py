"""`trustcenter study changes`: what happened to a released join map, carried to the recipient."""

from __future__ import annotations

from pathlib import Path

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, force_option, json_option
from trustcenter.errors import CommandLineError

_COLUMNS = ("number", "created", "merged", "moved", "withdrawn", "acknowledge", "acknowledged")


@click.command()
@click.argument("study")
@click.option("--recipient", required=True, metavar="NAME", help="The data recipient.")
@click.option("--since", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Only after this one.")
@click.option("-o", "--output", "target", type=PATH, metavar="FILE", help="Write them, sealed, for the recipient.")
@click.option(
    "--acknowledge", "codes", type=PATH, metavar="FILE", help="Hand in the codes that the recipient gave back."
)
@force_option
@json_option
@connect_option
def changes(
    study: str,
    recipient: str,
    since: int,
    target: Path | None,
    codes: Path | None,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """List changes after a release, or fetch them for the recipient (operator).

    Only the recipient can read them: persons that were joined, records that moved, records that were withdrawn. Of
    withdrawals the recipient gives back codes when it has acted on them.

    Examples:
      trustcenter study changes sepsis --recipient registry
      trustcenter study changes sepsis --recipient registry -o changes.sealed
      trustcenter study changes sepsis --recipient registry --acknowledge codes.csv
    """
    from trustcenter.client.study import changes as work
    from trustcenter.messages.api import ChangeCode, ChangesAcknowledge

    if target is not None and codes is not None:
        raise CommandLineError("give --output or --acknowledge")
    if codes is not None:
        said = [ChangeCode(number=number, code=code) for number, code in work.read_codes(codes)]
        call(
            connect,
            lambda center: center.acknowledge_changes(study, ChangesAcknowledge(recipient=recipient, codes=said)),
        )
        output.note(f"{counted(len(said), 'batch is', 'batches are')} acknowledged")
    elif target is not None:
        count = call(connect, lambda center: work.fetch(center, study, recipient, since, target, force=force))
        output.note(f"wrote {counted(count, 'batch')}; only the recipient can open any: trustcenter recipient changes")
    else:
        found = call(connect, lambda center: center.changes(study, recipient, since))
        rows = found.batches
        output.items(rows, _COLUMNS, as_json=as_json, empty="there are no changes to a released join map")
        if sum(b.acknowledge and b.acknowledged is None for b in rows):
            output.hint("withdrawals wait for the recipient: it hands back codes when it has acted on them")
