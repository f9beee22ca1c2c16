"""What the comparator holds, counted in its store, wherever rows lie."""

from __future__ import annotations

from typing import Any

from trustcenter.comparator import placing


def rows_of(conn: Any, study: str) -> int:
    """All rows of a study."""
    (number,) = conn.execute("SELECT number FROM study WHERE name = ?", (study,)).fetchone()
    return placing.left(conn, number, study)


def rows_with(conn: Any, refs: set[bytes]) -> int:
    """How many rows with one of these refs there are, in both tables and in chunks that wait."""
    found = 0
    for table in (placing.ROWS, placing.REFS):
        for space in table.spaces(conn):
            for entries in table.read(conn, space):
                found += sum(ref.tobytes() in refs for ref in entries["ref"])
    for (upload,) in conn.execute("SELECT DISTINCT upload FROM arrived WHERE length(body) > 0").fetchall():
        for rows in placing.bodies(conn, upload):
            found += sum(ref.tobytes() in refs for ref in rows["ref"])
    return found
