"""How far the registrar is in what it tells the comparator, and which receipts are too old to be mapped.

Both rooms keep the number of messages and the hash over them. Where the two differ, one of them was restored from a
backup: nothing is told before the rooms are reconciled (docs/spec/rooms.md, M7).
"""

from __future__ import annotations

from trustcenter.errors import ConflictError
from trustcenter.store import Connection, Migration
from trustcenter.store.steps import TABLE, set_step, step

__all__ = ["MIGRATIONS", "require_newer", "set_step", "settle", "settled", "step"]

_MORE = """
        CREATE TABLE settled (
            study TEXT NOT NULL REFERENCES study(name),
            site TEXT NOT NULL,
            receipt INTEGER NOT NULL,       -- of the newest receipt whose upload may have been dropped
            PRIMARY KEY (study, site)
        ) STRICT, WITHOUT ROWID;
        ALTER TABLE study ADD COLUMN window_floor INTEGER NOT NULL DEFAULT 0;  -- newest window that either room had
        CREATE TABLE outbox_kinds (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            payload BLOB NOT NULL
        ) STRICT;
        INSERT INTO outbox_kinds (kind, payload) SELECT kind, payload FROM outbox ORDER BY id;
        DROP TABLE outbox;
        ALTER TABLE outbox_kinds RENAME TO outbox;
        """

MIGRATIONS = (
    Migration(
        number=582,
        name="steps of the exchange between the rooms",
        sql=TABLE + _MORE,
    ),
    Migration(
        number=685,
        name="when a source began its last upload",
        sql="""
        ALTER TABLE settled ADD COLUMN began TEXT NOT NULL DEFAULT '';  -- '' once nothing of it can be left staged
        """,
    ),
)


def settle(conn: Connection, study: str, site: str, sequence: int, began: str = "") -> None:
    """Remember that uploads of a source up to this receipt may be gone at the comparator.

    Args:
        conn: of the writing transaction.
        study: its name.
        site: the source.
        sequence: the receipt.
        began: when the source begins another upload, RFC 3339; "" if it does not.
    """
    conn.execute(
        "INSERT INTO settled (study, site, receipt, began) VALUES (?,?,?,?) ON CONFLICT (study, site) DO UPDATE"
        " SET began = excluded.began, receipt ="
        " CASE WHEN settled.receipt < excluded.receipt THEN excluded.receipt ELSE settled.receipt END",
        (study, site, sequence, began),
    )


def idle(conn: Connection, until: str) -> list[tuple[str, str]]:
    """Sources that began their last upload before then, and may have left some of it staged: study and site."""
    query = (
        "SELECT d.study, d.site FROM settled d JOIN study s ON s.name = d.study"
        " WHERE d.began <> '' AND d.began <= ? AND s.purged IS NULL ORDER BY d.study, d.site"
    )
    return [(study, site) for study, site in conn.execute(query, (until,))]


def settled(conn: Connection, study: str, site: str) -> int:
    """The newest receipt of a source whose upload may have been dropped; 0 for none."""
    row = conn.execute("SELECT receipt FROM settled WHERE study = ? AND site = ?", (study, site)).fetchone()
    return int(row[0]) if row is not None else 0


def require_newer(conn: Connection, study: str, site: str, sequence: int) -> None:
    """Refuse the map of an upload that was given up.

    Raises:
        ConflictError: its source has opened another one since.
    """
    if sequence <= settled(conn, study, site):
        raise ConflictError(
            "the rows of this receipt were dropped when the site began another upload",
            code="receipt_over",
            hint="run the upload again; one at a time for each study",
            where="receipt",
        )
