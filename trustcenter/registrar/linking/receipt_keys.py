"""Which keys the comparator signs receipts with, as far as the registrar was told: the first from its key store or its
card, each later one from a receipt that carries the handover.

A handover that leads elsewhere than one that was learnt before is refused: two keys cannot both follow one. A key that
was handed over from is believed for a while, for uploads that were under way.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from trustcenter.audit import Event
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, VerificationError
from trustcenter.messages.receipts import Receipt
from trustcenter.registrar.context import Context
from trustcenter.store import Connection, Migration

GRACE: Final = timedelta(days=30)  # that a receipt under an earlier key is taken

MIGRATIONS: Final = (
    Migration(
        number=672,
        name="receipt keys of the comparator",
        sql="""
        CREATE TABLE receipt_key (
            number INTEGER PRIMARY KEY,
            root TEXT NOT NULL,           -- the key that the comparator was known by, 64 hex digits
            before TEXT NOT NULL,
            after TEXT NOT NULL,
            learnt TEXT NOT NULL,
            UNIQUE (root, before)
        ) STRICT;
        """,
    ),
)


def known(context: Context, conn: Connection) -> list[tuple[str, str]]:
    """Every key that is known and when it was learnt, oldest first: the first one is known without being told."""
    root = context.comparator_key.hex()
    rows = conn.execute("SELECT before, after, learnt FROM receipt_key WHERE root = ?", (root,)).fetchall()
    following = {before: (after, learnt) for before, after, learnt in rows}
    found = [(root, "")]
    while (step := following.get(found[-1][0])) is not None:
        found.append(step)
    return found


def check(context: Context, conn: Connection, receipt: Receipt) -> list[tuple[str, str]]:
    """Test a receipt; returns the handovers (before, after) that are new, for `learn` in the transaction of its map.

    Raises:
        VerificationError: the comparator of this instance did not sign it.
        ConflictError: its key was handed over from long ago.
    """
    keys = known(context, conn)
    here = [key for key, _ in keys]
    told = [key.hex() for key in receipt.key_chain()] or [here[0]]
    signer = told[-1]
    if signer in here:
        receipt.verify(bytes.fromhex(signer))
        at = here.index(signer)
        if at + 1 < len(keys) and datetime.fromisoformat(keys[at + 1][1]) + GRACE < context.clock():
            raise ConflictError(
                "the key that signed this receipt was replaced more than 30 days ago",
                code="receipt_over",
                hint="run the upload again: it gets a receipt under the present key",
                where="receipt",
            )
        return []
    if here[-1] not in told:
        raise VerificationError(
            "this receipt was not signed by the comparator of this instance",
            code="bad_receipt",
            hint="if the comparator was set up anew, its operator shows its card again: trustcenter rooms pair",
            where="receipt",
        )
    receipt.verify(bytes.fromhex(here[-1]))
    start = told.index(here[-1])
    return list(pairwise(told[start:]))


def learn(context: Context, conn: Connection, who: str, request: str, fresh: list[tuple[str, str]]) -> None:
    """Remember handovers, each with its entry.

    Raises:
        VerificationError: another one was learnt meanwhile.
    """
    for before, after in fresh:
        row = conn.execute(
            "INSERT INTO receipt_key (root, before, after, learnt) VALUES (?,?,?,?)"
            " ON CONFLICT (root, before) DO NOTHING RETURNING after",
            (context.comparator_key.hex(), before, after, stamp(context.clock())),
        ).fetchone()
        if row is None:
            query = "SELECT after FROM receipt_key WHERE root = ? AND before = ?"
            if conn.execute(query, (context.comparator_key.hex(), before)).fetchone()[0] != after:
                raise VerificationError("two keys follow one receipt key", code="bad_receipt", where="receipt")
            continue
        context.audit(
            conn, Event.KEY_ROTATE, who, request, purpose="receipt", room="comparator", from_key=before, to_key=after
        )


def forget(conn: Connection) -> None:
    """Begin with the first key again: the comparator was restored, and may have handed over to another one since."""
    conn.execute("DELETE FROM receipt_key")
