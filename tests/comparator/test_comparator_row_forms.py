"""Forms of a chunk: each makes the same packed rows; what is not of its form is refused, whatever it would become."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linkage.rows import ROW
from trustcenter.errors import UsageError
from trustcenter.http.row_forms import JSON, NDJSON, PACKED, PARQUET, packed, packed_apart
from trustcenter.instance.workers import Workers

MOST = 65 * 100
WIDTHS = {"ref": 16, "token": 16, "filter": 32}


def rows(count: int = 20) -> np.ndarray:
    made = np.frombuffer(np.random.default_rng(1).bytes(65 * count), ROW).copy()
    made["pass"] %= 15
    return made


def lines(made: np.ndarray, **other: Any) -> bytes:
    told = [
        {**{name: base64.b64encode(row[name].tobytes()).decode() for name in WIDTHS}, "pass": int(row["pass"]), **other}
        for row in made
    ]
    return "\n".join(map(json.dumps, told)).encode()


def parquet(made: np.ndarray, types: dict[str, Any] | None = None, **options: Any) -> bytes:
    columns = {name: [row[name].tobytes() for row in made] for name in WIDTHS}
    kinds = {**{name: pa.binary(width) for name, width in WIDTHS.items()}, "pass": pa.uint8(), **(types or {})}
    columns["pass"] = made["pass"].tolist()
    table = pa.table({name: pa.array(values, kinds[name]) for name, values in columns.items()})
    out = io.BytesIO()
    pq.write_table(table, out, **{"compression": "NONE", "use_dictionary": False, "row_group_size": 7, **options})
    return out.getvalue()


def test_every_form_makes_the_same_rows() -> None:
    made = rows()
    body = made.tobytes()
    in_json = json.dumps({"rows": base64.b64encode(body).decode()}).encode()
    for form, sent in ((PACKED, body), (JSON, in_json), (NDJSON, lines(made)), (PARQUET, parquet(made))):
        assert packed(sent, form, MOST) == body, form


MADE = rows(3)
PLAIN = parquet(MADE)


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (JSON, b"[]"),
        (JSON, b'{"rows":"?"}'),
        (JSON, b'{"rows":"","more":1}'),
        (JSON, b"\xff"),
        (NDJSON, b"{}"),
        (NDJSON, lines(MADE, more=1)),
        (NDJSON, lines(MADE, token="")),
        (NDJSON, lines(MADE, token=None)),
        (NDJSON, lines(MADE) + b"\n\n"),
        (NDJSON, lines(rows(102))),
        *((NDJSON, lines(MADE, **{"pass": number})) for number in (256, -1, 1.5, "1")),
        (PARQUET, b"PAR1"),
        (PARQUET, PLAIN[:-9]),
        (PARQUET, parquet(MADE, compression="SNAPPY")),
        (PARQUET, parquet(MADE, use_dictionary=True)),
        (PARQUET, parquet(MADE, {"ref": pa.binary()})),
        (PARQUET, parquet(MADE, {"pass": pa.int64()})),
        (PARQUET, parquet(rows(200))),
    ],
)
def test_what_is_not_of_its_form_is_refused(form: str, body: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        packed(body, form, MOST)
    assert caught.value.code == "bad_chunk_form"


def test_columns_that_are_more_or_fewer_or_empty_are_refused() -> None:
    table = pq.read_table(io.BytesIO(PLAIN))
    more = table.append_column("name", pa.array(["x"] * 3))
    nulls = table.set_column(1, "token", pa.array([None, b"0" * 16, b"1" * 16], pa.binary(16)))
    for wrong in (more, table.drop_columns(["token"]), nulls):
        out = io.BytesIO()
        pq.write_table(wrong, out, compression="NONE", use_dictionary=False)
        with pytest.raises(UsageError):
            packed(out.getvalue(), PARQUET, MOST)


def nulls(count: int) -> bytes:
    """So many rows in a few bytes."""
    kinds = {"ref": pa.binary(16), "pass": pa.uint8(), "token": pa.binary(16), "filter": pa.binary(32)}
    table = pa.table({name: pa.array([None] * count, kind) for name, kind in kinds.items()})
    out = io.BytesIO()
    pq.write_table(table, out, compression="NONE", use_dictionary=False, write_statistics=False, store_schema=False)
    return out.getvalue()


def varint(number: int) -> bytes:
    """As a footer has it: zigzag, 7 bits a byte."""
    left, made = number * 2, b""
    while left > 127:
        left, made = left >> 7, made + bytes([left & 127 | 128])
    return made + bytes([left])


def test_a_file_that_says_less_than_its_row_groups_hold_is_refused_before_it_is_read() -> None:
    whole = nulls(100_000)
    length = int.from_bytes(whole[-8:-4], "little")
    said, small = b"\x16" + varint(100_000), b"\x16" + varint(1)
    footer = whole[-8 - length : -8].replace(said, small, 1)  # of the file; row groups say theirs as before
    lies = whole[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    about = pq.ParquetFile(io.BytesIO(lies)).metadata
    assert (about.num_rows, about.row_group(0).num_rows) == (1, 100_000)
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(UsageError):
        packed(lies, PARQUET, MOST)
    assert pa.default_memory_pool().max_memory() == before


async def test_a_file_that_ends_the_process_that_reads_it_ends_no_other() -> None:
    at = PLAIN.rindex(b"\x15\x02\x18\x05token")  # may be null, in the footer; its statistics are of such a column
    fatal = PLAIN[:at] + b"\x15\x14" + PLAIN[at + 2 :]
    readers = Workers(1)
    try:
        with pytest.raises(UsageError) as caught:
            await packed_apart(readers, fatal, PARQUET, MOST)
        assert caught.value.code == "bad_chunk_form"
        assert await packed_apart(readers, PLAIN, PARQUET, MOST) == MADE.tobytes()
        with pytest.raises(UsageError):
            await packed_apart(readers, PLAIN[:-9], PARQUET, MOST)
    finally:
        await readers.stop()
