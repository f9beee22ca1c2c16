"""The record of a rotation: one row, the only truth about whether one is under way and how far it is."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from keys.ids import Purpose
from keys.rotating import OPEN, Stage, Step, advance, shape_of
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection

_COLUMNS = (
    "id, scope, purpose, from_version, to_version, companion, stage, mark, cursor, total, done, map_mac,"
    " deadline, started_by, started, since"
)


@dataclass(frozen=True)
class Rotation:
    """One rotation as stored.

    Attributes:
        id: 32 hex digits.
        scope: of the key.
        purpose: of the key.
        from_version: 0 where no version was ever in use.
        to_version: its successor.
        companion: version of the data key that goes with a new lookup key.
        stage: how far it is.
        mark: greatest serial at the cut-over; what is above was made under the new version.
        cursor: of a cursor job: every serial up to it is rewritten.
        total: rows live when it was planned.
        done: rows that were looked at.
        map_mac: keyed hash of the verified map, 64 hex digits.
        deadline: after it two people may finalize without every acknowledgement.
        started_by: name of the operator.
        started: when.
        since: of the stage.
    """

    id: str
    scope: str
    purpose: Purpose
    from_version: int
    to_version: int
    companion: int | None
    stage: Stage
    mark: int
    cursor: int
    total: int
    done: int
    map_mac: str | None
    deadline: str
    started_by: str
    started: str
    since: str

    @property
    def open(self) -> bool:
        """Whether it is under way."""
        return self.stage in OPEN


def _row(row: tuple[Any, ...]) -> Rotation:
    ident, scope, purpose, before, after, companion, stage, *rest = row
    return Rotation(ident, scope, Purpose(purpose), before, after, companion, Stage(stage), *rest)


def find(conn: Connection, ident: str) -> Rotation:
    """A rotation by its id.

    Raises:
        NotFoundError: there is none.
    """
    row = conn.execute(f"SELECT {_COLUMNS} FROM rotation WHERE id = ?", (ident,)).fetchone()  # noqa: S608
    if row is None:
        raise NotFoundError(
            "there is no rotation of this id", code="unknown_rotation", hint="trustcenter keys rotation list"
        )
    return _row(row)


def under_way(conn: Connection, scope: str, purpose: Purpose) -> Rotation | None:
    """The rotation of a key that is under way; there is at most one, by an index of the database."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM rotation WHERE scope = ? AND purpose = ?"  # noqa: S608 - constants
        " AND stage IN ('prepared', 'rewriting', 'changed', 'verified')",
        (scope, purpose.value),
    ).fetchone()
    return _row(row) if row else None


def between(conn: Connection, scope: str, purpose: Purpose, before: int, after: int) -> Rotation | None:
    """The rotation from one version to another, if it has been cut over."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM rotation WHERE scope = ? AND purpose = ? AND from_version = ? AND to_version = ?"  # noqa: S608
        " AND stage IN ('changed', 'verified', 'finalized')",
        (scope, purpose.value, before, after),
    ).fetchone()
    return _row(row) if row else None


def require_none(conn: Connection, scope: str, purpose: Purpose) -> None:
    """No rotation of that key is under way.

    Raises:
        ConflictError: one is; the message names it.
    """
    found = under_way(conn, scope, purpose)
    if found is not None:
        raise busy(found)


def busy(found: Rotation) -> ConflictError:
    """A second rotation is refused with the first."""
    return ConflictError(
        f"a rotation of this key is under way; its stage is {found.stage}",
        code="rotation_under_way",
        hint=f"trustcenter keys rotation show {found.id} says what comes next",
        where=found.id,
    )


def listed(conn: Connection, scope: str | None = None) -> list[Rotation]:
    """All rotations, or those of a scope, oldest first."""
    where, values = ("", ()) if scope is None else (" WHERE scope = ?", (scope,))
    return [
        _row(row)
        for row in conn.execute(f"SELECT {_COLUMNS} FROM rotation{where} ORDER BY started, id", values)  # noqa: S608
    ]


def insert(
    context: Context,
    conn: Connection,
    who: str,
    domain: DomainRow,
    purpose: Purpose,
    versions: tuple[int, int, int | None],
    total: int,
    days: int,
) -> Rotation:
    """Record the intent of a rotation, prepared; `versions` are the old, the new and the companion's."""
    now = context.clock()
    made = Rotation(
        os.urandom(16).hex(),
        domain.scope,
        purpose,
        *versions,
        Stage.PREPARED,
        0,
        0,
        total,
        0,
        None,
        stamp(now + timedelta(days=days)),
        who,
        stamp(now),
        stamp(now),
    )
    conn.execute(
        f"INSERT INTO rotation ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608 - constants
        (
            made.id,
            made.scope,
            made.purpose.value,
            *versions,
            made.stage.value,
            0,
            0,
            total,
            0,
            None,
            made.deadline,
            who,
            made.started,
            made.since,
        ),
    )
    conn.executemany(
        "INSERT INTO rotation_party (rotation, party) VALUES (?,?)",
        [(made.id, party) for party in (parties(conn, domain) if purpose is Purpose.PSEUDONYM else ())],
    )
    return made


def step(context: Context, conn: Connection, rotation: Rotation, step_: Step, **changes: Any) -> Rotation:
    """Take a step and store it, with other changes of the row.

    Raises:
        IllegalTransitionError: not possible at this stage.
    """
    stage = advance(shape_of(rotation.purpose), rotation.stage, step_)
    return save(conn, replace(rotation, stage=stage, since=stamp(context.clock()), **changes))


def save(conn: Connection, rotation: Rotation) -> Rotation:
    """Store what can change."""
    conn.execute(
        "UPDATE rotation SET stage = ?, mark = ?, cursor = ?, total = ?, done = ?, map_mac = ?, since = ? WHERE id = ?",
        (
            rotation.stage.value,
            rotation.mark,
            rotation.cursor,
            rotation.total,
            rotation.done,
            rotation.map_mac,
            rotation.since,
            rotation.id,
        ),
    )
    return rotation


def parties(conn: Connection, domain: DomainRow) -> list[str]:
    """Who holds pseudonyms of a domain: its owner, sites with a grant, recipients that got a join map with them."""
    found = []
    if domain.site is not None:
        found.append(f"site:{domain.site}")
    grants = conn.execute("SELECT DISTINCT site FROM domain_grant WHERE domain = ?", (domain.id,)).fetchall()
    found += [f"site:{site}" for (site,) in grants]
    if domain.study is not None:
        released = conn.execute(
            "SELECT DISTINCT recipient FROM release WHERE study = ? AND state = 'released'", (domain.study,)
        ).fetchall()
        wanted = {name for (name,) in released if domain.recipient in (None, name)}
        found += [f"recipient:{domain.study}/{name}" for name in wanted]
    return sorted(set(found))


@dataclass(frozen=True)
class Party:
    """Who must get a map, and whether it said that it did."""

    name: str
    acknowledged: str | None
    told_by: str | None
    deliveries: int


def party_list(conn: Connection, ident: str) -> list[Party]:
    """The parties of a rotation, by name."""
    return [
        Party(*row)
        for row in conn.execute(
            "SELECT p.party, p.acknowledged, p.told_by, (SELECT count(*) FROM rotation_delivery d"
            " WHERE d.rotation = p.rotation AND d.party = p.party) FROM rotation_party p"
            " WHERE p.rotation = ? ORDER BY p.party",
            (ident,),
        )
    ]
