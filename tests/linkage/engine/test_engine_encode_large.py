"""A source in pieces, read once, leaves the bytes of the source in memory."""

import itertools
import json

import numpy as np
import pytest

from linkage import load_schema, prepare
from linkage.encode import encode, encode_pieces
from linkage.errors import EncodeInputError
from linkage.maps import write_map
from linkage.rows import write_rows
from linkage.schema import Schema
from linkage.synth import SiteSpec, SynthConfig, generate

SCHEMA = load_schema("de-person/1")


@pytest.fixture(scope="module")
def table():
    """600 people in which dates and names repeat, with birth names: caps and further values matter."""
    made = generate(SynthConfig("large", (SiteSpec("a", 600),), overlap=0.0)).sites["a"]
    columns = {k: list(v) for k, v in made.columns.items() if k in SCHEMA.columns}
    for i in range(0, 600, 3):
        columns["birth_date"][i], columns["street"][i], columns["house_number"][i] = "1980-02-29", "Am Ring", "1"
    columns["birth_name"] = ["Schulz" if i % 7 == 0 else "" for i in range(600)]
    return columns, made.ids


def several():
    """The schema with two values in two of its passes."""
    text = json.loads(SCHEMA.canonical())
    for rule in text["passes"][-3:-1]:
        rule["values"] = 2
    return Schema.parse(json.dumps({**text, "name": "mine/1", "profile": "mine"}).encode())


def in_pieces(schema, columns, ids, sizes):
    start = 0
    for size in sizes:
        part = {k: v[start : start + size] for k, v in columns.items() if k in schema.columns}
        yield ids[start : start + size], prepare(schema, part)
        start += size


@pytest.mark.parametrize("schema", [SCHEMA, several()], ids=["one value", "several values"])
@pytest.mark.parametrize("sizes", [[600], [0, 1, 250, 349], [0]])
def test_the_same_bytes(tmp_path, table, secrets, schema, sizes):
    columns, ids = table
    n = sum(sizes)
    columns = {k: v[:n] for k, v in columns.items() if k in schema.columns}
    header = {"study": "s", "version": 1, "source": "a", "fingerprint": schema.fingerprint, "passes": schema.P}
    whole = encode(schema, prepare(schema, columns), ids[:n], secrets("a"))
    write_rows(tmp_path / "whole.rows", whole.rows, header)
    write_map(tmp_path / "whole.map", whole.record_numbers, whole.refs, header)
    seen, ticks = [], []
    made = encode_pieces(
        schema,
        in_pieces(schema, columns, ids, sizes),
        secrets("a"),
        tmp_path / "rows",
        tmp_path / "map",
        header,
        each=lambda some, numbers: seen.extend(zip(some, map(bytes, numbers), strict=True)),
        progress=lambda done, total: ticks.append((done, total)),
    )
    assert (tmp_path / "rows").read_bytes() == (tmp_path / "whole.rows").read_bytes()
    assert (tmp_path / "map").read_bytes() == (tmp_path / "whole.map").read_bytes()
    assert seen == list(zip(ids[:n], map(bytes, whole.record_numbers), strict=True))
    assert (made.records, made.missing, made.capped) == (n, whole.missing, whole.capped)
    assert made.few_passes == int((whole.live_passes < 3).sum())
    steps = n + n // 8
    assert ticks[: len(sizes)] == [(sum(sizes[: k + 1]), steps) for k in range(len(sizes))]
    assert ticks == sorted(ticks)
    assert ticks[-1] == (steps, steps)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map", "rows", "whole.map", "whole.rows"]
    if n:
        assert sum(made.capped) > 800


def test_an_id_twice(tmp_path, table, secrets):
    columns, ids = table
    columns = {k: v[:100] for k, v in columns.items()}
    refused(tmp_path, in_pieces(SCHEMA, columns, [*ids[:99], ids[0]], [60, 40]), secrets, "twice")


def test_a_spool_that_somebody_changes(tmp_path, table, secrets):
    columns, ids = table

    def pieces():
        yield from in_pieces(SCHEMA, columns, ids, [100, 100])
        (spool,) = tmp_path.rglob("records")
        bits = bytearray(spool.read_bytes())
        bits[-1] ^= 1
        spool.write_bytes(bits)

    refused(tmp_path, pieces(), secrets, "spool was cut or changed")


def test_fewer_ids_than_records(tmp_path, table, secrets):
    columns, ids = table
    ((some, prepared),) = in_pieces(SCHEMA, columns, ids, [100])
    refused(tmp_path, [(some[:-1], prepared)], secrets, "as many ids")


def refused(place, pieces, secrets, why):
    """Nothing is left where the encoding was refused."""
    header = {"study": "s", "version": 1, "source": "a", "fingerprint": SCHEMA.fingerprint, "passes": SCHEMA.P}
    with pytest.raises(EncodeInputError, match=why):
        encode_pieces(SCHEMA, pieces, secrets("a"), place / "rows", place / "map", header)
    assert not list(place.iterdir())


def test_the_spool_holds_no_value(tmp_path, table, secrets):
    """While it is there: neither a name nor an id stands in any of its files."""
    columns, ids = table
    columns = {k: v[:300] for k, v in columns.items() if k in SCHEMA.columns}
    found, named, told = [], set(), itertools.count()

    def look():
        found.extend(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        named.update(path.name[:6] for path in tmp_path.rglob("*") if path.is_file())

    header = {"study": "s", "version": 1, "source": "a", "fingerprint": SCHEMA.fingerprint, "passes": SCHEMA.P}

    def pieces():
        for piece in in_pieces(SCHEMA, columns, ids, [150, 150]):
            yield piece
            look()

    def now_and_then(*_):  # it is told of each of the 256 files
        if next(told) % 128 == 0:
            look()

    encode_pieces(SCHEMA, pieces(), secrets("a"), tmp_path / "rows", tmp_path / "map", header, progress=now_and_then)
    assert {"blocks", "record", "piece-"} <= named
    assert sum(map(len, found)) > 300 * SCHEMA.P * 65
    words = {v for column in (columns["surname"], columns["town"], columns["birth_date"]) for v in column if len(v) > 6}
    assert len(words) > 100
    assert not any(word.encode() in data for word in [*words, *ids[:300]] for data in found if len(word) > 6)
    assert np.frombuffer(b"".join(found), np.uint8).mean() > 100
