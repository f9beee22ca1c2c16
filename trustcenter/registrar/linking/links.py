"""Links of a run and their commitments, written before the transaction that applies it, in several of their own.

Of a first run there are millions. They count for nothing until their run is applied; those of a run that is taken up
again, or that ends in another way, go first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from trustcenter.audit.tree import grow, leaf_hash, root_of
from trustcenter.registrar import turns
from trustcenter.registrar.context import Context
from trustcenter.store import Connection, insert_rows

from . import linkage_log
from .outcome import CLASSES, Decided
from .runs import RunRow, find, require_step, require_wanted

_SLICE: Final = 10_000  # links of one transaction


class Links:
    """The links of one decided run."""

    def __init__(self, context: Context, run: RunRow, decided: Decided) -> None:
        self._context, self._run, self._decided = context, run, decided
        self._names: dict[int, str] = {}
        self._frontier: list[bytes] = []  # of the tree over the leaves

    @property
    def entry(self) -> dict[str, Any]:
        """What the log's entry of the run says of its decisions, once they are kept."""
        return {"decisions": len(self._decided.links), "decisions_root": root_of(self._frontier).hex()}

    async def keep(self) -> AsyncIterator[tuple[int, int]]:
        """Write them, in the order of pairs.

        Yields:
            After each transaction how many there were, and how many there are.

        Raises:
            ConflictError: the run has ended meanwhile. CancelledRun: it is not to be applied.
        """
        context, total = self._context, len(self._decided.links)
        await drop(context, self._run)
        self._names = dict(await context.db.read(lambda conn: conn.execute("SELECT id, name FROM domain").fetchall()))
        starts = range(0, total, _SLICE)
        making = asyncio.create_task(asyncio.to_thread(self._made, 0))
        for done, start in enumerate(starts, 1):
            links, decisions = await making
            began = time.perf_counter()
            # The next ones are made while these are written, and while others have their turn.
            making = asyncio.create_task(asyncio.to_thread(self._made, start + _SLICE))

            def effect(conn: Connection) -> None:
                require_step(find(conn, self._run.study, self._run.id).state, "applied")
                require_wanted(conn, self._run)
                insert_rows(conn, "link", [(self._run.id, *link) for link in links])  # noqa: B023 - awaited below
                insert_rows(conn, "linkage_decision", decisions)  # noqa: B023 - the same

            await context.db.write(effect)
            yield done, len(starts)
            await turns.give_way(context, time.perf_counter() - began)

    def _made(self, start: int) -> tuple[list[linkage_log.Link], list[tuple[Any, ...]]]:
        """Some links, and their commitments, whose leaves are added to the tree."""
        part = self._decided.links[start : start + _SLICE]
        sides = (self._decided.records[part[side]].tolist() for side in ("a", "b"))
        links = [
            (*a, *b, edges, level, posterior, CLASSES[kind])
            for a, b, (_, _, edges, level, posterior, kind) in zip(*sides, part.tolist(), strict=True)
        ]
        decisions = linkage_log.commit(self._run.id, self._names, links, start)
        for number, leaf in enumerate((row[2] for row in decisions), start):
            grow(self._frontier, number, leaf_hash(leaf))
        return links, decisions


async def drop(context: Context, run: RunRow) -> None:
    """Remove the links of a run that was not applied, with their commitments, which no entry of the log names."""

    def some(conn: Connection) -> int:
        if find(conn, run.study, run.id).state == "applied":
            return 0
        gone = 0
        # Commitments first: where one is still there when its link goes, it stays as one that was erased.
        for table, key in (("linkage_decision", "number"), ("link", "domain_a, serial_a, domain_b, serial_b")):
            gone += conn.execute(
                f"DELETE FROM {table} WHERE run = ? AND ({key}) IN"  # noqa: S608 - constants
                f" (SELECT {key} FROM {table} WHERE run = ? ORDER BY {key} LIMIT {_SLICE})",
                (run.id, run.id),
            ).rowcount
        return gone

    while await context.db.write(some):
        pass
