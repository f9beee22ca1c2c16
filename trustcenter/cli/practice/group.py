"""`trustcenter practice`: a practice in a study, from a workstation, through a site that sponsors it."""

from __future__ import annotations

import click

from trustcenter.cli.base import LazyGroup

_COMMANDS = {
    "allow": ("trustcenter.cli.practice.sponsor:allow", "Let a site enrol practices (operator)."),
    "invite": ("trustcenter.cli.practice.sponsor:invite", "Make an invitation with a one-time code (sponsor)."),
    "list": ("trustcenter.cli.practice.sponsor:list_", "List invitations and practices (sponsor, operator)."),
    "admit": ("trustcenter.cli.practice.sponsor:admit", "Share the study secret with a practice (sponsor)."),
    "revoke": (
        "trustcenter.cli.practice.sponsor:revoke",
        "Take back a code, or turn a practice out.",
    ),
    "enrol": ("trustcenter.cli.practice.own:enrol", "Redeem an invitation (practice)."),
    "show": ("trustcenter.cli.practice.own:show", "Say the fingerprint of the own card (practice)."),
    "send": ("trustcenter.cli.practice.own:send", "Encode an export and send its rows (practice)."),
    "results": ("trustcenter.cli.practice.own:results", "Fetch the own study pseudonyms (practice)."),
}


@click.group(cls=LazyGroup, sections={"Commands": _COMMANDS})
def practice() -> None:
    """Practices and rescue services in a study, without a server."""
