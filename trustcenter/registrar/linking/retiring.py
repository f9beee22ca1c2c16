"""Refs that the comparator is still to be told of: of records that were withdrawn or declared duplicates.

Here such a record is gone at once, and its rows take part in nothing any more. Told at once, the comparator would see
which of its rows were one record. So they wait for others: until a minimum batch of records is together, or the next
window, or a week, whichever comes first. A window never compares with rows that wait: they count against the caps of
their blocks, so what it finds would depend on when somebody withdrew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import numpy as np

from trustcenter.clock import stamp
from trustcenter.messages.rooms import Retire
from trustcenter.registrar.context import Context
from trustcenter.store import Connection, Migration
from trustcenter.store.packed import Keys

from . import outbox

MIGRATIONS: Final = (
    Migration(
        number=633,
        name="refs that wait to be retired",
        sql="""
        CREATE TABLE retiring (
            study TEXT NOT NULL REFERENCES study(name),
            ref BLOB NOT NULL,
            since TEXT NOT NULL,
            PRIMARY KEY (study, ref)      -- in the order of refs, which says nothing of records
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)
DAYS_MAX: Final = 7  # that rows of somebody who withdrew stay at the comparator, where no window comes
_REFS_PER_MESSAGE: Final = 200_000


def wait(context: Context, conn: Connection, study: str, refs: Sequence[bytes]) -> None:
    """Let refs wait that no record has any more; tell of all once a minimum batch of records is together."""
    since = stamp(context.clock())
    conn.executemany("INSERT INTO retiring VALUES (?,?,?) ON CONFLICT DO NOTHING", [(study, r, since) for r in refs])
    (least,) = conn.execute("SELECT minimum_batch * passes FROM study WHERE name = ?", (study,)).fetchone()
    if count(conn, study) >= least:
        tell(conn, study)


def tell(conn: Connection, study: str) -> int:
    """Tell the comparator of all that waits in a study; returns how many refs."""
    refs = [bytes(ref) for (ref,) in conn.execute("SELECT ref FROM retiring WHERE study = ? ORDER BY ref", (study,))]
    conn.execute("DELETE FROM retiring WHERE study = ?", (study,))
    for start in range(0, len(refs), _REFS_PER_MESSAGE):
        outbox.put(conn, "retire", Retire(study=study, refs=b"".join(refs[start : start + _REFS_PER_MESSAGE])))
    return len(refs)


def tell_before(conn: Connection, study: str, keys: Keys) -> None:
    """Tell of all that waits in a study before rows come with some of these refs again, or they would go with it."""
    waiting = b"".join(bytes(ref) for (ref,) in conn.execute("SELECT ref FROM retiring WHERE study = ?", (study,)))
    if bool(keys.among(np.frombuffer(waiting, np.uint8).reshape(-1, 16)).any()):
        tell(conn, study)


async def tell_due(context: Context) -> int:
    """Tell of everything in studies where some of it has waited long enough; returns how many refs."""
    until = stamp(context.clock() - timedelta(days=DAYS_MAX))
    query = "SELECT DISTINCT study FROM retiring WHERE since <= ? ORDER BY study"

    def due(conn: Connection) -> list[str]:
        return [study for (study,) in conn.execute(query, (until,)).fetchall()]

    if not await context.db.read(due):
        return 0
    return await context.db.write(lambda conn: sum(tell(conn, study) for study in due(conn)))


def count(conn: Connection, study: str) -> int:
    """How many refs of a study wait."""
    return int(conn.execute("SELECT count(*) FROM retiring WHERE study = ?", (study,)).fetchone()[0])


def between(conn: Connection, study: str, low: bytes, high: bytes | None) -> list[bytes]:
    """The refs of a study that wait, above `low` and up to `high` (None: the end), in their order."""
    end, values = ("", ()) if high is None else (" AND ref <= ?", (high,))
    query = f"SELECT ref FROM retiring WHERE study = ? AND ref > ?{end} ORDER BY ref"  # noqa: S608 - constants
    return [bytes(ref) for (ref,) in conn.execute(query, (study, low, *values))]


def forget(conn: Connection, study: str) -> None:
    """Forget what waits in a study whose rows are purged."""
    conn.execute("DELETE FROM retiring WHERE study = ?", (study,))
