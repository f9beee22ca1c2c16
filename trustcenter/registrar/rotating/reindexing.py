"""The last part of a lookup key's rotation: a domain's places in the tag index are made anew, in the order of keys.

While rows get their new tags, each stays in the index under the key of its old one: moving it along would write two
pages at random for every row, ten gigabytes for a million. So places are exchanged at the end, range after range of
keys, where neighbours share their pages. Rows whose tag changes after the list of places was made are noted, and looked
at again inside the transaction: so repeating a range changes nothing, and what was deleted or moved stays so.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trustcenter.registrar import turns
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms.tagindex import Part
from trustcenter.store import Connection

HELD: Final = 2_000_000  # places in memory at once, 16 bytes each; the rows are read once for each part of this size
TOGETHER: Final = 4_000  # places in one transaction
BESIDE_SMALL: Final = 400  # the same while small requests arrive
PASSED: Final = 20_000  # places of all domains that one transaction looks at, about
_READ: Final = 10_000
_END: Final = 2**63

Places = NDArray[np.int64]  # (n, 2): key and serial


async def run(context: Context, domain: DomainRow, mark: int) -> None:
    """Exchange the places of all rows up to a serial; begun again, it goes through all of it once more."""
    query = "SELECT count(*) FROM entry WHERE domain = ? AND serial <= ? AND idx = 0 AND tag IS NOT NULL"
    every = "SELECT (SELECT count(*) FROM tag_main) + (SELECT count(*) FROM tag_recent)"
    (rows,) = await context.db.read(lambda conn: conn.execute(query, (domain.id, mark)).fetchone())
    (held,) = await context.db.read(lambda conn: conn.execute(every).fetchone())
    widest = _END * PASSED // max(held, PASSED)
    parts = -(-rows // HELD) or 1
    bounds = [_END * part // parts for part in range(parts + 1)]
    for drop in (False, True):  # all are entered before one is dropped: no row is without a place in between
        for low, past in itertools.pairwise(bounds):
            await _part(context, domain, mark, low, past, widest, drop)


async def _part(context: Context, domain: DomainRow, mark: int, low: int, past: int, widest: int, drop: bool) -> None:
    """The keys from `low` up to, and not with, `past`; no more than `widest` of them in one transaction."""
    # What was touched before is in the list that is made now.
    await context.db.write(lambda conn: conn.execute("DELETE FROM tag_touched WHERE domain = ?", (domain.id,)).rowcount)
    looking = turns.through(context, lambda conn: _places(context, conn, domain.id, mark, low, past))
    async with aclosing(looking) as pieces:
        found = [piece async for piece in pieces]
    places = await asyncio.to_thread(_in_order, found)
    found.clear()
    while low < past:
        began = time.perf_counter()
        size = BESIDE_SMALL if turns.small_requests(context) else TOGETHER
        end = min(int(places[size, 0]) if len(places) > size else past, low + widest, past)
        end = max(end, low + 1)  # never two transactions for one key
        cut = int(np.searchsorted(places[:, 0], end)) if end < _END else len(places)
        some, places = places[:cut], places[cut:]
        await context.db.write(functools.partial(_exchange, context, domain, mark, some, (low, end - 1), drop))
        low = end
        await turns.give_way(context, time.perf_counter() - began)


def _in_order(found: list[Places]) -> Places:
    places = np.concatenate([np.empty((0, 2), np.int64), *found])
    ordered: Places = places[np.argsort(places[:, 0], kind="stable")]
    return ordered


def _places(context: Context, conn: Connection, domain: int, mark: int, low: int, past: int) -> Iterator[Places]:
    """Key and serial of first rows, by serial, of those whose key is in the range."""
    cursor = conn.execute(
        "SELECT serial, tag FROM entry WHERE domain = ? AND serial <= ? AND idx = 0 AND tag >= ? AND tag < ?"
        " ORDER BY serial",
        (domain, mark, context.tags.least(low), context.tags.least(past)),
    )
    while part := cursor.fetchmany(_READ):
        keys = context.tags.keys([tag for _, tag in part]).astype(np.int64)
        yield np.stack([keys, np.fromiter((serial for serial, _ in part), np.int64, len(part))], axis=1)


def _exchange(
    context: Context,
    domain: DomainRow,
    mark: int,
    places: Places,
    keys: tuple[int, int],
    drop: bool,
    conn: Connection,
) -> None:
    doubtful = {serial for (serial,) in conn.execute("SELECT serial FROM tag_touched WHERE domain = ?", (domain.id,))}
    part = Part(*keys, {serial: key for key, serial in places.tolist()}, doubtful)
    context.tags.exchange(conn, domain.id, mark, part, drop=drop)


def touched(conn: Connection, domain: int, serials: Sequence[int]) -> None:
    """Note that rows get another tag or none, while their domain's lookup key is being rotated."""
    query = (
        "SELECT 1 FROM rotation r JOIN domain d ON r.scope = 'domain:' || d.uuid"
        " WHERE d.id = ? AND r.purpose = 'lookup' AND r.stage = 'rewriting'"
    )
    if conn.execute(query, (domain,)).fetchone() is not None:
        conn.executemany(
            "INSERT INTO tag_touched VALUES (?,?) ON CONFLICT (domain, serial) DO NOTHING",
            [(domain, serial) for serial in serials],
        )


def finish(context: Context, conn: Connection, domain: DomainRow, mark: int) -> None:
    """Drop what is not needed any more, in the transaction that ends the rewriting."""
    context.tags.drop_clashes(conn, domain.id, mark)
    conn.execute("DELETE FROM tag_touched WHERE domain = ?", (domain.id,))
