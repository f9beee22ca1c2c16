"""`trustcenter consent`: which policies there are, what persons have permitted, and the answer whether it is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from trustcenter.errors import CommandLineError

from . import output
from .options import PATH, F, call, connect_option, force_option, json_option, output_option, separator
from .progress import progress

if TYPE_CHECKING:
    from trustcenter.client.jobs.consentfile import Sent, Whose

_SHOWN = 20  # failed rows named one by one
_EFFECTS = {
    "changed": "consent is another one than before",
    "newly_withdrawn": "of them withdrawn now",
    "removed": "pseudonyms that lead to nobody any more",
}


def _whose_options(command: F) -> F:
    for option in (
        click.option("--domain", metavar="DOMAIN", help="Domain of the persons."),
        click.option("--study", metavar="STUDY", help="Instead of a domain: own records of a study."),
        click.option("--site-key", type=PATH, metavar="FILE", help="With --study: turns ids into record numbers."),
        click.option("--delimiter", metavar="CHAR", help="Separator; found from the header if not given."),
        click.option(
            "--encoding",
            type=click.Choice(["utf-8", "latin-1", "cp1252"]),
            default="utf-8",
            show_default=True,
            help="Charset of the input; never guessed.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def consent() -> None:
    """Consent: policies, what sites send, and whether it is there.

    Only domains and studies that were made with --consent ask for consent and store any.
    """


@consent.command("policies")
@json_option
def policies(as_json: bool) -> None:
    """List the policies of the MII code system; needs no service.

    Example:
      trustcenter consent policies
    """
    from trustcenter.messages.consent import code_system

    system = code_system()
    if as_json:
        output.data(
            [
                {
                    "number": one.number,
                    "code": one.code,
                    "name": one.name,
                    "display": one.display,
                    "parent": one.parent,
                    "years": one.years,
                }
                for one in system.policies.values()
            ]
        )
        return
    output.table(
        ([one.number, one.name, one.parent, one.years] for one in system.policies.values()),
        ("number", "name", "group", "years"),
    )
    output.note(system.source)


@consent.command("send")
@click.argument("source", metavar="INPUT", type=PATH)
@click.option(
    "--column", metavar="COLUMN", help="Column with the originals; others: date, policy, permit, from, until."
)
@_whose_options
@click.option("--fhir", is_flag=True, help="INPUT is NDJSON: one FHIR R4 Consent per line.")
@click.option(
    "--patient",
    type=click.Choice(["identifier", "reference"]),
    default="identifier",
    show_default=True,
    help="With --fhir: the original is patient.identifier.value, or the id in patient.reference.",
)
@json_option
@connect_option
def send(
    source: Path,
    column: str | None,
    fhir: bool,
    patient: Literal["identifier", "reference"],
    as_json: bool,
    connect: Path | None,
    delimiter: str | None,
    encoding: str,
    **whose: Any,
) -> None:
    """Send what persons have permitted or denied (site).

    A CSV file has a row per person and policy: the column with the originals, "date" of the document, "policy" (OID,
    number or name), and if it has them "permit" (permit or deny), "from", "until" and "document" (its version). The
    order of files and rows does not matter, and none can be sent too often. Of FHIR resources nothing leaves the site
    but the original, dates, policies and the version of the document.

    Examples:
      trustcenter consent send consents.csv --column pid --domain uk-nord
      trustcenter consent send consents.ndjson --fhir --patient reference --domain uk-nord
      trustcenter consent send consents.csv --column pid --study sepsis --site-key site.key
    """
    from trustcenter.client.jobs.consentfile import Columns, send_csv, send_fhir

    chosen = _whose(**whose)
    if fhir == (column is not None):
        raise CommandLineError("consent send needs --column for CSV, or --fhir for FHIR resources")
    with progress("sending") as tick:
        if column is None:
            done = call(connect, lambda center: send_fhir(center, chosen, source, patient, tick))
        else:
            table = {"delimiter": separator(delimiter), "encoding": encoding}
            done = call(
                connect,
                lambda center: send_csv(center, chosen, source, Columns(column), progress=tick, **table),  # type: ignore[arg-type]
            )
    _say(done, as_json, "line" if fhir else "row")


@consent.command("withdraw")
@click.argument("source", metavar="INPUT", type=PATH)
@click.option("--column", required=True, metavar="COLUMN", help="Column with the originals.")
@click.option("--date", required=True, metavar="YYYY-MM-DD", help="Day of the withdrawal.")
@click.option("--policy", "some", multiple=True, metavar="POLICY", help="Withdraw this policy only; repeat.")
@_whose_options
@json_option
@connect_option
def withdraw(
    source: Path,
    column: str,
    date: str,
    some: tuple[str, ...],
    as_json: bool,
    connect: Path | None,
    delimiter: str | None,
    encoding: str,
    **whose: Any,
) -> None:
    """Withdraw everything, or some policies, for every person of a file (site).

    Whoever then lacks a required policy loses the mapping, in a study the record and its rows as well, and is blocked
    until a newer consent comes. In a study everything can be withdrawn also where it requires no consent.

    Examples:
      trustcenter consent withdraw withdrawn.csv --column pid --date 2026-11-24 --domain uk-nord
      trustcenter consent withdraw gone.csv --column pid --date 2026-11-24 --study sepsis --site-key site.key
    """
    from trustcenter.client.jobs.consentfile import withdraw_csv

    chosen = _whose(**whose)
    with progress("sending") as tick:
        done = call(
            connect,
            lambda center: withdraw_csv(
                center,
                chosen,
                source,
                column,
                date,
                some,
                delimiter=separator(delimiter),
                encoding=encoding,
                progress=tick,
            ),
        )
    _say(done, as_json, "row")


@consent.command("query")
@click.argument("source", metavar="INPUT", type=PATH)
@click.option("--column", required=True, metavar="COLUMN", help="Column with the originals or pseudonyms.")
@click.option("--pseudonyms", is_flag=True, help="The column has pseudonyms.")
@click.option("--all", "whole", is_flag=True, help="Every policy that is known, not only those that are required.")
@_whose_options
@output_option("CSV with a row per person and policy; appears only when it is complete.")
@force_option
@json_option
@connect_option
def query(
    source: Path,
    column: str,
    pseudonyms: bool,
    whole: bool,
    target: Path,
    force: bool,
    as_json: bool,
    connect: Path | None,
    delimiter: str | None,
    encoding: str,
    **whose: Any,
) -> None:
    """Whether consent is there, for what, and since when (site, steward).

    Example:
      trustcenter consent query patients.csv --column pid --domain uk-nord -o status.csv
    """
    from trustcenter.client.jobs.consentquery import query_csv

    chosen = _whose(**whose, by_pseudonym=pseudonyms)
    with progress("asking") as tick:
        done = call(
            connect,
            lambda center: query_csv(
                center,
                chosen,
                source,
                column,
                target,
                pseudonyms=pseudonyms,
                policies="all" if whole else "required",
                delimiter=separator(delimiter),
                encoding=encoding,
                force=force,
                progress=tick,
            ),
        )
    _say(done, as_json, "row")


def _whose(domain: str | None, study: str | None, site_key: Path | None, *, by_pseudonym: bool = False) -> Whose:
    from trustcenter.client.jobs.consentfile import Whose

    if (domain is None) == (study is None):
        raise CommandLineError(
            "name either a domain or a study", hint="--domain DOMAIN, or --study STUDY with --site-key"
        )
    needs_key = study is not None and not by_pseudonym
    if (site_key is not None) != needs_key:
        raise CommandLineError("the site key goes with --study, and only where ids have to become record numbers")
    key = None
    if site_key is not None:
        from keys.secretfiles import SiteKey

        key = SiteKey.load(site_key).material
    return Whose(domain, study, key)


def _say(done: Sent, as_json: bool, unit: str) -> None:
    from trustcenter.client.errors import LocalFileError

    for row, code, _ in done.failed[:_SHOWN]:
        output.note(f"{unit} {row}: {output.plain(code)}")
    if len(done.failed) > _SHOWN:
        output.note(f"and {len(done.failed) - _SHOWN} more {unit}s")
    if as_json:
        output.data(
            {
                "items": done.items,
                **{name: done.counts[name] for name in sorted(done.counts)},
                "failed": [{"row": row, "code": code} for row, code, _ in done.failed],
            }
        )
    states = {name: n for name, n in sorted(done.counts.items()) if n and name not in _EFFECTS}
    output.note(f"{done.items} taken" + "".join(f", {n} {name.replace('_', ' ')}" for name, n in states.items()))
    for name, words in _EFFECTS.items():
        if done.counts[name]:
            output.note(f"{words}: {done.counts[name]}")
    if done.failed:
        raise LocalFileError(
            f"{len(done.failed)} of {done.items} items were not served; the others were",
            code="items_failed",
            hint="correct them and give the command again: what was taken already does no harm",
        )
