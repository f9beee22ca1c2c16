"""Dates of a column made coarser; how they are written is found where that is clear, and asked for where not."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from client_support import Pseudonyms
from hypothesis import given
from hypothesis import strategies as st

from trustcenter.client import TrustCenter
from trustcenter.client.errors import LocalFileError
from trustcenter.client.jobs.csvdialect import Dialect
from trustcenter.client.jobs.dates import FORMATS, Coarsening
from trustcenter.client.jobs.rowjob import Refused
from trustcenter.client.tables import ColumnJob, pseudonymize_column

DIALECT = Dialect("utf-8", b"", ";", "\n")
WRITTEN = {
    "YYYY-MM-DD": "%Y-%m-%d",
    "DD.MM.YYYY": "%d.%m.%Y",
    "YYYYMMDD": "%Y%m%d",
    "DD/MM/YYYY": "%d/%m/%Y",
    "MM/DD/YYYY": "%m/%d/%Y",
}


@given(st.lists(st.dates(date(1900, 1, 1)), min_size=1, max_size=20), st.sampled_from(sorted(FORMATS)))
def test_a_format_is_found_or_asked_for_and_never_mistaken(days: list[date], form: str) -> None:
    column = Coarsening("c", "quarter", None)
    try:
        column.learn(day.strftime(WRITTEN[form]) for day in days)
    except LocalFileError as error:
        assert error.code == "bad_date_format"  # noqa: PT017
        assert "/" in form, "only with slashes two formats can fit"
        assert all(day.day <= 12 for day in days)
        return
    for day in days:
        made = column.field(day.strftime(WRITTEN[form]).encode(), DIALECT)
        if "/" in form and day.day <= 12 and column.form != form:
            pytest.fail("a date was read in the wrong format")
        assert made == f"{day.year:04d}-{(day.month - 1) // 3 * 3 + 1:02d}".encode()


@pytest.mark.parametrize(
    ("keep", "text", "made"),
    [
        ("month", b"1964-08-12", b"1964-08"),
        ("quarter", b'"1964-08-12T10:00:00Z"', b'"1964-07"'),
        ("year", b"1964-08-12 10:00", b"1964"),
        ("year", b"", b""),
        ("year", b'" "', b'" "'),
    ],
)
def test_what_is_kept(keep: str, text: bytes, made: bytes) -> None:
    assert Coarsening("c", keep, "YYYY-MM-DD").field(text, DIALECT) == made


@pytest.mark.parametrize("text", [b"1964-02-30", b"12.08.1964", b"64-08-12", b"unknown", b"1964", b"\xff"])
def test_a_date_that_is_none_fails_its_row(text: bytes) -> None:
    assert isinstance(Coarsening("c", "year", "YYYY-MM-DD").field(text, DIALECT), Refused)


async def test_a_column_of_a_file(rogue: Any, tmp_path: Path) -> None:
    rogue.handler = Pseudonyms().handle
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text('born;pid;"seen"\n12.08.1964;a;"2024-02-03"\n31.12.1950;b;\n99.99.9999;c;"2024-02-04"\n')
    job = ColumnJob(
        source, target, "pid", "psn", failed=tmp_path / "failed", coarsen={"born": "quarter", "SEEN": "month"}
    )
    async with TrustCenter(rogue.connection) as center:
        result = await pseudonymize_column(center, "north", job)
        unclear = ColumnJob(source, tmp_path / "x", "pid", coarsen={"pid": "year"})
        with pytest.raises(LocalFileError):
            await pseudonymize_column(center, "north", unclear)
    assert target.read_text() == ('born;pid;"seen";psn\n1964-07;a;"2024-02";P-north-61\n1950-10;b;;P-north-62\n')
    assert [(failed.row, failed.code) for failed in result.failed] == [(3, "bad_date")]
