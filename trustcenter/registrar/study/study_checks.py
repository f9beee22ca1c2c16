"""What has to hold before a study is created or renewed."""

from __future__ import annotations

from datetime import date

import msgspec

from trustcenter.errors import ConflictError, NotFoundError, UsageError
from trustcenter.messages import api
from trustcenter.registrar.context import Context
from trustcenter.registrar.linking import runs
from trustcenter.store import Connection, select_in


def settings(wanted: api.StudySettings) -> api.StudySettings:
    """Refuse settings that contradict themselves, and settle what was left open.

    Twins and changed surnames go to stewards where there are any (docs/adr/0044).

    Raises:
        UsageError: they do, or a day is none of the calendar.
    """
    day("valid_from", wanted.valid_from)
    day("retain_until", wanted.retain_until)
    if wanted.lower >= wanted.upper:
        raise UsageError("the lower bound of doubtful pairs is not below the upper one", where="settings.lower")
    if wanted.approvers and len(set(wanted.approvers)) < wanted.approvals:
        raise UsageError("fewer approvers are named than have to approve", where="settings.approvers")
    careful = wanted.clearing != "none" if wanted.careful is None else wanted.careful
    return msgspec.structs.replace(wanted, careful=careful)


def day(name: str, text: str | None) -> None:
    """Refuse what is no day of the calendar.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return
    try:
        date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} is not a day of the calendar", where=name) from None


def approvers(context: Context, conn: Connection, names: list[str]) -> None:
    """Refuse names that are no approvers of this instance.

    Raises:
        NotFoundError: one is none.
    """
    known = {name for name, role, _, _ in context.directory.staff(conn) if role == api.StaffRole.APPROVER}
    for position, name in enumerate(names):
        if name not in known:
            raise NotFoundError(
                "there is no approver of this name",
                hint="trustcenter staff list shows the people",
                where=f"approver {position + 1}",
            )


def no_run(conn: Connection, study: str) -> None:
    """Refuse a step that a linkage run must not see half done.

    Raises:
        ConflictError: one is under way.
    """
    if list(select_in(conn, "SELECT 1 FROM run WHERE study = ? AND state IN {values}", (study,), runs.OPEN)):
        raise ConflictError(
            "a linkage run of this study is under way",
            code="run_under_way",
            hint="wait for it, or stop it: trustcenter study link STUDY --cancel RUN",
        )
