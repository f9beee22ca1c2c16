"""Messages that the comparator still has to get: written with their cause, delivered until acknowledged."""

from __future__ import annotations

import msgspec

from trustcenter.messages.rooms import KINDS, RoomMessage
from trustcenter.store import Connection


def put(conn: Connection, kind: str, message: RoomMessage) -> None:
    """Queue a message in the transaction of its cause."""
    conn.execute("INSERT INTO outbox (kind, payload) VALUES (?,?)", (kind, msgspec.json.encode(message)))


def waiting(conn: Connection) -> list[int]:
    """Ids of everything not yet acknowledged, oldest first."""
    return [row_id for (row_id,) in conn.execute("SELECT id FROM outbox ORDER BY id")]


def get(conn: Connection, row_id: int) -> tuple[str, str]:
    """(kind, payload) of a message."""
    kind, payload = conn.execute("SELECT kind, payload FROM outbox WHERE id = ?", (row_id,)).fetchone()
    return kind, bytes(payload).decode()


def message(kind: str, payload: str) -> RoomMessage:
    """The message of a payload."""
    return msgspec.json.decode(payload, type=KINDS[kind])


def change(conn: Connection, row_id: int, message: RoomMessage) -> None:
    """Put another message of the same kind in place of one that was not told."""
    conn.execute("UPDATE outbox SET payload = ? WHERE id = ?", (msgspec.json.encode(message), row_id))


def done(conn: Connection, row_id: int) -> None:
    """Forget a message that the comparator has carried out."""
    conn.execute("DELETE FROM outbox WHERE id = ?", (row_id,))
