"""`trustcenter audit`: what needs no service: verification, tables and reports of exported logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import PATH, force_option, json_option, output_option

from .cosign import demanded, witness_options


@click.command("convert")
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
    from trustcenter.client.logs.audit_export import convert as run
    from trustcenter.client.logs.audit_export import format_of

    count = run(bundle, target, format_of(target, form), fingerprint=fingerprint, force=force)
    if as_json:
        output.data({"entries": count})
    output.note(f"{counted(count, 'entry')}, verified on the way")


@click.command("verify")
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
@witness_options
@json_option
def verify(
    bundles: tuple[Path, ...],
    fingerprints: tuple[str, ...],
    checkpoints: tuple[Path, ...],
    witnesses: tuple[str, ...],
    quorum: int | None,
    as_json: bool,
) -> None:
    """Verify exported logs: every entry, the signed head, and that old checkpoints were only extended.

    Needs neither the service nor a secret. Exit code 3 and the first broken entry if something is wrong. Without
    --key the bundle is only as good as the key inside it. With --witness, heads that these sites have cosigned must be
    among the checkpoints, or in the archive: then the sites and you were shown one log.

    Example:
      trustcenter audit verify registrar.bundle --key 3f1c-… --checkpoint registrar-2026-11.checkpoint
      trustcenter audit verify registrar.zip --key 3f1c-… --witness uk-nord.witness --witness uk-sued.witness --quorum 1
    """
    from trustcenter.client.logs.bundles import verify_files

    wanted = demanded(witnesses, quorum)
    reports = verify_files(bundles, fingerprints, checkpoints, witnesses=wanted)
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
                    "separation": report.separation or "not told",
                    "selection": _selection(report.selection),
                    "key": report.fingerprint,
                    "later keys": report.keys[1:],
                    "key compared": "yes" if report.fingerprint_checked else "no",
                    "checkpoints extended": report.checkpoints,
                    "witnesses": [
                        f"{one.name.rpartition('/')[2]}: {counted(one.size, 'entry')}" for one in report.witnesses
                    ],
                    **({f"seen by {wanted.quorum} witnesses": counted(report.agreed, "entry")} if wanted.keys else {}),
                    "details deleted": [
                        f"{one.detail_of} before {one.before} ({one.years} years): {one.details} of {one.entries}"
                        for one in report.deletions
                    ],
                    "verdict": "intact",
                }
            )
    if not fingerprints:
        output.hint("give --key FINGERPRINT: without it anybody could have made this log")


@click.command("report")
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
    help="Re-identification requests as JSON; a reason is shown only if the log holds the hash of its statement."
    " An archive made with --with-statements needs none.",
)
@witness_options
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
    witnesses: tuple[str, ...],
    quorum: int | None,
    force: bool,
) -> None:
    """Write a page for people from verified logs: one bundle per room. Offline; there is no report of a broken log.

    Example:
      trustcenter audit report registrar.bundle comparator.bundle --study hips --language de -o hips.html --key 3f1c-…
    """
    from trustcenter.client.files import replacing, require_writable
    from trustcenter.client.logs.audit_export import moment
    from trustcenter.client.logs.audit_findings import collect, read_reasons
    from trustcenter.client.logs.audit_report import page

    require_writable(target, sources=bundles, force=force)
    wanted = demanded(witnesses, quorum)
    found = collect(bundles, fingerprints, checkpoints, wanted, study=study, since=moment(since), until=moment(until))
    if reasons is not None:
        output.note(f"{found.give_reasons(read_reasons(reasons))} reasons fit the log")
    with replacing(target, force=force) as stream:
        stream.write(page(found, language).encode())
    output.note("wrote the page; every bundle was verified on the way")
    if not fingerprints:
        output.hint("give --key FINGERPRINT: without it anybody could have made this log")


def _selection(selection: dict[str, Any] | None) -> str:
    if not selection:
        return "everything"
    return ", ".join(
        f"{word} {value if isinstance(value, str) else ' '.join(value)}" for word, value in selection.items()
    )
