"""When what takes two people may happen: a rotation that is overdue, a key version whose use ended long ago."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from keys.ids import Purpose
from keys.rotating import Stage
from keys.states import KeyState
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError
from trustcenter.registrar.context import Context
from trustcenter.store import Connection

from . import rotation_show
from .keyring import Version
from .rotation_record import Rotation

GRACE_DAYS: Final = 30  # between the end of a key's use and its destruction; backups of the key store expire in it


def require_overdue(context: Context, found: Rotation) -> None:
    """A verified rotation whose parties have had their time.

    Raises:
        ConflictError: not yet.
    """
    if found.stage is not Stage.VERIFIED:
        raise ConflictError(
            "only a verified rotation is finalized",
            code="not_verified",
            hint="trustcenter keys rotation verify comes first",
        )
    if stamp(context.clock()) < found.deadline:
        raise ConflictError(
            "the parties still have time to acknowledge their map",
            code="deadline_not_passed",
            hint=f"until {found.deadline}; trustcenter keys rotation show {found.id} says who has not",
        )


def require_destroyable(context: Context, conn: Connection, version: Version) -> None:
    """A key version whose use has ended so long ago, and whose map everybody has.

    Raises:
        ConflictError: not yet; the hint says what is missing.
    """
    if version.state is KeyState.DESTROYED:
        raise ConflictError("this key version is destroyed already", code="key_destroyed")
    if version.state not in (KeyState.DEACTIVATED, KeyState.COMPROMISED):
        raise ConflictError(
            f"a key version that is {version.state} is not destroyed",
            code="key_in_use",
            hint="rotate and finalize, or deactivate it first",
        )
    if version.purpose is Purpose.LOOKUP and version.version in rotation_show.by_scope(conn, version.scope).lookup:
        raise ConflictError(
            "rows whose originals are not kept here are found by this lookup key only",
            code="key_in_use",
            hint="without it their originals would get a second pseudonym; closing the domain destroys all its keys",
        )
    open_one = conn.execute(
        "SELECT id FROM rotation WHERE scope = ? AND (from_version = ? AND purpose = ? OR purpose = 'lookup'"
        " AND ? = 'data') AND stage IN ('prepared', 'rewriting', 'changed', 'verified')",
        (version.scope, version.version, version.purpose.value, version.purpose.value),
    ).fetchone()
    if open_one is not None:
        raise ConflictError(
            "a rotation away from this key version has not ended",
            code="rotation_under_way",
            hint="finalize it first: every party has its map then",
            where=open_one[0],
        )
    due = datetime.fromisoformat(version.since) + timedelta(days=GRACE_DAYS)
    if context.clock() < due:
        raise ConflictError(
            "the grace period of this key version is not over",
            code="not_due",
            hint=f"it ends {stamp(due)}: {GRACE_DAYS} days after its use ended",
        )
