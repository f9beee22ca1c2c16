"""Rows of a store that kept one row of the database for each: they move into the packed tables when it is opened.

In bounded transactions, each of which takes rows out where it puts them in: killed anywhere, the next opening goes on.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np

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
    """Some rows of live uploads are placed; False if there are none.

    All uploads together: a store has had many, and there are some rows of each everywhere. Which tokens are fresh is
    not noted: where an upload was never compared, the next window reads everything instead of looking them up.
    """
    found = conn.execute(
        "SELECT study, upload, ref, pass, token, filter FROM row ORDER BY study, pass, token LIMIT ?", (_AT_ONCE,)
    ).fetchall()
    if not found:
        conn.execute("DELETE FROM chunk")
        return False
    db.forget_soon()
    for study, some in itertools.groupby(found, key=lambda one: one[0]):
        uploads, body = [], bytearray()
        for _, upload, ref, number, token, filter_ in some:
            uploads.append(upload)
            body += ref + bytes([number]) + token + filter_
        for _ in placing.lay(conn, study, [(np.frombuffer(body, ROW), np.array(uploads, np.uint32))]):
            pass
    conn.executemany("DELETE FROM fresh WHERE upload = ?", sorted({(one[1],) for one in found}))
    conn.executemany("DELETE FROM row WHERE study = ? AND ref = ?", [(one[0], one[2]) for one in found])
    return True
