"""Statements that are still held: the log knows only their hashes, and people want to read the reasons."""

from __future__ import annotations

from collections.abc import Iterator

from trustcenter.audit import Event
from trustcenter.messages import api
from trustcenter.store import Connection


def statements(conn: Connection) -> Iterator[api.HeldStatement]:
    """What was signed for re-identifications and disclosures of decisions, as far as no rule has deleted it yet."""
    for event, query in (
        (Event.REIDENTIFY_REQUEST, "SELECT id, statement FROM reidentification ORDER BY created, id"),
        (Event.LINKAGE_PROPOSE, "SELECT id, statement FROM linkage_disclosure ORDER BY created, id"),
    ):
        for ident, statement in conn.execute(query):
            yield api.HeldStatement(event=event.value, ident=ident, statement=statement)
