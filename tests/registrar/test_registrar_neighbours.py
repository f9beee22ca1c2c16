"""Lists of neighbours lead from the greater record of a pair to the pair, whatever is added, removed, added again."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from tests_support import make_instance

from trustcenter import config
from trustcenter.instance.opening import open_instance
from trustcenter.registrar.linking import neighbours, pairs
from trustcenter.store import Connection

Pair = tuple[int, int, int, int]


def put(conn: Connection, some: list[Pair]) -> None:
    """Pairs, with their lists first."""
    by_greater: dict[tuple[int, int], list[list[int]]] = {}
    for a, s, b, t in some:
        by_greater.setdefault((b, t), []).append([a, s])
    for (domain, serial), smaller in by_greater.items():
        neighbours.add(conn, domain, [serial], [neighbours.names(np.array(smaller, np.int64))])
    conn.executemany("INSERT INTO pair VALUES (?,?,?,?,x'00') ON CONFLICT DO NOTHING", some)


def around(conn: Connection, keys: list[tuple[int, int]]) -> set[Pair]:
    """The pairs that the lists of some records lead to."""
    found: set[Pair] = set()
    for domain in {domain for domain, _ in keys}:
        rows = neighbours.pairs_of(conn, domain, sorted(serial for at, serial in keys if at == domain))
        found.update(row[:4] for row in rows)
    return found


async def test_lists_lead_to_the_pairs_that_there_are(tmp_path: Path) -> None:
    make_instance(tmp_path / "instance")
    loaded = config.load(tmp_path / "instance")
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    chance = random.Random("neighbours")
    keys = sorted((domain, serial) for domain in (1, 2, 5) for serial in range(9))

    def work(conn: Connection) -> None:
        there: set[Pair] = set()
        for _ in range(30):
            fresh = {(*one, *other) for one, other in (sorted(chance.sample(keys, 2)) for _ in range(12))}
            put(conn, sorted(fresh))
            there |= fresh
            assert neighbours.unnamed(conn) == 0
            some = chance.sample(keys, 5)
            assert around(conn, some) == {pair for pair in there if pair[2:] in some}
            domain, serial = chance.choice(keys)
            pairs.forget(conn, domain, [serial])
            there = {pair for pair in there if (domain, serial) not in (pair[:2], pair[2:])}
            assert around(conn, keys) == there
            assert neighbours.unnamed(conn) == 0
            lists = conn.execute("SELECT domain, serial, smaller FROM neighbours").fetchall()
            named = {
                (*np.frombuffer(packed, ">i8")[at : at + 2].tolist(), b, t)
                for b, t, packed in lists
                for at in range(0, len(packed) // 8, 2)
            }
            assert named == there, "who is erased is named nowhere"
        conn.execute("DELETE FROM neighbours WHERE serial = 3")
        assert neighbours.unnamed(conn) == sum(pair[3] == 3 for pair in there)

    async with open_instance(loaded, passphrase) as opened:
        await opened.registrar.db.write(work)
