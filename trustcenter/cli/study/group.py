"""`trustcenter study`: set up (operator), and the group of all study commands."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from trustcenter.cli import output
from trustcenter.cli.options import call, confirm, connect_option, json_option, text_or_file
from trustcenter.errors import CommandLineError

from .calibration import calibration
from .changes import changes
from .clearing import clearing
from .questions import questions
from .results import duplicates, result
from .run import link, list_runs, release
from .secret import secret
from .site import register, upload
from .versions import lead, renew, versions

_COLUMNS = ("name", "version", "schema", "state", "separation", "purpose")


@click.group()
def study() -> None:
    """Studies: set up, register, upload, link, release.

    The operator creates a study and links it; each site registers its records, uploads rows and fetches its
    results; two approvers release the join map to the data recipient.
    """


@study.command("create")
@click.argument("name")
@click.option("--purpose", required=True, help="What the data are used for.")
@click.option("--permit", required=True, help="On what ground: vote, permit, contract.")
@click.option("--site", "sites", multiple=True, required=True, metavar="SITE", help="A participating site; repeat.")
@click.option("--lead", metavar="SITE", help="The site that makes the study secret. Without it the first --site.")
@click.option(
    "--not-deduplicated", multiple=True, metavar="SITE", help="A site whose source may hold a patient twice; repeat."
)
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    required=True,
    metavar="NAME=KEY|FILE",
    help="A data recipient and its public key; repeat.",
)
@click.option("--schema", default="de-person/1", show_default=True, metavar="NAME", help="Linkage schema.")
@click.option("--consent", multiple=True, metavar="POLICY", help="Every record needs this MII policy; repeat.")
@click.option("--valid-until", metavar="YYYY-MM-DD", help="Last day.")
@click.option(
    "--minimum-batch", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Fewest records per upload."
)
@click.option("--draft", is_flag=True, help="Let it wait: it takes no data until `study state NAME open`.")
@click.option("--valid-from", metavar="YYYY-MM-DD", help="First day.")
@click.option("--retain-until", metavar="YYYY-MM-DD", help="Not deleted before; else ten years after closing.")
@click.option(
    "--doubtful",
    type=(click.FloatRange(0, 1, True, True), click.FloatRange(0, 1, True, True)),
    default=(0.05, 0.95),
    show_default=True,
    metavar="LOW HIGH",
    help="Posteriors between which a pair is doubtful.",
)
@click.option(
    "--clearing",
    type=click.Choice(("none", "single", "double")),
    default="single",
    show_default=True,
    help="How many stewards decide a doubtful pair.",
)
@click.option(
    "--careful/--no-careful",
    default=None,
    help="Twins at one address and changed surnames are doubtful, whatever their posterior. "
    "Without either: where there is clearing, they are.",
)
@click.option(
    "--calibration",
    type=click.Choice(("shipped", "sites")),
    default="shipped",
    show_default=True,
    help="Decide with the tables that ship, or with them and those that sites send.",
)
@click.option(
    "--purge",
    type=click.Choice(("released", "closed")),
    default="closed",
    show_default=True,
    help="With which state rows, refs and edges go.",
)
@click.option("--approver", "approvers", multiple=True, metavar="NAME", help="Who may approve a release; repeat.")
@click.option(
    "--approvals", type=click.IntRange(2, 9), default=2, show_default=True, help="How many approve a release."
)
@click.option(
    "--date-shift-days", type=click.IntRange(0, 3650), default=0, show_default=True, help="Greatest offset of dates."
)
@json_option
@connect_option
def create(
    name: str,
    purpose: str,
    permit: str,
    sites: tuple[str, ...],
    lead: str | None,
    not_deduplicated: tuple[str, ...],
    recipients: tuple[str, ...],
    schema: str,
    consent: tuple[str, ...],
    valid_until: str | None,
    minimum_batch: int,
    draft: bool,
    valid_from: str | None,
    retain_until: str | None,
    doubtful: tuple[float, float],
    clearing: Literal["none", "single", "double"],
    careful: bool | None,
    calibration: Literal["shipped", "sites"],
    purge: Literal["released", "closed"],
    approvers: tuple[str, ...],
    approvals: int,
    date_shift_days: int,
    as_json: bool,
    connect: Path | None,
) -> None:
    r"""Set up a study; its parameters are frozen for this version (operator).

    Example:
      trustcenter study create sepsis --purpose "Sepsis outcomes" --permit "EC 2026-17" \
        --site uk-nord --site uk-sued --recipient registry=registry.pub
    """
    from trustcenter.messages.api import Participant, Recipient, StudyCreate, StudySettings

    if set(not_deduplicated) - set(sites):
        raise CommandLineError("--not-deduplicated names a site that does not take part")
    wanted = StudyCreate(
        name=name,
        purpose=purpose,
        permit=permit,
        schema=schema,
        participants=[Participant(site=s, deduplicated=s not in not_deduplicated) for s in sites],
        recipients=[Recipient(name=n, public_key=key) for n, key in map(_recipient, recipients)],
        valid_until=valid_until,
        minimum_batch=minimum_batch,
        consent=list(consent),
        settings=StudySettings(
            valid_from=valid_from,
            lower=doubtful[0],
            upper=doubtful[1],
            clearing=clearing,
            careful=careful,
            calibration=calibration,
            purge=purge,
            approvals=approvals,
            approvers=list(approvers),
            date_shift_days=date_shift_days,
            retain_until=retain_until,
        ),
        draft=draft,
        lead=lead,
    )
    made = call(connect, lambda center: center.create_study(wanted))
    _show(made, as_json)


def _recipient(text: str) -> tuple[str, str]:
    name, found, key = text.partition("=")
    if not found:
        raise CommandLineError("a recipient is given as NAME=KEY or NAME=FILE", where="--recipient")
    return name, text_or_file(key, "tc-recipient-1:")


@study.command("state")
@click.argument("name")
@click.argument("state", type=click.Choice(("open", "frozen", "released", "closed", "deleted")))
@click.option("--yes", is_flag=True, help="Do not ask before what cannot be undone.")
@json_option
@connect_option
def state(
    name: str,
    state: Literal["open", "frozen", "released", "closed", "deleted"],
    yes: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Take a study to another state (operator).

    A frozen study takes no more data but still links; frozen again opens. Released, closed and deleted do not lead
    back: at closing (or at the release, if the study says so) rows, refs and edges are purged; deleting destroys
    the keys of the study's domains.

    Example:
      trustcenter study state sepsis frozen
    """
    from trustcenter.messages.api import StudyMove

    if state in ("released", "closed", "deleted"):
        confirm(f"{name} becomes {state}; this cannot be undone.", name, yes=yes)
    _show(call(connect, lambda center: center.move_study(name, StudyMove(state=state))), as_json)


@study.command("list")
@json_option
@connect_option
def list_(as_json: bool, connect: Path | None) -> None:
    """List the studies that you take part in (an operator sees all)."""
    found = call(connect, lambda center: center.studies())
    output.items(found, _COLUMNS, as_json=as_json, empty="no studies yet")


@study.command("show")
@click.argument("name")
@json_option
@connect_option
def show(name: str, as_json: bool, connect: Path | None) -> None:
    """Show a study and its frozen parameters."""
    _show(call(connect, lambda center: center.study(name)), as_json)


def _show(made: object, as_json: bool) -> None:
    from trustcenter.messages.api import Study

    assert isinstance(made, Study)
    if as_json:
        output.data(made)
        return
    from keys.hybrid import fingerprint

    output.fields(
        {
            "name": made.name,
            "version": made.version,
            "state": made.state,
            "purpose": made.purpose,
            "permit": made.permit,
            "lead site": made.lead,
            "valid until": made.valid_until,
            "schema": made.schema,
            "schema fingerprint": made.fingerprint,
            "passes": made.passes,
            "minimum batch": made.minimum_batch,
            "consent": made.consent,
            "valid from": made.settings.valid_from,
            "doubtful": f"{made.settings.lower} to {made.settings.upper}",
            "clearing": made.settings.clearing,
            "careful": bool(made.settings.careful),
            "calibration": made.settings.calibration,
            "approvals": made.settings.approvals,
            "approvers": ", ".join(made.settings.approvers) or "any",
            "date shift days": made.settings.date_shift_days,
            "purge when": made.settings.purge,
            "purged": made.purged,
            "retain until": made.settings.retain_until,
            "separation": made.separation,
        }
    )
    click.echo()
    output.table(
        (
            [p.site, p.kind.value if p.kind else "", "yes" if p.deduplicated else "no", made.domains.get(p.site)]
            for p in made.participants
        ),
        ("site", "kind", "deduplicated", "domain"),
    )
    click.echo()
    output.table(([r.name, fingerprint(r.public_key)] for r in made.recipients), ("recipient", "key fingerprint"))
    output.hint("compare the fingerprint of the recipient's key with the recipient, over the telephone for instance")


_DAILY = (secret, register, upload, duplicates, link, clearing, questions, result, release)
for command in (*_DAILY, calibration, changes, lead, list_runs, renew, versions):
    study.add_command(command)
