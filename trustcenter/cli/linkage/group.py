"""`trustcenter linkage`: record linkage without a service, a connection or an account."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, json_option
from trustcenter.errors import CommandLineError

from .calibrate import calibrate
from .chunks import chunk, plan
from .cluster import cluster
from .evaluate import evaluate
from .explain import explain
from .index import index
from .match import match
from .quality import check, dedupe
from .site_key import site_key
from .source import encode, synth


@click.group()
def linkage() -> None:
    r"""Record linkage without a service.

    One site makes a study secret and hands it to the others; each makes a site key of its own, encodes its
    patients, and sends the rows to one party and the map to another; the two together match.

    Example:
      trustcenter linkage synth demo/ --site north=1000 --site south=800
      trustcenter linkage check demo/north.csv --schema de-person/1 --id-column id --html north.html
      trustcenter linkage secret --study demo -o study.secret
      trustcenter linkage secret --site-key -o north.key
      trustcenter linkage encode demo/north.csv --schema de-person/1 --id-column id \
        --study-secret study.secret --site-key north.key -o north/
      trustcenter linkage match north/ south/ -o joined/
      trustcenter linkage evaluate joined/ --truth demo/truth.csv
    """


@linkage.group()
def schema() -> None:
    """Linkage schemas: which fields, how they are normalised, which passes."""


@schema.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the schemas that ship with the program."""
    from linkage.schema import load, shipped

    found = [load(name) for name in shipped()]
    if as_json:
        output.data(
            [{"name": s.name, "profile": s.profile, "passes": s.P, "fingerprint": s.fingerprint} for s in found]
        )
        return
    output.table(
        ([s.name, s.profile, s.P, ", ".join(f.name for f in s.fields)] for s in found),
        ("name", "profile", "passes", "fields"),
    )


@schema.command("show")
@click.argument("name", metavar="NAME|FILE")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a schema; with --json the file itself, to start one of your own from."""
    from linkage.schema import load

    found = load(name)
    if as_json:
        output.data(found)
        return
    output.fields(
        {
            "name": found.name,
            "profile": found.profile,
            "rules": found.rules,
            "phonetics": found.phonetics,
            "levels": found.levels,
            "fingerprint": found.fingerprint,
        }
    )
    click.echo()
    output.table(([f.name, f.kind, f.grams, f.k] for f in found.fields), ("field", "kind", "grams", "k"))
    click.echo()
    output.table(
        ([p.name, " + ".join(p.parts), p.values, p.cap] for p in found.passes), ("pass", "parts", "rows", "cap")
    )


@schema.command("profiles")
@json_option
def profiles(as_json: bool) -> None:
    """List the named sets of passes: what each is for, and what was measured with it."""
    from linkage.profiles import NAMED

    if as_json:
        output.data(list(NAMED.values()))
        return
    output.table(
        ([p.name, p.rows, p.about, p.measured] for p in NAMED.values()), ("profile", "rows", "for", "measured")
    )


@schema.command("fingerprint")
@click.argument("name", metavar="NAME|FILE")
@json_option
def fingerprint(name: str, as_json: bool) -> None:
    """Print the fingerprint that all sites of a study must have."""
    from linkage.schema import load

    found = load(name)
    if as_json:
        output.data({"name": found.name, "fingerprint": found.fingerprint})
    else:
        click.echo(found.fingerprint)


@linkage.command("secret")
@click.option("--study", metavar="STUDY", help="Make a study secret, shared by the sites of this study.")
@click.option("--version", type=click.IntRange(1, 2**31), default=1, show_default=True, help="Its version.")
@click.option("--site-key", "own", is_flag=True, help="Make a site key, which never leaves this site.")
@click.option(
    "--show", "shown", type=PATH, metavar="FILE", help="Show what a study secret is for, and its fingerprint."
)
@click.option("-o", "--output", "target", type=PATH, metavar="FILE", help="Where it goes, mode 0600.")
@json_option
def secret(study: str | None, version: int, own: bool, shown: Path | None, target: Path | None, as_json: bool) -> None:
    """Make a study secret or a site key, or show a study secret's fingerprint.

    The lead site makes the study secret and hands it to the others: sealed, through the trust center (`study secret
    share`), or by a safe route of its own; then all read the fingerprint to each other. Whoever holds it can test names
    against rows: never send it to the trust center as it is. Without its site key a site cannot find its own records
    again: keep a sealed copy (`linkage site-key`).

    Examples:
      trustcenter linkage secret --study demo -o study.secret
      trustcenter linkage secret --site-key -o site.key
      trustcenter linkage secret --show study.secret
    """
    from keys.secretfiles import SiteKey, StudySecret

    if (study is not None) + own + (shown is not None) != 1:
        raise CommandLineError("give one of --study, --site-key and --show")
    if (shown is None) != (target is not None):
        raise CommandLineError("--output goes with --study and --site-key, and they need it")
    if own:
        assert target is not None
        SiteKey.generate().save(target)
        output.note("wrote the site key; keep a copy in a safe place")
        return
    if shown is not None:
        made = StudySecret.load(shown)
    else:
        assert study is not None
        assert target is not None
        made = StudySecret.generate(study, version)
        made.save(target)
    pairs = {"study": made.study, "version": made.version, "fingerprint": made.fingerprint}
    if as_json:
        output.data(pairs)
    else:
        output.fields(pairs)


for command in (
    synth,
    check,
    dedupe,
    calibrate,
    encode,
    match,
    cluster,
    evaluate,
    explain,
    plan,
    chunk,
    index,
    site_key,
):
    linkage.add_command(command)
