"""Packed entries against a plain list of them, on both stores: added, found, removed, counted, rewritten."""

from __future__ import annotations

import os

import numpy as np
import pytest

from trustcenter.store import Connection, Database, Location, Migration, packed
from trustcenter.store.packed import PAGE, Keys, Packed, ddl

KIND = np.dtype([("key", "u1", 16), ("value", "<i8")])
THINGS = Packed("things", KIND, "key")
TABLE = (Migration(1, "things", ddl("things")),)


def entries(count: int, first: int = 0, prefix: bytes = b"") -> np.ndarray:
    made = np.empty(count, KIND)
    made["key"] = np.frombuffer(os.urandom(16 * count), np.uint8).reshape(count, 16)
    made["key"][:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    made["value"] = np.arange(first, first + count)
    return made


def as_set(found: np.ndarray) -> set[bytes]:
    return {entry.tobytes() for entry in found}


def together(parts) -> np.ndarray:
    return np.concatenate([np.empty(0, KIND), *parts])


async def test_entries_are_found_removed_and_counted_like_those_of_a_list(place: Location) -> None:
    database = await Database.open(place, TABLE)
    kept = [entries(n, 10_000 * n) for n in (1, 3000, 40, 700)]
    other = entries(500)
    # Keys that share their first halves with others: chance never makes them, and nothing may rest on that.
    alike = entries(200, 99_000, os.urandom(8))
    kept.append(alike)

    def fill(conn: Connection) -> None:
        THINGS.add(conn, 8, other)
        for part in kept:
            THINGS.add(conn, 7, part)

    try:
        await database.write(fill)
        whole = together(kept)
        for asked in (whole[::7], alike[:3], other, whole):
            wanted = np.isin(whole["value"], asked["value"]) if asked is not other else np.zeros(len(whole), np.bool_)
            found = await database.read(lambda conn, a=asked: together(THINGS.find(conn, 7, Keys.of(a["key"]))))
            assert as_set(found) == as_set(whole[wanted])
        gone = whole[np.isin(whole["value"], np.concatenate((whole["value"][::3], alike["value"][:50])))]
        removed = await database.write(lambda conn: THINGS.remove(conn, 7, Keys.of(gone["key"])))
        assert as_set(removed) == as_set(gone)
        odd = await database.write(
            lambda conn: THINGS.remove(conn, 7, Keys.of(whole["key"]), also=lambda some: some["value"] % 2 == 1)
        )
        rest = whole[~np.isin(whole["value"], gone["value"]) & (whole["value"] % 2 == 0)]
        assert (odd["value"] % 2 == 1).all()
        assert as_set(await database.read(lambda conn: together(THINGS.read(conn, 7)))) == as_set(rest)
        by_part = await database.read(lambda conn: together(THINGS.sorted(conn, 7, part) for part in range(256)))
        assert [e["key"].tobytes() for e in by_part] == sorted(e["key"].tobytes() for e in rest)
        low, high = sorted(rest["key"][i].tobytes() for i in (5, 60))
        for bounds in ((low, high), (b"", low), (high, None)):
            found = await database.read(lambda conn, b=bounds: THINGS.between(conn, 7, *b))
            keys = sorted(e["key"].tobytes() for e in rest)
            inside = [k for k in keys if k > bounds[0] and (bounds[1] is None or k <= bounds[1])]
            assert [e["key"].tobytes() for e in found] == inside
        counts = await database.read(lambda conn: (THINGS.count(conn, 7), THINGS.count(conn, 0, 100)))
        assert counts == (len(rest), len(rest) + 500)
        assert await database.read(lambda conn: [THINGS.misfits(conn, space) for space in (7, 8)]) == [0, 0]
        assert await database.write(lambda conn: THINGS.drop(conn, 7)) == len(rest)
        assert await database.read(THINGS.spaces) == [8]
    finally:
        await database.close()


def test_keys_are_found_in_their_places_even_where_they_begin_alike() -> None:
    alike, others = entries(40, prefix=os.urandom(8))["key"], entries(500)["key"]
    for chosen in (others[::2], np.concatenate((alike[::2], others[::2]))):
        keys = Keys.of(np.concatenate((chosen, chosen[:5])))
        order = sorted(key.tobytes() for key in chosen)
        asked = np.concatenate((alike, others))
        expected = [order.index(key.tobytes()) if key.tobytes() in order else -1 for key in asked]
        assert keys.places(asked).tolist() == expected
        assert keys.among(asked).tolist() == [place >= 0 for place in expected]
    assert Keys.of(others[:0]).places(others[:3]).tolist() == [-1, -1, -1]


async def test_pages_stay_few_however_small_the_parts_that_come(place: Location) -> None:
    database = await Database.open(place, TABLE)
    try:
        kept = [entries(30, 100 * n, b"\x11") for n in range(60)]
        for part in kept:
            await database.write(lambda conn, p=part: THINGS.add(conn, 1, p))
        pages = await database.read(lambda conn: conn.execute("SELECT count(*) FROM things").fetchone()[0])
        assert pages <= 5 * len(kept) * 30 // PAGE + 9
        assert as_set(await database.read(lambda conn: together(THINGS.read(conn, 1)))) == as_set(together(kept))
    finally:
        await database.close()


async def test_few_entries_are_mixed_until_there_are_enough(place: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "FEW", 1000)
    database = await Database.open(place, TABLE)
    kept: list[np.ndarray] = []

    async def check() -> None:
        whole = together(kept)
        found = await database.read(lambda conn: together(THINGS.find(conn, 1, Keys.of(whole["key"][::5]))))
        assert as_set(found) == as_set(whole[::5])
        some = await database.read(lambda conn: together(THINGS.read(conn, 1, 16, 80)))
        assert as_set(some) == as_set(whole[(whole["key"][:, 0] >= 16) & (whole["key"][:, 0] < 80)])
        for part in (0, 255):
            ordered = await database.read(lambda conn, p=part: THINGS.sorted(conn, 1, p)["key"])
            assert [key.tobytes() for key in ordered] == sorted(key.tobytes() for key in whole["key"] if key[0] == part)
        assert await database.read(lambda conn: (THINGS.count(conn, 1), THINGS.misfits(conn, 1))) == (len(whole), 0)

    async def pages() -> tuple[int, int]:
        query = "SELECT count(*) FROM things WHERE part = 256 UNION ALL SELECT count(*) FROM things WHERE part < 256"
        (mixed,), (others,) = await database.read(lambda conn: conn.execute(query).fetchall())
        return mixed, others

    try:
        for number in range(4):
            kept.append(entries(240, 1000 * number))
            await database.write(lambda conn: THINGS.add(conn, 1, kept[-1]))
            await check()
            assert await pages() == (number + 1, 0)
        kept.append(entries(240, 9000))
        await database.write(lambda conn: THINGS.add(conn, 1, kept[-1]))
        assert (await pages())[0] == 0
        kept.append(entries(240, 10_000))
        await database.write(lambda conn: THINGS.add(conn, 1, kept[-1]))
        await check()
        gone = await database.write(lambda conn: THINGS.remove(conn, 1, Keys.of(kept[-1]["key"][:200])))
        assert as_set(gone) == as_set(kept[-1][:200])
        kept[-1] = kept[-1][200:]
        await check()
    finally:
        await database.close()


async def test_parts_that_become_crowded_together_are_rewritten_one_after_the_other(
    place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "FEW", 0)
    parts, large = 16, 4096
    database = await Database.open(place, TABLE)

    def spread(count: int) -> np.ndarray:
        made = entries(count * parts)
        made["key"][:, 0] = np.arange(count * parts) % parts
        return made

    def add(conn: Connection) -> int:
        """Entries that were written, with those of pages that were rewritten."""
        (last,) = conn.execute("SELECT max(number) FROM things").fetchone()
        THINGS.add(conn, 1, spread(1))
        return int(conn.execute("SELECT sum(entries) FROM things WHERE number > ?", (last,)).fetchone()[0])

    try:
        await database.write(lambda conn: THINGS.add(conn, 1, spread(large)))
        written = [await database.write(add) for _ in range(5 * parts)]
        assert max(written) <= parts * (PAGE + 2)
        assert sum(written) > parts * large  # every part was, meanwhile
        query = "SELECT max(n) FROM (SELECT count(*) AS n FROM things GROUP BY part) AS of_parts"
        pages = await database.read(lambda conn: conn.execute(query).fetchone()[0])
        assert pages <= 2 * (5 * large // PAGE + 8 + 1)
        assert await database.read(lambda conn: (THINGS.misfits(conn, 1), THINGS.count(conn, 1))) == (
            0,
            parts * (large + 5 * parts),
        )
    finally:
        await database.close()


@pytest.mark.parametrize("change", ["body = substr(body, 1, length(body) - 1)", "first = last"])
async def test_a_damaged_page_is_noticed(place: Location, change: str) -> None:
    database = await Database.open(place, TABLE)
    try:
        await database.write(lambda conn: THINGS.add(conn, 1, entries(30, 0, b"\x11")))
        await database.write(lambda conn: conn.execute(f"UPDATE things SET {change}"))
        assert await database.read(lambda conn: THINGS.misfits(conn, 1)) == 1
    finally:
        await database.close()
