"""What goes for good is cleaned up in chunks: refs of a version of a study that is over, or all that a purge removes.

That it goes is decided in one transaction, with its entry in the log, and from then on nothing counts with it: a run
waits for the end of the cleaning. The cleaning is a job with a cursor; others have their turn between its transactions,
and killed anywhere, the next start goes on.

    version over:  refs by ref, part by part, each told to the comparator ──► refs by record
    purge:         links ──► edges ──► refs by record ──► refs by ref
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trustcenter.messages.rooms import Retire
from trustcenter.registrar import turns
from trustcenter.registrar.context import Context
from trustcenter.registrar.study import ref_owners, refs
from trustcenter.store import Connection, Migration
from trustcenter.store.packed import PARTS, Keys

from . import outbox, pairs

MIGRATIONS: Final = (
    Migration(
        number=681,
        name="cleaning up in chunks",
        sql="""
        CREATE TABLE sweep (
            study TEXT NOT NULL REFERENCES study(name),
            version INTEGER NOT NULL,     -- refs up to this version of the study go; 0: all that a purge removes
            part INTEGER NOT NULL,        -- refs that begin with a smaller byte are gone by ref
            PRIMARY KEY (study, version)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)
PURGE: Final = 0  # instead of a version
ROWS: Final = 10_000  # links, pairs or records of one transaction
PAGES: Final = 300  # pages of refs of one transaction
# Refs of one transaction, and of one message: tokens are spread, so each message makes the comparator rewrite most of
# its pages.
REFS: Final = 1_000_000
_READ: Final = 10_000  # records read at a time


@dataclass(frozen=True)
class Sweep:
    """One that is under way."""

    study: str
    version: int
    part: int


def order(conn: Connection, study: str, version: int) -> None:
    """Have something cleaned up, in the transaction that decides it. Ordered again, nothing changes."""
    conn.execute("INSERT INTO sweep VALUES (?,?,0) ON CONFLICT DO NOTHING", (study, version))


def waiting(conn: Connection) -> list[Sweep]:
    """What is not cleaned up yet."""
    rows = conn.execute("SELECT study, version, part FROM sweep ORDER BY study, version").fetchall()
    return [Sweep(*row) for row in rows]


async def carry_out(context: Context) -> None:
    """Clean up everything that was ordered; nothing to do if nothing was."""
    if not await context.db.read(waiting):
        return
    async with context.cleaning, context.db.turn("sweep"):
        for sweep in await context.db.read(waiting):
            if sweep.version == PURGE:
                await _purge(context, sweep)
            else:
                await _retire(context, sweep)


async def _retire(context: Context, sweep: Sweep) -> None:
    """Retire the refs of a version, here and at the comparator."""
    domains = await context.db.read(lambda conn: refs.domains_of(conn, sweep.study))
    held = await context.db.read(lambda conn: refs.held_until(conn, domains, sweep.version))
    width = max(1, PARTS * REFS // max(held, 1))
    for first in range(sweep.part, PARTS, width):
        end = min(first + width, PARTS)
        gone = await context.db.read(lambda conn, f=first, e=end: _of_parts(conn, domains, sweep.version, f, e))  # type: ignore[misc]

        def effect(conn: Connection) -> int:
            for domain, packed in gone.items():  # noqa: B023 - awaited below
                ref_owners.remove(conn, domain, Keys.of(refs.split(packed)))
            keys = Keys.of(refs.split(b"".join(gone.values())))  # noqa: B023 - the same
            if len(keys.first):
                outbox.put(conn, "retire", Retire(study=sweep.study, refs=b"".join(refs.packed(keys))))
            return conn.execute(
                "UPDATE sweep SET part = ? WHERE study = ? AND version = ?",
                (end, sweep.study, sweep.version),  # noqa: B023 - the same
            ).rowcount

        await _step(context, effect)
    for domain in domains:
        key = "domain, serial, version"
        await _delete(context, "record_refs", key, "domain = ? AND version <= ?", (domain, sweep.version))
    await _done(context, sweep)


def _of_parts(conn: Connection, domains: list[int], version: int, first: int, end: int) -> dict[int, bytes]:
    """The refs of old versions, by domain, that begin with some bytes; packed."""
    found = {}
    for domain in domains:
        mine = bytearray()
        query = "SELECT refs FROM record_refs WHERE domain = ? AND version <= ?"
        cursor = conn.execute(query, (domain, version))
        while rows := cursor.fetchmany(_READ):
            table = refs.split(b"".join(row[0] for row in rows))
            mine += table[(table[:, 0] >= first) & (table[:, 0] < end)].tobytes()
        found[domain] = bytes(mine)
    return found


async def _purge(context: Context, sweep: Sweep) -> None:
    """Remove links, edges and refs of a study; persons and pseudonyms stay."""
    runs = await context.db.read(
        lambda conn: conn.execute("SELECT id FROM run WHERE study = ? ORDER BY id", (sweep.study,)).fetchall()
    )
    domains = await context.db.read(lambda conn: refs.domains_of(conn, sweep.study))
    pair = "domain_a, serial_a, domain_b, serial_b"
    for (run,) in runs:
        await _delete(context, "link", f"run, {pair}", "run = ?", (run,))
    for domain in domains:
        await _delete(context, "pair", pair, "domain_a = ?", (domain,))
        await _delete(context, "neighbours", "domain, serial", "domain = ?", (domain,))
        await _delete(context, "record_refs", "domain, serial, version", "domain = ?", (domain,))
        while await _step(context, lambda conn, at=domain: ref_owners.drop_some(conn, at, PAGES)):  # type: ignore[misc]
            pass
    await context.db.write(lambda conn: pairs.purge(conn, sweep.study))
    await _done(context, sweep)


async def _delete(context: Context, table: str, key: str, where: str, values: tuple[object, ...]) -> None:
    """Delete rows of a table, some in each transaction."""
    some = f"SELECT {key} FROM {table} WHERE {where} ORDER BY {key} LIMIT {ROWS}"  # noqa: S608 - constants
    query = f"DELETE FROM {table} WHERE ({key}) IN ({some})"  # noqa: S608 - constants
    while await _step(context, lambda conn: conn.execute(query, values).rowcount):
        pass


async def _step(context: Context, effect: Callable[[Connection], int]) -> int:
    """One transaction, after which others have their turn; how much it did."""

    def erase(conn: Connection) -> int:
        context.db.forget_soon()
        return effect(conn)

    began = time.perf_counter()
    done = await context.db.write(erase, large=True)
    await turns.give_way(context, time.perf_counter() - began)
    return done


async def _done(context: Context, sweep: Sweep) -> None:
    query = "DELETE FROM sweep WHERE study = ? AND version = ?"
    await context.db.write(lambda conn: conn.execute(query, (sweep.study, sweep.version)).rowcount)
