"""Parquet files: one column replaced, everything else as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from client_support import DOMAIN, Pseudonyms

from trustcenter.client import TrustCenter, UnreachableError
from trustcenter.client.errors import LocalFileError
from trustcenter.client.settings import Settings
from trustcenter.client.tables import ColumnJob, ColumnResult, RowsFailedError, pseudonymize_column, translate_column

Rogue = Any


async def handle(request: web.Request) -> web.StreamResponse:
    if request.method == "GET":
        return web.json_response(DOMAIN)
    body = await request.json()
    values = body.get("originals") or body["pseudonyms"]
    errors = [{"index": i, "code": "invalid_original"} for i, v in enumerate(values) if v.startswith("bad")]
    answer = {"pseudonyms": [None if v.startswith("bad") else f"P-{v}" for v in values], "errors": errors}
    return web.json_response({**answer, "key_version": 1} | ({"created": 0} if "originals" in body else {}))


async def run(rogue: Rogue, source: Path, target: Path, column: str = "pid", **more: Any) -> ColumnResult:
    rogue.handler = handle
    work = more.pop("work", pseudonymize_column)
    async with TrustCenter(rogue.connection, Settings(batch=100)) as center:
        result: ColumnResult = await work(center, "north", ColumnJob(source, target, column, **more))
        return result


def table(pids: pa.Array) -> pa.Table:
    n = len(pids)
    return pa.table(
        {
            "when": pa.array([i * 1000 for i in range(n)], pa.timestamp("ms", "Europe/Berlin")),
            "pid": pids,
            "values": pa.array([[1.5, None]] * n, pa.list_(pa.float32())),
            "code": pa.array(["a", None] * (n // 2) + ["b"] * (n % 2)).dictionary_encode(),
            "money": pa.array([None] * n, pa.decimal128(9, 2)),
        }
    ).replace_schema_metadata({b"about": b"lab", b"pandas": json.dumps(PANDAS).encode()})


PANDAS = {"columns": [{"name": "pid", "field_name": "pid", "pandas_type": "int64", "numpy_type": "int64"}]}


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.int64(), pa.dictionary(pa.int32(), pa.string())])
async def test_one_column_changes_and_nothing_else(rogue: Rogue, tmp_path: Path, kind: pa.DataType) -> None:
    numbers = [i % 700 for i in range(1000)]
    values = numbers if pa.types.is_integer(kind) else [str(i) for i in numbers]
    flat = kind.value_type if pa.types.is_dictionary(kind) else kind
    column = pa.array(values, flat)
    before = table(column.dictionary_encode() if pa.types.is_dictionary(kind) else column)
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(before, source, row_group_size=300, compression="zstd")
    result = await run(rogue, source, target)
    assert (result.rows, result.failed, result.key_version) == (1000, [], 1)
    after = pq.read_table(target)
    assert after["pid"].to_pylist() == [f"P-{i}" for i in numbers]
    assert after.drop_columns("pid").equals(before.drop_columns("pid"))
    assert after.schema.names == before.schema.names
    assert after.schema.metadata[b"about"] == b"lab"
    assert json.loads(after.schema.metadata[b"pandas"])["columns"][0]["pandas_type"] == "unicode"
    file = pq.ParquetFile(target)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [300, 300, 300, 100]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert target.stat().st_mode & 0o777 == 0o600


async def test_no_original_is_left_in_the_file(rogue: Rogue, tmp_path: Path) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"pid": [f"patient-{i}-original" for i in range(50)]}), source, compression="none")
    assert b"patient-0-original" in source.read_bytes()

    async def other(center: TrustCenter, domain: str, job: ColumnJob) -> ColumnResult:
        async def fixed(request: web.Request) -> web.StreamResponse:
            if request.method == "GET":
                return web.json_response(DOMAIN)
            n = len((await request.json())["originals"])
            body = {"pseudonyms": [f"X{i}" for i in range(n)], "errors": [], "key_version": 1, "created": n}
            return web.json_response(body)

        rogue.handler = fixed
        return await pseudonymize_column(center, domain, job)

    await run(rogue, source, target, work=other)
    assert b"original" not in target.read_bytes()


async def test_a_new_column_and_translation(rogue: Rogue, tmp_path: Path) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.PARQUET"
    pq.write_table(table(pa.array(["a", "b"])), source)
    await run(rogue, source, target, into="psn", work=translate_column)
    after = pq.read_table(target)
    assert after["pid"].to_pylist() == ["a", "b"]
    assert after["psn"].to_pylist() == ["P-a", "P-b"]


async def test_rows_that_fail_are_named_or_set_aside(rogue: Rogue, tmp_path: Path) -> None:
    source, target, aside = (tmp_path / f"{n}.parquet" for n in ("in", "out", "aside"))
    before = table(pa.array(["a", None, "bad-1", "", "b"]))
    pq.write_table(before, source, row_group_size=2)
    with pytest.raises(RowsFailedError) as caught:
        await run(rogue, source, target)
    assert [(f.row, f.code) for f in caught.value.result.failed] == [
        (2, "empty_value"),
        (3, "invalid_original"),
        (4, "empty_value"),
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.parquet"]
    await run(rogue, source, target, failed=aside)
    assert pq.read_table(target)["pid"].to_pylist() == ["P-a", "P-b"]
    assert pq.read_table(aside).equals(before.take([1, 2, 3]))


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"column": "none"}, "unknown_column"),
        ({"column": "values"}, "bad_column"),
        ({"into": "code"}, "bad_column"),
        ({"encoding": "latin-1"}, "bad_option"),
    ],
)
async def test_what_cannot_be_is_refused(rogue: Rogue, tmp_path: Path, more: dict[str, Any], code: str) -> None:
    source = tmp_path / "in.parquet"
    pq.write_table(table(pa.array(["a"])), source)
    with pytest.raises(LocalFileError) as caught:
        await run(rogue, source, tmp_path / "out.parquet", **more)
    assert caught.value.code == code
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.parquet"]


@pytest.mark.parametrize("content", [b"", b"PAR1 not really PAR1", None])
async def test_a_broken_file_is_an_error_without_its_text(rogue: Rogue, tmp_path: Path, content: bytes | None) -> None:
    source = tmp_path / "in.parquet"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(LocalFileError) as caught:
        await run(rogue, source, tmp_path / "out.parquet")
    assert caught.value.code == ("bad_parquet" if content is not None else "no_input")


async def test_an_empty_table_stays_one(rogue: Rogue, tmp_path: Path) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(table(pa.array([], pa.string())), source)
    assert (await run(rogue, source, target)).rows == 0
    assert pq.read_table(target).schema.equals(pq.read_table(source).schema)


def test_without_pyarrow_the_hint_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from trustcenter.client.jobs.parquet import require_pyarrow\n"
        "import trustcenter.client.tables\n"
        "try: require_pyarrow()\n"
        "except Exception as error: print(error.code, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["no_pyarrow", "pip", "install", "'trustcenter[parquet]'"]


async def test_an_interrupted_job_goes_on_and_holds_no_original(rogue: Rogue, tmp_path: Path) -> None:
    service = Pseudonyms()
    source, target, failed = tmp_path / "in.parquet", tmp_path / "out.parquet", tmp_path / "failed.parquet"
    values = [f"bad-{i}" if i % 97 == 5 else f"original-{i}" for i in range(3000)]
    pq.write_table(table(pa.array(values)), source, row_group_size=700)
    settings = Settings(batch=100, concurrency=2, checkpoint_every=0.0, retry_for=0.2, backoff=0.01)

    async def job(**more: Any) -> ColumnResult:
        rogue.handler = service.handle
        async with TrustCenter(rogue.connection, settings) as center:
            return await pseudonymize_column(center, "north", ColumnJob(source, target, "pid", failed=failed, **more))

    expected = await job()
    whole = pq.read_table(target)
    service.asked, service.break_after = 0, 1500
    with pytest.raises(UnreachableError) as caught:
        await job(force=True)
    assert "--resume" in caught.value.hint
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(left) == {
        *("in.parquet", "out.parquet", "failed.parquet"),
        *(".out.parquet.partial", ".out.parquet.resume"),
    }
    assert b"original-" not in left[".out.parquet.partial"] + left[".out.parquet.resume"]
    service.break_after = None
    result = await job(force=True, resume=True)
    assert result.resumed >= 1000
    assert (result.rows, result.failed, result.failures) == (3000, expected.failed, expected.failures)
    assert pq.read_table(target).equals(whole)
    assert pq.read_table(failed)["pid"].to_pylist() == [value for value in values if "bad" in value]
    assert service.asked < 3000 * 1.3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failed.parquet", "in.parquet", "out.parquet"]


async def test_a_changed_input_is_not_gone_on_with(rogue: Rogue, tmp_path: Path) -> None:
    service = Pseudonyms()
    service.break_after = 500
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    settings = Settings(batch=100, concurrency=1, checkpoint_every=0.0, retry_for=0.2, backoff=0.01)
    rogue.handler = service.handle
    for first, error in (("a", UnreachableError), ("b", LocalFileError)):
        pq.write_table(table(pa.array([first, *map(str, range(1000))])), source)
        async with TrustCenter(rogue.connection, settings) as center:
            with pytest.raises(error) as caught:
                await pseudonymize_column(center, "north", ColumnJob(source, target, "pid", resume=True))
    assert caught.value.code == "cannot_resume"
    assert not target.exists()


async def test_large_row_groups_are_split(rogue: Rogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trustcenter.client.jobs import parquet

    monkeypatch.setattr(parquet, "_GROUP_BYTES", 200_000)
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    values = [f"v{i}" for i in range(60_000)]
    pq.write_table(table(pa.array(values)), source)
    await run(rogue, source, target)
    assert pq.ParquetFile(target).num_row_groups > 2
    assert pq.read_table(target)["pid"].to_pylist() == [f"P-{value}" for value in values]
