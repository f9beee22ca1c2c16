"""The tag index against a plain dictionary, with keys so short that nearly every tag clashes with another."""

from __future__ import annotations

import hashlib
import itertools
import os
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustcenter.registrar.pseudonyms.tagindex import Part, TagIndex

TABLES = """
CREATE TABLE entry (domain INTEGER, serial INTEGER, nonce BLOB, tag BLOB, idx INTEGER DEFAULT 0,
  PRIMARY KEY (domain, serial)) WITHOUT ROWID;
CREATE TABLE tag_main (key INTEGER PRIMARY KEY, domain INTEGER NOT NULL, serial INTEGER NOT NULL) STRICT;
CREATE TABLE tag_recent (key INTEGER PRIMARY KEY, domain INTEGER NOT NULL, serial INTEGER NOT NULL) STRICT;
CREATE TABLE tag_clash (domain INTEGER NOT NULL, tag BLOB NOT NULL, serial INTEGER NOT NULL,
  PRIMARY KEY (domain, tag)) STRICT, WITHOUT ROWID;
"""


def store() -> sqlite3.Connection:
    conn = sqlite3.connect(":memory:", isolation_level=None)
    conn.executescript(TABLES)
    return conn


def test_rows_are_found_side_by_side_and_elsewhere() -> None:
    conn, index = store(), TagIndex(many=10)
    tags = [hashlib.sha256(bytes([n // 256, n % 256])).digest()[:16] for n in range(400)]
    serials = {**{n: 1000 + n for n in range(300)}, **{n: 90_000 + 7 * n for n in range(300, 390)}}
    for n, serial in serials.items():
        conn.execute("INSERT INTO entry VALUES (1,?,?,?,0)", (serial, bytes(5), tags[n]))
    conn.execute("INSERT INTO entry VALUES (2,1010,?,?,0)", (bytes(5), tags[395]))
    index.add(conn, 1, {tags[n]: serial for n, serial in serials.items()})
    index.add(conn, 2, {tags[395]: 1010})
    for asked in (
        range(20, 280),
        range(9),
        range(100, 400),
        range(390, 400),
        [0, 399, 250, 11, 12, 13, 14, 15, 16, 17],
    ):
        found = index.serials(conn, 1, [tags[n] for n in asked])
        assert {n: found[tags[n]] for n in asked if tags[n] in found} == {n: serials[n] for n in asked if n in serials}


# 40 tags of which many share their first bytes, in two domains.
TAGS = [bytes([n % 5]) * 8 + bytes([n]) * 8 for n in range(40)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["get", "remove"]),
        st.sampled_from([1, 2]),
        st.lists(st.sampled_from(TAGS), min_size=1, max_size=12, unique=True),
    ),
    max_size=30,
)


@given(steps=STEPS, bits=st.sampled_from([1, 3, 63]), every=st.sampled_from([1, 3, 10_000]))
def test_it_answers_as_a_dictionary_would(steps, bits: int, every: int) -> None:
    conn, index = store(), TagIndex(bits=bits, ranges=2, every=every)
    model: dict[tuple[int, bytes], tuple[int, bytes]] = {}
    serial = 0
    for action, domain, tags in steps:
        found = index.find(conn, domain, tags)
        assert found.rows == {tag: model[domain, tag] for tag in tags if (domain, tag) in model}
        if action == "get":
            new = {}
            for tag in tags:
                if tag not in found.rows:
                    serial += 1
                    new[tag] = serial
                    model[domain, tag] = (serial, serial.to_bytes(5, "big"))
                    conn.execute(
                        "INSERT INTO entry VALUES (?,?,?,?,0)",
                        (domain, serial, serial.to_bytes(5, "big"), tag),
                    )
            index.add(conn, domain, new, found.taken)
        else:
            for tag, (number, _) in found.rows.items():
                index.forget(conn, domain, [number])
                conn.execute("DELETE FROM entry WHERE domain = ? AND serial = ?", (domain, number))
                del model[domain, tag]
    for domain in (1, 2):
        assert index.find(conn, domain, TAGS).rows == {tag: row for (d, tag), row in model.items() if d == domain}


def test_every_key_ends_in_the_large_table_once() -> None:
    conn, index = store(), TagIndex(ranges=8, every=100)
    tags = [os.urandom(16) for _ in range(3000)]
    for start in range(0, len(tags), 50):
        part = tags[start : start + 50]
        index.add(conn, 1, {tag: start + i for i, tag in enumerate(part)}, frozenset())
    counts = [conn.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("tag_main", "tag_recent", "tag_clash")]
    assert sum(counts) == 3000
    assert counts[1] <= 8 * 100
    assert counts[2] == 0


def test_more_tags_than_one_statement_can_name() -> None:
    conn, index = store(), TagIndex()
    tags = [os.urandom(16) for _ in range(70_000)]
    conn.executemany("INSERT INTO entry VALUES (1,?,?,?,0)", ((i, b"n", tag) for i, tag in enumerate(tags)))
    index.add(conn, 1, {tag: i for i, tag in enumerate(tags)}, frozenset())
    assert len(index.find(conn, 1, tags).rows) == 70_000


@given(tag=st.binary(min_size=16, max_size=16), bits=st.sampled_from([1, 3, 63]))
def test_the_least_tag_of_a_key_parts_the_tags_as_their_keys_do(tag: bytes, bits: int) -> None:
    index = TagIndex(bits=bits)
    key = index.key(tag)
    assert index.least(key) <= tag < index.least(key + 1)


@pytest.mark.parametrize("bits", [1, 63])
def test_an_empty_batch_is_nothing(bits: int) -> None:
    conn, index = store(), TagIndex(bits=bits)
    assert index.find(conn, 1, []).rows == {}
    index.add(conn, 1, {}, frozenset())


@given(
    kept=st.lists(st.booleans(), min_size=1, max_size=20),
    moved=st.sets(st.integers(0, 19)),
    bits=st.sampled_from([2, 3, 63]),
    every=st.sampled_from([1, 10_000]),
    cuts=st.integers(1, 4),
)
def test_rows_with_new_tags_are_found_before_and_after_their_places_are_exchanged(
    kept: list[bool], moved: set[int], bits: int, every: int, cuts: int
) -> None:
    """Of each row: whether it kept its original; whether a request moved it. The list of places is of before."""
    conn, index = store(), TagIndex(bits=bits, ranges=2, every=every)
    old, new = TAGS[: len(kept)], [bytes([n % 7]) * 8 + b"new-" + bytes([n]) * 4 for n in range(len(kept))]
    foreign = {tag: 100 + place for place, tag in enumerate(TAGS)}
    insert = "INSERT INTO entry VALUES (?,?,?,?,0)"
    conn.executemany(insert, [(1, serial, bytes(5), tag) for serial, tag in enumerate(old)])
    conn.executemany(insert, [(2, serial, bytes(5), tag) for tag, serial in foreign.items()])
    index.add(conn, 1, {tag: serial for serial, tag in enumerate(old)})
    index.add(conn, 2, foreign)
    conn.executemany("UPDATE entry SET tag = ? WHERE domain = 1 AND serial = ?", [(t, n) for n, t in enumerate(new)])
    gone = [serial for serial, keeps in enumerate(kept) if not keeps]
    index.forget(conn, 1, gone)
    conn.executemany("UPDATE entry SET tag = NULL WHERE domain = 1 AND serial = ?", [(serial,) for serial in gone])
    wanted = {tag: (serial, bytes(5)) for serial, tag in enumerate(new) if kept[serial]}

    assert index.find(conn, 1, new, old).rows == wanted
    index.move(conn, 1, old, {tag: serial for tag, (serial, _) in wanted.items() if serial in moved})
    assert index.find(conn, 1, new, old).rows == wanted
    bounds = [2**bits * part // cuts for part in range(cuts + 1)]
    for _ in range(2):  # begun again it changes nothing
        for drop, (low, past) in itertools.product((False, True), itertools.pairwise(bounds)):
            places = {serial: index.key(tag) for serial, tag in enumerate(new) if low <= index.key(tag) < past}
            ordered = dict(sorted(places.items(), key=lambda place: place[1]))
            index.exchange(conn, 1, len(kept), Part(low, past - 1, ordered, {*gone, *moved}), drop=drop)
            assert index.find(conn, 1, new, old).rows == wanted
        index.drop_clashes(conn, 1, len(kept))
        assert index.find(conn, 1, new).rows == wanted
        assert index.find(conn, 1, old).rows == {}
        assert index.find(conn, 2, TAGS).rows == {tag: (serial, bytes(5)) for tag, serial in foreign.items()}
        tables = ("tag_main", "tag_recent", "tag_clash")
        assert sum(conn.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables) == len(wanted) + len(TAGS)
