"""`trustcenter audit`: the decisions of a linkage run, under dual control."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import (
    PATH,
    approval_options,
    call,
    connect_option,
    force_option,
    json_option,
    output_option,
)

_SHOWN = ("disclosure", "study", "run", "proposed_by", "approved_by", "created")


@click.command("propose-decisions")
@click.argument("study")
@click.argument("run")
@click.option(
    "--reason", required=True, metavar="TEXT", help="What the decisions are needed for; an approver reads it."
)
@json_option
@connect_option
def propose(study: str, run: str, reason: str, as_json: bool, connect: Path | None) -> None:
    """Ask for the decisions of a linkage run (auditor).

    Example:
      trustcenter audit propose-decisions hips 4f1c… --reason "complaint 12: who was joined" --connect auditor.toml
    """
    made = call(connect, lambda center: center.propose_decisions(study, run, reason))
    output.item(made, _SHOWN, as_json=as_json)
    output.note(f"an approver signs it next: trustcenter audit approve-decisions {made.disclosure} --personal-key FILE")


@click.command("approve-decisions")
@click.argument("disclosure")
@approval_options
@json_option
@connect_option
def approve(
    disclosure: str, key: Path, key_passphrase_file: Path | None, yes: bool, as_json: bool, connect: Path | None
) -> None:
    """Let an auditor read the decisions of a run (approver). What is signed is shown first.

    Example:
      trustcenter audit approve-decisions 9b2e… --key bert.key --connect bert.toml
    """
    from trustcenter.cli.secret_input import personal_key
    from trustcenter.cli.signing import signer
    from trustcenter.client.logs.audit_decisions import CONTEXT
    from trustcenter.client.logs.audit_decisions import approve as run

    sign = signer(personal_key(key, key_passphrase_file), CONTEXT, yes=yes)
    output.item(call(connect, lambda center: run(center, disclosure, sign)), _SHOWN, as_json=as_json)


@click.command("decisions")
@click.argument("disclosure")
@output_option("Where the decisions go, one a line.")
@force_option
@connect_option
def decisions(disclosure: str, target: Path, force: bool, connect: Path | None) -> None:
    """Fetch the decisions that an approver has signed for (auditor).

    The file says which records of different sites were taken for one person: keep it as you would keep the join map.

    Example:
      trustcenter audit decisions 9b2e… -o decisions.ndjson --connect auditor.toml
    """
    from trustcenter.client.logs.audit_decisions import fetch

    count = call(connect, lambda center: fetch(center, disclosure, target, force=force))
    output.note(f"{count} decisions; check them with: trustcenter audit check-decisions FILE BUNDLE")


@click.command("check-decisions")
@click.argument("decisions_file", metavar="DECISIONS", type=PATH)
@click.argument("bundles", metavar="BUNDLE...", type=PATH, nargs=-1, required=True)
@click.option("--key", "fingerprints", multiple=True, metavar="FINGERPRINT", help="Fingerprint of the log's key.")
@json_option
def check(decisions_file: Path, bundles: tuple[Path, ...], fingerprints: tuple[str, ...], as_json: bool) -> None:
    """Hold the decisions of a run against the registrar's log, offline. Exit code 3 if they do not fit.

    Example:
      trustcenter audit check-decisions decisions.ndjson registrar.bundle --key 3f1c-…
    """
    from trustcenter.client.logs.audit_decisions import check as run

    output.item(run(decisions_file, bundles, fingerprints), ("study", "run", "decisions", "erased"), as_json=as_json)
