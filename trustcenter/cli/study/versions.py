"""`trustcenter study renew` and `versions`: a new study secret, and until when the old rows count."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from trustcenter.cli import output
from trustcenter.cli.options import call, confirm, connect_option, json_option

_REASONS = ("member_removed", "secret_compromised", "scheduled")
_VERSIONS = ("version", "created", "reason", "linkable_until", "ended")


@click.command()
@click.argument("study")
@click.option("--to", "version", type=click.IntRange(2, 10_000), required=True, help="The version that it becomes.")
@click.option("--reason", type=click.Choice(_REASONS), required=True, help="Why.")
@click.option("--remove", multiple=True, metavar="SITE", help="A site that takes no further part; repeat.")
@click.option(
    "--linkable-until",
    metavar="YYYY-MM-DD",
    help="Last day on which rows of the old version are compared. Without it they are retired at once.",
)
@click.option(
    "--doubtful",
    type=(click.FloatRange(0, 1, True, True), click.FloatRange(0, 1, True, True)),
    metavar="LOW HIGH",
    help="Other bounds of doubtful pairs.",
)
@click.option("--clearing", type=click.Choice(("none", "single", "double")), help="Another mode of clearing.")
@click.option("--careful/--no-careful", default=None, help="Whether twins and changed surnames are doubtful.")
@click.option("--calibration", type=click.Choice(("shipped", "sites")), help="Decide with other tables.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@connect_option
def renew(
    study: str,
    version: int,
    reason: Literal["member_removed", "secret_compromised", "scheduled"],
    remove: tuple[str, ...],
    linkable_until: str | None,
    doubtful: tuple[float, float] | None,
    clearing: Literal["none", "single", "double"] | None,
    careful: bool | None,
    calibration: Literal["shipped", "sites"] | None,
    yes: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Make the next version of a study, under a new study secret (operator).

    Record numbers, pseudonyms and persons stay; every site encodes and uploads again. Rows of the old version stay
    linkable until the day you name. A record that is not sent again by then keeps its person, but is compared no more:
    `study versions` counts those. Settings go on as they were, but for those that you give.

    Example:
      trustcenter study renew sepsis --to 2 --reason member_removed --remove uk-ost --linkable-until 2027-03-31
    """
    import msgspec

    from trustcenter.client import TrustCenter
    from trustcenter.messages.api import Study, StudyRenew

    confirm(f"{study} gets version {version}; all of its sites need a new study secret.", study, yes=yes)

    async def job(center: TrustCenter) -> Study:
        settings = None
        if any(wanted is not None for wanted in (doubtful, clearing, careful, calibration)):
            now = (await center.study(study)).settings
            lower, upper = doubtful or (now.lower, now.upper)
            settings = msgspec.structs.replace(
                now,
                lower=lower,
                upper=upper,
                clearing=clearing or now.clearing,
                careful=now.careful if careful is None else careful,
                calibration=calibration or now.calibration,
            )
        wanted = StudyRenew(
            version=version, reason=reason, remove=list(remove), linkable_until=linkable_until, settings=settings
        )
        return await center.renew_study(study, wanted)

    made = call(connect, job)
    output.item(made, ("name", "version", "state"), as_json=as_json)
    output.hint("the lead site makes and shares the secret of this version next: trustcenter study secret --help")


@click.command()
@click.argument("study")
@click.argument("site")
@json_option
@connect_option
def lead(study: str, site: str, as_json: bool, connect: Path | None) -> None:
    """Name another lead site: the one whose share of the study secret counts (operator).

    What the earlier one shared for this version stays; for another secret make a new version: `study renew`.

    Example:
      trustcenter study lead sepsis uk-sued
    """
    made = call(connect, lambda center: center.name_lead(study, site))
    output.item(made, ("name", "version", "lead"), as_json=as_json)


@click.command()
@click.argument("study")
@json_option
@connect_option
def versions(study: str, as_json: bool, connect: Path | None) -> None:
    """Show the versions of a study, and which records have rows of which (a site sees itself only).

    Dormant records were not sent again before their version ended: they keep pseudonym and person, and are compared
    again once the site uploads. Those without rows were registered, and nothing came for them: many of them at one site
    are a question to it.
    """
    found = call(connect, lambda center: center.study_versions(study))
    if as_json:
        output.data(found)
        return
    output.items(found.versions, _VERSIONS, as_json=False, empty="no versions")
    click.echo()
    output.table(
        ([s.site, s.current, s.older, s.dormant, s.unmapped] for s in found.sources),
        ("site", "current", "older only", "dormant", "without rows"),
    )
