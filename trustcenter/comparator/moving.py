"""Rows of a store that kept one row of the database for each: they move into the packed tables when it is opened.

In bounded transactions, each of which takes rows out where it puts them in: killed anywhere, the next opening goes on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from linkage.rows import ROW
from trustcenter.store import Connection, Database, select_in

from . import placing

_AT_ONCE: Final = 250_000  # rows of one transaction


def move(db: Database) -> None:
    """Move everything; nothing to do for a store that was made or moved before."""
    while db.write_sync(lambda conn: _unfinished(db, conn)):
        pass
    while db.write_sync(lambda conn: _live(db, conn)):
        pass


def _unfinished(db: Database, conn: Connection) -> bool:
    """One chunk of an upload that is not live becomes what its site sent; False if there is none."""
    row = conn.execute(
        "SELECT c.upload, c.chunk, c.sha256, c.refs, s.number FROM chunk c JOIN upload u ON u.number = c.upload"
        " JOIN study s ON s.name = u.study WHERE u.state <> 'live' ORDER BY c.upload, c.chunk LIMIT 1"
    ).fetchone()
    if row is None:
        return False
    upload, chunk, digest, packed, study = row
    refs = [packed[at : at + 16] for at in range(0, len(packed), 16)]
    query = "SELECT ref, pass, token, filter FROM row WHERE study = ? AND ref IN {values}"
    found = {bytes(one[0]): one for one in select_in(conn, query, (study,), refs)}
    body = b"".join(ref + bytes([found[ref][1]]) + found[ref][2] + found[ref][3] for ref in refs)
    conn.execute(
        "INSERT INTO arrived (upload, chunk, sha256, rows, body) VALUES (?,?,?,?,?)",
        (upload, chunk, digest, len(refs), body),
    )
    db.forget_soon()
    conn.executemany("DELETE FROM row WHERE study = ? AND ref = ?", [(study, ref) for ref in refs])
    conn.execute("DELETE FROM chunk WHERE upload = ? AND chunk = ?", (upload, chunk))
    return True


def _live(db: Database, conn: Connection) -> bool:
    """Some rows of live uploads are placed; False if there are none."""
    found = conn.execute(
        "SELECT study, upload, ref, pass, token, filter FROM row ORDER BY study, pass, token LIMIT ?", (_AT_ONCE,)
    ).fetchall()
    if not found:
        conn.execute("DELETE FROM chunk")
        for study, window in conn.execute("SELECT name, applied_window FROM study").fetchall():
            placing.compared(conn, study, window)
        return False
    db.forget_soon()
    of_upload: dict[tuple[int, int], bytearray] = {}
    for study, upload, ref, number, token, filter_ in found:
        of_upload.setdefault((study, upload), bytearray()).extend(ref + bytes([number]) + token + filter_)
    for (study, upload), body in of_upload.items():
        rows: NDArray[np.void] = np.frombuffer(body, ROW)
        query = "SELECT coalesce(max(part), -1) + 1 FROM fresh WHERE upload = ?"
        (part,) = conn.execute(query, (upload,)).fetchone()
        placing.put(conn, study, upload, part, rows)
    conn.executemany("DELETE FROM row WHERE study = ? AND ref = ?", [(one[0], one[2]) for one in found])
    return True
