"""`trustcenter keys`: key versions and their rotation."""

from __future__ import annotations

from pathlib import Path

import click

from . import output
from .options import call, confirm, connect_option, json_option

_PLAN = ("domain", "from_version", "to_version", "pseudonyms", "sites", "state", "high_water_mark")


@click.group()
def keys() -> None:
    """Key versions and their rotation."""


@keys.command("list")
@json_option
@connect_option
def list_(as_json: bool, connect: Path | None) -> None:
    """List every key version and its state (operator); never the keys."""
    found = call(connect, lambda center: center.keys())
    output.items(found, ("domain", "purpose", "version", "state", "since", "kcv"), as_json=as_json)


@keys.command("rotate")
@click.argument("domain")
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.option("--yes", is_flag=True, help="Do not ask; for automation.")
@json_option
@connect_option
def rotate(domain: str, dry_run: bool, yes: bool, as_json: bool, connect: Path | None) -> None:
    """Rotate the pseudonym key of a domain (operator).

    Every pseudonym of the domain gets a new form; sites fetch theirs with `trustcenter translate`. The plan is
    shown first, and the domain's name asked for.

    Examples:
      trustcenter keys rotate uk-nord --dry-run
      trustcenter keys rotate uk-nord --yes
    """
    plan = call(connect, lambda center: center.rotate(domain, dry_run=True))
    if dry_run:
        output.item(plan, _PLAN, as_json=as_json)
        return
    if not yes and output.interactive():
        output.note(
            f"domain {output.plain(plan.domain)}: key version {plan.from_version} to {plan.to_version}, "
            f"{plan.pseudonyms} pseudonyms to translate at {output.plain(', '.join(plan.sites) or 'no site')}"
        )
    confirm("This changes every pseudonym of the domain.", domain, yes=yes)
    # The plan's version goes along: a rotation by somebody else meanwhile makes this one fail.
    done = call(connect, lambda center: center.rotate(domain, dry_run=False, expected_version=plan.from_version))
    output.item(done, _PLAN, as_json=as_json)
