"""What the commands around keys have in common: columns and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
PLAN = (
    "rotation",
    "domain",
    "purpose",
    "from_version",
    "to_version",
    "pseudonyms",
    "sites",
    "recipients",
    "estimated_seconds",
    "state",
    "high_water_mark",
)
KEY = ("domain", "room", "purpose", "version", "state", "since", "kcv")
PROPOSAL = (
    "proposal",
    "kind",
    "domain",
    "room",
    "purpose",
    "version",
    "rotation",
    "party",
    "proposed_by",
    "created",
    "approved_by",
    "approved",
)
ROOM_PLAN = (
    "rotation",
    "room",
    "purposes",
    "from_versions",
    "to_versions",
    "checked",
    "state",
    "from_fingerprint",
    "to_fingerprint",
)
DUE = ("domain", "room", "purpose", "version", "days", "due", "overdue")
PURPOSES = ("pseudonym", "lookup", "data")
ROOM_PURPOSES = ("audit", "sealing")
ROOMS = ("registrar", "comparator")


def purpose_option(command: F) -> F:
    """Which of a domain's keys."""
    return click.option(
        "--purpose", type=click.Choice(PURPOSES), default="pseudonym", show_default=True, help="Which key."
    )(command)


def version_option(*, required: bool = False) -> Callable[[F], F]:
    """Which version of it."""
    return click.option(
        "--version", "version", type=click.IntRange(1, 255), required=required, metavar="N", help="Which version."
    )


dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what would happen.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask; for automation.")
