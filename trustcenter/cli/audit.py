"""`trustcenter audit`: export, and verification without a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import audit_decisions, output
from .options import PATH, call, connect_option, force_option, json_option, output_option

_ROOM = click.Choice(["registrar", "comparator"])


@click.group()
def audit() -> None:
    """Export the audit log, and verify it offline."""


for _command in (
    audit_decisions.propose,
    audit_decisions.approve,
    audit_decisions.decisions,
    audit_decisions.check,
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
      trustcenter audit export registrar -o 2026.csv --from 2026-01-01 --to 2027-01-01 --event site:pseudonym:reidentify
    """
    from trustcenter.client.audit_export import export_log, format_of, moment, through
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
    count = call(connect, lambda center: export_log(center, room, target, form=chosen, wanted=wanted, force=force))
    if as_json:
        output.data({"room": room, "format": chosen, "lines": count})
    if chosen in ("bundle", "archive"):
        output.note(f"{count} lines; check them with: trustcenter audit verify")
    else:
        output.note(f"{count} entries, verified on the way; keep a bundle as well: a table proves nothing")


@audit.command("convert")
@click.argument("bundle", type=PATH)
@output_option("Where the table goes.")
@click.option("--format", "form", type=click.Choice(["ndjson", "csv", "parquet", "fhir"]), help="Default: by the name.")
@click.option(
    "--key", "fingerprint", metavar="FINGERPRINT", help="Fingerprint of the log's key, from your own records."
)
@force_option
@json_option
def convert(bundle: Path, target: Path, form: str | None, fingerprint: str | None, force: bool, as_json: bool) -> None:
    """Make a table of a bundle, offline; the bundle is verified on the way.

    Example:
      trustcenter audit convert registrar.bundle -o registrar.parquet --key 3f1c-…
    """
    from trustcenter.client.audit_export import convert as run
    from trustcenter.client.audit_export import format_of

    count = run(bundle, target, format_of(target, form), fingerprint=fingerprint, force=force)
    if as_json:
        output.data({"entries": count})
    output.note(f"{count} entries")


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
    from trustcenter.client.audit_proofs import prove

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


@audit.command("verify")
@click.argument("bundles", metavar="BUNDLE...", type=PATH, nargs=-1, required=True)
@click.option(
    "--key",
    "fingerprints",
    multiple=True,
    metavar="FINGERPRINT",
    help="Fingerprint of the log's key, from your own records.",
)
@click.option(
    "--checkpoint", "checkpoints", multiple=True, type=PATH, metavar="FILE", help="An older checkpoint; repeat."
)
@json_option
def verify(
    bundles: tuple[Path, ...], fingerprints: tuple[str, ...], checkpoints: tuple[Path, ...], as_json: bool
) -> None:
    """Verify exported logs: every entry, the signed head, and that old checkpoints were only extended.

    Needs neither the service nor a secret. Exit code 3 and the first broken entry if something is wrong. Without
    --key the bundle is only as good as the key inside it.

    Example:
      trustcenter audit verify registrar.bundle --key 3f1c-… --checkpoint registrar-2026-11.checkpoint
    """
    from trustcenter.client.bundles import verify_files

    reports = verify_files(bundles, fingerprints, checkpoints)
    if as_json:
        output.data([report for _, report in reports])
    else:
        for path, report in reports:
            output.fields(
                {
                    "bundle": path.name,
                    "origin": report.origin,
                    "entries": f"{report.entries} of {report.size}" if report.selection else report.size,
                    "from": report.first_time,
                    "to": report.last_time,
                    "root": report.root,
                    "selection": _selection(report.selection),
                    "key": report.fingerprint,
                    "later keys": report.keys[1:],
                    "key compared": "yes" if report.fingerprint_checked else "no",
                    "checkpoints extended": report.checkpoints,
                    "verdict": "intact",
                }
            )
    if not fingerprints:
        output.hint("give --key FINGERPRINT: without it anybody could have made this log")


@audit.command("report")
@click.argument("bundles", metavar="BUNDLE...", type=PATH, nargs=-1, required=True)
@output_option("Where the page goes (HTML).")
@click.option("--key", "fingerprints", multiple=True, metavar="FINGERPRINT", help="Fingerprint of a log's key; repeat.")
@click.option(
    "--checkpoint", "checkpoints", multiple=True, type=PATH, metavar="FILE", help="An older checkpoint; repeat."
)
@click.option("--study", default="", metavar="STUDY", help="Only this study.")
@click.option("--from", "since", metavar="TIME", help="First moment, such as 2026-01-01.")
@click.option("--to", "until", metavar="TIME", help="First moment that no longer counts.")
@click.option(
    "--language",
    type=click.Choice(["de", "en"]),
    default="en",
    show_default=True,
    help="Of the page: German or English.",
)
@click.option(
    "--reasons",
    type=PATH,
    metavar="FILE",
    help="Re-identification requests as JSON; a reason is shown only if the log holds the hash of its statement.",
)
@force_option
def report(
    bundles: tuple[Path, ...],
    target: Path,
    fingerprints: tuple[str, ...],
    checkpoints: tuple[Path, ...],
    study: str,
    since: str | None,
    until: str | None,
    language: str,
    reasons: Path | None,
    force: bool,
) -> None:
    """Write a page for people from verified logs: one bundle per room. Offline; there is no report of a broken log.

    Example:
      trustcenter audit report registrar.bundle comparator.bundle --study hips --language de -o hips.html --key 3f1c-…
    """
    from trustcenter.client.audit_export import moment
    from trustcenter.client.audit_findings import collect, read_reasons
    from trustcenter.client.audit_report import page
    from trustcenter.client.files import replacing, require_writable

    require_writable(target, sources=bundles, force=force)
    found = collect(bundles, fingerprints, checkpoints, study=study, since=moment(since), until=moment(until))
    if reasons is not None:
        output.note(f"{found.give_reasons(read_reasons(reasons))} reasons fit the log")
    with replacing(target, force=force) as stream:
        stream.write(page(found, language).encode())
    if not fingerprints:
        output.hint("give --key FINGERPRINT: without it anybody could have made this log")


def _selection(selection: dict[str, Any] | None) -> str:
    if not selection:
        return "everything"
    return ", ".join(
        f"{word} {value if isinstance(value, str) else ' '.join(value)}" for word, value in selection.items()
    )
