"""Whole jobs of the centre's staff: link a study and watch, approve a release, fetch a join map."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trustcenter.errors import ConflictError, InternalError, NotFoundError, VerificationError
from trustcenter.messages.api import Domain, Release, RetentionRules, Run
from trustcenter.messages.api.audit import RETENTION_CONTEXT

from .api import TrustCenter
from .files import save

CONTEXT: Final = "trustcenter/release/1"  # of the signature over a release's statement
_OPEN: Final = ("queued", "comparing", "deciding")


async def link(
    center: TrustCenter,
    study: str,
    run: str | None = None,
    progress: Callable[[Run], None] | None = None,
    mode: str = "window",
) -> Run:
    """Start a linkage run, or follow one, until it is applied.

    Giving up (cancellation) leaves the run going on at the service.

    Raises:
        ConflictError: it was cancelled. InternalError: it failed.
        RemoteError: no such study, or another run is under way.
    """
    now = await (center.start_run(study, mode) if run is None else center.run(study, run))
    settings = center.settings
    wait, waited = settings.poll_first, 0.0
    while now.state in _OPEN:
        if progress is not None:
            progress(now)
        await asyncio.sleep(wait)
        waited += wait
        # A tenth of what it took so far, so that the end is known soon after it has come.
        wait = min(max(settings.poll_first, waited / 10), settings.poll_max)
        now = await center.run(study, now.run)
    if now.state == "cancelled":
        raise ConflictError("the run was cancelled; nothing of it was applied", code="run_cancelled")
    if now.state != "applied":
        raise InternalError(
            "the run failed; nothing of it was applied",
            code=now.error or "run_failed",
            hint="the service's log says why",
        )
    return now


async def approve(center: TrustCenter, study: str, release: str, sign: Callable[[str], str]) -> Release:
    """Sign a release's statement and hand the signature in.

    Args:
        center: as the approver.
        study: name of the study.
        release: id of the release.
        sign: shows the statement to the approver and gives the signature, or raises to decline.

    Raises:
        VerificationError: the statement is not for this study and release.
        RemoteError: a wrong key, or an approver who proposed the release.
    """
    found = await center.release(study, release)
    require_statement(found, study, release)
    return await center.approve_release(study, release, sign(found.statement))


def require_statement(found: Release, study: str, release: str) -> None:
    """Refuse to sign a text that says something else than what the approver asked for.

    Raises:
        VerificationError: the statement does not name this release, study and recipient.
    """
    lines = found.statement.split("\n")
    wanted = (f"release: {release}", f"recipient: {found.recipient}")
    if (
        lines[0] != CONTEXT
        or any(lines.count(line) != 1 for line in wanted)
        or sum(line.startswith(f"study: {study} version ") for line in lines) != 1
    ):
        raise VerificationError(
            "the statement to be signed is not for this release",
            code="wrong_statement",
            hint="do not sign it; tell the auditor",
        )


async def fetch_join_map(center: TrustCenter, study: str, release: str, target: Path, *, force: bool = False) -> int:
    """Write the sealed join map of a completed release; returns its size in bytes.

    Raises:
        LocalFileError: the output. RemoteError: not released yet.
    """
    return await save(center.join_map(study, release), target, force=force)


async def approve_retention(center: TrustCenter, event: str, sign: Callable[[str], str]) -> RetentionRules:
    """Sign the rule of retention that was proposed for an event, and hand the signature in.

    Args:
        center: as the approver.
        event: whose entries' details go sooner.
        sign: shows the statement to the approver and gives the signature, or raises to decline.

    Raises:
        NotFoundError: no rule was proposed for it. VerificationError: the statement is not about this rule.
        RemoteError: a wrong key, or an approver who proposed it.
    """
    rules = (await center.retention()).rules
    proposal = next((rule.proposal for rule in rules if rule.event == event), "")
    if not proposal:
        raise NotFoundError(
            "nobody has proposed to keep details of this event for a shorter time",
            code="no_proposal",
            hint="trustcenter audit retention shows what is proposed",
        )
    found = await center.retention_proposal(proposal)
    lines = found.statement.split("\n")
    wanted = {
        0: RETENTION_CONTEXT,
        2: f"proposal: {proposal}",
        3: f"details of: {event}",
        4: f"kept for years: {found.years}",
    }
    if len(lines) != 11 or any(lines[i] != word for i, word in wanted.items()):
        raise VerificationError(
            "the statement to sign is not about this rule of retention",
            code="wrong_statement",
            hint="do not sign; tell the data protection officer",
        )
    return await center.approve_retention(proposal, sign(found.statement))


async def approve_closing(center: TrustCenter, domain: str, sign: Callable[[str], str]) -> Domain:
    """Sign the proposal to close a domain and hand the signature in.

    Args:
        center: as the approver.
        domain: its name.
        sign: shows the statement to the approver and gives the signature, or raises to decline.

    Raises:
        VerificationError: the statement is not about this domain.
        RemoteError: a wrong key, no proposal, or an approver who proposed it.
    """
    found = await center.closing(domain)
    lines = found.statement.split("\n")
    wanted = {2: f"domain: {domain}", 6: f"keys destroyed after days: {found.days}"}
    if len(lines) != 11 or lines[0] != "trustcenter/domain-close/1" or any(lines[i] != w for i, w in wanted.items()):
        raise VerificationError(
            "the statement to sign is not about closing this domain",
            code="wrong_statement",
            hint="do not sign; tell the data protection officer",
        )
    return await center.approve_closing(domain, sign(found.statement))
