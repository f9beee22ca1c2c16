"""Messages that the comparator still has to get: written with their cause, delivered until acknowledged."""

from __future__ import annotations

import msgspec

from trustcenter.messages.rooms import Accept, Params, Retire, StudyPhase
from trustcenter.store import Connection

_Message = Params | Accept | Retire | StudyPhase
_TYPES: dict[str, type[_Message]] = {
    "params": Params,
    "accept": Accept,
    "retire": Retire,
    "state": StudyPhase,
}


def put(conn: Connection, kind: str, message: _Message) -> None:
    """Queue a message in the transaction of its cause."""
    conn.execute("INSERT INTO outbox (kind, payload) VALUES (?,?)", (kind, msgspec.json.encode(message)))


def waiting(conn: Connection) -> list[tuple[int, _Message]]:
    """(id, message) of everything not yet acknowledged, oldest first."""
    return [
        (row_id, msgspec.json.decode(payload, type=_TYPES[kind]))
        for row_id, kind, payload in conn.execute("SELECT id, kind, payload FROM outbox ORDER BY id")
    ]


def done(conn: Connection, row_id: int) -> None:
    """Forget a message that the comparator has carried out."""
    conn.execute("DELETE FROM outbox WHERE id = ?", (row_id,))
