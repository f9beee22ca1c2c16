"""`trustcenter audit`: export, and verification without a service."""

from __future__ import annotations

from pathlib import Path

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, force_option, json_option, output_option

from . import cosign, decisions, offline, retention

_ROOM = click.Choice(["registrar", "comparator"])


@click.group()
def audit() -> None:
    """Export the audit log, and verify it offline."""


for _command in (
    decisions.propose,
    decisions.approve,
    decisions.decisions,
    decisions.check,
    retention.retention,
    retention.approve_retention,
    retention.delete_details,
    cosign.witness_key,
    cosign.cosign,
    cosign.cosigned,
    offline.verify,
    offline.convert,
    offline.report,
):
    audit.add_command(_command)


@audit.command("export")
@click.argument("room", type=_ROOM)
@output_option("Where the export goes.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["bundle", "archive", "ndjson", "csv", "parquet", "fhir"]),
    help="Default: by the name (.zip, .csv, .parquet), otherwise a bundle.",
)
@click.option("--from", "since", metavar="TIME", help="First moment, such as 2026-11-01 or 2026-11-01T08:00:00Z.")
@click.option("--to", "until", metavar="TIME", help="First moment that is no longer wanted.")
@click.option("--site", default="", metavar="SITE", help="Entries by or about this site and its domains.")
@click.option("--study", default="", metavar="STUDY", help="Entries about this study and its domains.")
@click.option("--event", "events", multiple=True, metavar="EVENT", help="This event, such as site:pseudonym:issue.")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="An older checkpoint that the extract will be held against; repeat.",
)
@click.option(
    "--with-statements",
    "statements",
    is_flag=True,
    help="Put the signed statements of re-identifications and disclosures, with their reasons, into the archive.",
)
@force_option
@json_option
@connect_option
def export(
    room: str,
    target: Path,
    form: str | None,
    since: str | None,
    until: str | None,
    site: str,
    study: str,
    events: tuple[str, ...],
    checkpoints: tuple[Path, ...],
    statements: bool,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Export the log of a room, or chosen entries of it (auditor).

    A bundle can be verified by whoever has the key's fingerprint; an archive holds the single-file verifier as well.
    With a choice the bundle proves the entries that it holds. Tables (ndjson, csv, parquet, fhir) are made of verified
    entries and prove nothing themselves.

    Example:
      trustcenter audit export registrar -o registrar.bundle --connect auditor.toml
      trustcenter audit export registrar -o registrar.zip --with-statements --connect auditor.toml
      trustcenter audit export registrar -o 2026.csv --from 2026-01-01 --to 2027-01-01 --event site:pseudonym:reidentify
    """
    from trustcenter.client.logs.audit_export import export_log, format_of, moment, through
    from trustcenter.messages import api

    wanted = None
    if since or until or site or study or events:
        wanted = api.LogExtract(
            since=moment(since),
            until=moment(until),
            site=site,
            study=study,
            events=list(events),
            through=through(checkpoints),
        )
    chosen = format_of(target, form)
    count = call(
        connect,
        lambda center: export_log(center, room, target, form=chosen, wanted=wanted, statements=statements, force=force),
    )
    if as_json:
        output.data({"room": room, "format": chosen, "lines": count})
    if chosen in ("bundle", "archive"):
        output.note(f"{counted(count, 'line')}; check them with: trustcenter audit verify {target} --key FINGERPRINT")
    else:
        output.note(f"{counted(count, 'entry')}, verified on the way; keep a bundle as well: a table proves nothing")


@audit.command("proof")
@click.argument("room", type=_ROOM)
@click.argument("index", type=click.IntRange(0))
@click.option(
    "--key", "fingerprint", metavar="FINGERPRINT", help="Fingerprint of the log's key, from your own records."
)
@json_option
@connect_option
def proof(room: str, index: int, fingerprint: str | None, as_json: bool, connect: Path | None) -> None:
    """Ask for the proof that an entry is in the log, and check it.

    The leaf hash is to be compared with that of the entry in an export or a table.

    Example:
      trustcenter audit proof registrar 1041 --connect uk-nord.toml
    """
    from trustcenter.client.logs.audit_proofs import prove

    found = call(connect, lambda center: prove(center, room, index, fingerprint))
    if as_json:
        output.data(found)
    else:
        output.fields({"entry": found.index, "leaf hash": found.leaf_hash, "log of": found.size, "verdict": "included"})


@audit.command("checkpoint")
@click.argument("room", type=_ROOM)
@json_option
@connect_option
def checkpoint(room: str, as_json: bool, connect: Path | None) -> None:
    """Print the signed head of a room's log. Keep it: later logs must extend it.

    Example:
      trustcenter audit checkpoint registrar > registrar-2026-11.checkpoint
    """
    text = call(connect, lambda center: center.audit_checkpoint(room))
    if as_json:
        output.data({"room": room, "checkpoint": text})
    else:
        click.echo("\n".join(output.plain(line) for line in text.split("\n")), nl=False)
