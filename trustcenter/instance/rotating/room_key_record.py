"""What a room remembers of its own keys: rotations of them, how often they are to be rotated, when it was sealed anew.

The same tables in both rooms, since a comparator may be alone. The row of a rotation is the only truth about whether
one is under way, as for the keys of domains (`registrar.rotation_record`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Final

from keys.rotating import OPEN, Shape, Stage, Step, advance
from trustcenter.errors import ConflictError
from trustcenter.store import Connection, Migration

MIGRATION: Final = Migration(
    number=670,
    name="rotations and schedules of a room's own keys",
    sql="""
        CREATE TABLE room_rotation (
            id TEXT PRIMARY KEY,
            one INTEGER NOT NULL DEFAULT 1 CHECK (one = 1),
            from_version INTEGER NOT NULL,  -- of the key that signs the log
            to_version INTEGER NOT NULL,
            beside_from INTEGER NOT NULL,   -- of the key that goes with it: of key states, or of receipts
            beside_to INTEGER NOT NULL,
            stage TEXT NOT NULL CHECK (stage IN ('prepared', 'changed', 'verified', 'finalized')),
            size INTEGER NOT NULL,          -- entries of the log that the old key answers for
            checked INTEGER NOT NULL,       -- key states or handovers that were found good
            started_by TEXT NOT NULL,
            started TEXT NOT NULL,
            since TEXT NOT NULL             -- of the stage
        ) STRICT;
        CREATE UNIQUE INDEX room_rotation_one_open ON room_rotation (one)
            WHERE stage IN ('prepared', 'changed', 'verified');
        CREATE TABLE room_schedule (
            purpose TEXT PRIMARY KEY CHECK (purpose IN ('audit', 'sealing')),
            days INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE room_sealing (
            number INTEGER PRIMARY KEY,     -- how often the key store was sealed under another passphrase
            mark TEXT NOT NULL,             -- of the salt, which changes with the passphrase
            since TEXT NOT NULL
        ) STRICT;
        """,
)
_COLUMNS: Final = (
    "id, from_version, to_version, beside_from, beside_to, stage, size, checked, started_by, started, since"
)


def there(conn: Connection, migration: Migration = MIGRATION) -> bool:
    """Whether the tables are: a store of an earlier version gets them at the next start of the service."""
    return conn.execute("SELECT 1 FROM schema_migration WHERE number = ?", (migration.number,)).fetchone() is not None


@dataclass(frozen=True)
class RoomRotation:
    """One rotation of a room's own keys, as stored; see the table."""

    id: str
    from_version: int
    to_version: int
    beside_from: int
    beside_to: int
    stage: Stage
    size: int
    checked: int
    started_by: str
    started: str
    since: str

    @property
    def open(self) -> bool:
        """Whether it is under way."""
        return self.stage in OPEN


def listed(conn: Connection) -> list[RoomRotation]:
    """All of them, oldest first."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM room_rotation ORDER BY started, to_version").fetchall()  # noqa: S608
    return [_row(*row) for row in rows]


def _row(ident: str, before: int, after: int, beside: int, following: int, stage: str, *rest: Any) -> RoomRotation:
    return RoomRotation(ident, before, after, beside, following, Stage(stage), *rest)


def newest(conn: Connection) -> RoomRotation | None:
    """The one that leads to the newest keys, whatever the clock said when it was begun."""
    return max(listed(conn), key=lambda one: one.to_version, default=None)


def find(conn: Connection, ident: str) -> RoomRotation | None:
    """The one of that id, if it is of this room."""
    return next((one for one in listed(conn) if one.id == ident), None)


def require_none(conn: Connection) -> None:
    """None is under way.

    Raises:
        ConflictError: one is; the message names it.
    """
    found = next((one for one in listed(conn) if one.open), None)
    if found is not None:
        raise ConflictError(
            f"a rotation of this room's keys is under way; its stage is {found.stage}",
            code="rotation_under_way",
            hint=f"trustcenter keys rotation resume {found.id}",
            where=found.id,
        )


def insert(conn: Connection, versions: tuple[int, int, int, int], who: str, now: str) -> RoomRotation:
    """Record the intent; `versions` are from and to of the log's key, from and to of the one beside it."""
    made = RoomRotation(os.urandom(16).hex(), *versions, Stage.PREPARED, 0, 0, who, now, now)
    conn.execute(
        f"INSERT INTO room_rotation ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608 - constants
        (made.id, *versions, made.stage.value, 0, 0, who, now, now),
    )
    return made


def step(conn: Connection, found: RoomRotation, step_: Step, now: str, **changes: int) -> RoomRotation:
    """Take a step and store it.

    Raises:
        IllegalTransitionError: not possible at this stage.
    """
    after = replace(found, stage=advance(Shape.FLIP, found.stage, step_), since=now, **changes)  # type: ignore[arg-type]
    conn.execute(
        "UPDATE room_rotation SET stage = ?, size = ?, checked = ?, since = ? WHERE id = ?",
        (after.stage.value, after.size, after.checked, after.since, after.id),
    )
    return after


def set_schedule(conn: Connection, purpose: str, days: int) -> None:
    """How often a key is to be rotated; 0: no schedule."""
    conn.execute("DELETE FROM room_schedule WHERE purpose = ?", (purpose,))
    if days:
        conn.execute("INSERT INTO room_schedule VALUES (?,?)", (purpose, days))


def schedules(conn: Connection) -> dict[str, int]:
    """Days by purpose."""
    return dict(conn.execute("SELECT purpose, days FROM room_schedule").fetchall())


def sealing(conn: Connection, mark: str, now: str) -> tuple[int, str]:
    """How often the key store was sealed anew, and since when it is sealed as it is: now, if nobody noted it yet."""
    row = conn.execute("SELECT number, mark, since FROM room_sealing ORDER BY number DESC LIMIT 1").fetchone()
    if row is None:
        return 1, now
    return (int(row[0]), str(row[2])) if row[1] == mark else (int(row[0]) + 1, now)


def note_sealing(conn: Connection, mark: str, now: str) -> None:
    """Note a passphrase that was changed since; at each start."""
    number, since = sealing(conn, mark, now)
    conn.execute("INSERT INTO room_sealing VALUES (?,?,?) ON CONFLICT (number) DO NOTHING", (number, mark, since))
