"""Re-identification requests as stored: found, shown, and moved along the state machine of `tickets`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import NotFoundError
from trustcenter.messages import api
from trustcenter.registrar import domains
from trustcenter.store import Connection

from . import tickets
from .tickets import Ticket, TicketState

_LISTED = 1000


@dataclass(frozen=True)
class Row:
    """A request as stored."""

    id: str
    domain: int
    site: str
    reason: str
    pseudonyms: int
    salt: bytes
    statement: str
    state: str
    open_until: str
    valid_hours: int
    required: int
    fetches_left: int
    expires: str | None
    denied_by: str | None
    denial: str | None
    created: str


_COLUMNS = ", ".join(Row.__annotations__)


def insert(conn: Connection, row: Row, serials: set[int]) -> None:
    """Store a new request and the rows that it is for."""
    conn.execute(
        f"INSERT INTO reidentification ({_COLUMNS}) VALUES ({','.join('?' * len(Row.__annotations__))})",  # noqa: S608
        tuple(getattr(row, name) for name in Row.__annotations__),
    )
    conn.executemany("INSERT INTO reidentification_row VALUES (?,?)", [(row.id, serial) for serial in sorted(serials)])


def find(conn: Connection, ident: str, caller: Principal) -> Row:
    """A request by id; a foreign site's is invisible.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    found = conn.execute(f"SELECT {_COLUMNS} FROM reidentification WHERE id = ?", (ident,)).fetchone()  # noqa: S608
    if found is None or (caller.is_site and found[2] != caller.name):
        raise NotFoundError(
            "there is no such re-identification, or it is not yours",
            code="unknown_reidentification",
            hint="trustcenter reidentify list shows the ids",
        )
    return Row(*found)


def ticket(conn: Connection, row: Row) -> Ticket:
    """The row as the state machine sees it."""
    signers = conn.execute("SELECT staff FROM reidentification_approval WHERE reidentification = ?", (row.id,))
    return Ticket(
        state=TicketState(row.state),
        open_until=datetime.fromisoformat(row.open_until),
        validity=timedelta(hours=row.valid_hours),
        required=row.required,
        fetches_left=row.fetches_left,
        signers=frozenset(name for (name,) in signers),
        expires=datetime.fromisoformat(row.expires) if row.expires else None,
    )


def keep(conn: Connection, row: Row, after: Ticket) -> Row:
    """Store a step; which rows a ticket was for is forgotten once it is over."""
    kept = replace(
        row,
        state=after.state.value,
        fetches_left=after.fetches_left,
        expires=stamp(after.expires) if after.expires else None,
    )
    conn.execute(
        "UPDATE reidentification SET state = ?, fetches_left = ?, expires = ?, denied_by = ?, denial = ? WHERE id = ?",
        (kept.state, kept.fetches_left, kept.expires, kept.denied_by, kept.denial, row.id),
    )
    if after.state not in (TicketState.REQUESTED, TicketState.APPROVED):
        conn.execute("DELETE FROM reidentification_row WHERE reidentification = ?", (row.id,))
    return kept


def describe(conn: Connection, row: Row, now: datetime) -> api.Reidentification:
    """What may be shown of a request: no pseudonym, no row, no salt."""
    seen = tickets.at(ticket(conn, row), now)
    names = conn.execute(
        "SELECT staff FROM reidentification_approval WHERE reidentification = ? ORDER BY created", (row.id,)
    )
    return api.Reidentification(
        reidentification=row.id,
        domain=domains.by_id(conn, row.domain).name,
        site=row.site,
        reason=row.reason,
        pseudonyms=row.pseudonyms,
        statement=row.statement,
        approvals=[name for (name,) in names],
        required=row.required,
        state=seen.state.value,
        expires=row.expires or row.open_until,
        fetches_left=row.fetches_left,
        denied_by=row.denied_by,
        denial=row.denial,
        created=row.created,
    )


def newest(conn: Connection, caller: Principal) -> list[Row]:
    """The newest requests: all for staff, its own for a site."""
    clause, values = (" WHERE site = ?", (caller.name,)) if caller.is_site else ("", ())
    found = conn.execute(
        f"SELECT {_COLUMNS} FROM reidentification{clause} ORDER BY created DESC, id LIMIT {_LISTED}",  # noqa: S608
        values,
    ).fetchall()
    return [Row(*row) for row in found]


def serials(conn: Connection, row: Row) -> set[int]:
    """The rows that a ticket is for."""
    found = conn.execute("SELECT serial FROM reidentification_row WHERE reidentification = ?", (row.id,))
    return {serial for (serial,) in found}


def count_open(conn: Connection, site: str, now: datetime) -> int:
    """How many requests and tickets of a site are open."""
    moment = stamp(now)
    (count,) = conn.execute(
        "SELECT count(*) FROM reidentification WHERE site = ?"
        " AND (state = 'requested' AND open_until > ? OR state = 'approved' AND expires > ?)",
        (site, moment, moment),
    ).fetchone()
    return int(count)
