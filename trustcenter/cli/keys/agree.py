"""`trustcenter keys propose` and `approve`: what takes two people."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import approval_options, call, connect_option, json_option
from trustcenter.errors import UsageError

from .options import PROPOSAL

LISTED = tuple(name for name in PROPOSAL if name not in ("approved_by", "approved"))


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

    if (kind == "deliver") != (party is not None):
        raise UsageError(
            "deliver names the party that gets the map, finalize names none",
            code="party_needed",
            hint=f"trustcenter keys rotation show {output.plain(rotation)} names the parties",
            where="--party",
        )
    body = KeyPropose(kind=kind, rotation=rotation, party=party)  # type: ignore[arg-type]
    made = call(connect, lambda center: center.propose_for_key(body))
    output.item(made, PROPOSAL, as_json=as_json)
    output.hint(f"an approver signs it next: trustcenter keys approve {made.proposal} --personal-key FILE")


@click.command("proposals")
@click.option("--all", "everything", is_flag=True, help="Those that were approved or are over, too.")
@json_option
@connect_option
def proposals(everything: bool, as_json: bool, connect: Path | None) -> None:
    """List what waits for a second person (operator, approver): destroy, finalize, deliver."""
    known = call(connect, lambda center: center.key_proposals())
    waiting = [one for one in known if one.approved is None and not one.over]
    columns = (*LISTED, "approved_by", "over") if everything else LISTED
    output.items(known if everything else waiting, columns, as_json=as_json, empty="nothing waits for a second person")
    if waiting:
        output.hint("an approver signs one: trustcenter keys approve PROPOSAL --personal-key FILE")


@click.command("approve")
@click.argument("proposal")
@approval_options
@json_option
@connect_option
def approve(
    proposal: str, key: Path, key_passphrase_file: Path | None, yes: bool, as_json: bool, connect: Path | None
) -> None:
    """Sign a proposal; it is carried out at once (approver). What is signed is shown first."""
    from trustcenter.cli.secret_input import personal_key
    from trustcenter.cli.signing import signer
    from trustcenter.client import keys as jobs

    sign = signer(personal_key(key, key_passphrase_file), jobs.CONTEXT, yes=yes)
    done = call(connect, lambda center: jobs.approve(center, proposal, sign))
    output.item(done, PROPOSAL, as_json=as_json)
    if done.kind == "deliver":
        output.hint(f"next: trustcenter keys rotation map {done.rotation} --party {done.party} -o FILE (operator)")
