"""Outputs are never left half; inputs are read row by row and complained about by place only."""

from __future__ import annotations

import csv
import io
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustcenter.client.csvstream import CsvInput, CsvOutput, read_columns, read_ids, sniff, write_csv
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing, require_writable


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_an_output_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with replacing(target) as stream:
        stream.write(b"x")
        assert not target.exists()
        (partial,) = tmp_path.iterdir()
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
    assert target.read_bytes() == b"x"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_failure_leaves_nothing_and_an_old_output_alone(tmp_path: Path, error: type[BaseException]) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"precious")
    for target, force in ((tmp_path / "new", False), (old, True)):
        with pytest.raises(error), replacing(target, force=force) as stream:  # noqa: PT012 - the block is the case
            stream.write(b"half")
            raise error
    assert left(tmp_path) == ["old"]
    assert old.read_bytes() == b"precious"


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(LocalFileError) as caught, replacing(target):
        target.write_bytes(b"somebody else's")
    assert caught.value.code == "output_exists"
    assert target.read_bytes() == b"somebody else's"
    assert left(tmp_path) == ["out"]


def test_outputs_that_cannot_be_are_refused_before_work(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_text("x")
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "hard").hardlink_to(source)
    cases = {
        "same_file": [source, tmp_path / "link", tmp_path / "hard", tmp_path / "." / "in"],
        "output_is_directory": [tmp_path],
        "no_directory": [tmp_path / "missing" / "out"],
    }
    for code, targets in cases.items():
        for target in targets:
            with pytest.raises(LocalFileError) as caught:
                require_writable(target, sources=(source,), force=True)
            assert caught.value.code == code
    with pytest.raises(LocalFileError) as caught:
        require_writable(source)
    assert caught.value.code == "output_exists"


@pytest.mark.parametrize(
    ("head", "separator"),
    [
        ("a,b", ","),
        ("a;b,c;d", ";"),
        ("a\tb", "\t"),
        ("a|b|c", "|"),
        ("one", ","),
        ('"a,b";c', ";"),
        ('"x;y;z",b', ","),
    ],
)
def test_the_separator_is_found_outside_quotes(head: str, separator: str) -> None:
    assert sniff(head) == separator


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=12)


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_what_is_read_and_written_again_is_the_same(
    rows: list[tuple[str, str, str]], separator: str, line_end: str, bom: bool
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end)
    writer.writerow(("a", "b", "c"))
    writer.writerows(rows)
    original = (b"\xef\xbb\xbf" if bom else b"") + text.getvalue().encode()
    table = CsvInput(io.BytesIO(original), len(original), None)
    written = io.BytesIO()
    out = CsvOutput(written, table, table.header)
    found = []
    for _, fields in table.rows():
        found.append(tuple(fields))
        out.row(fields)
    assert found == rows
    assert written.getvalue() == original


def read(content: bytes) -> list[tuple[int, list[str]]]:
    return list(CsvInput(io.BytesIO(content), len(content), None).rows())


def test_rows_are_counted_below_the_header_also_over_line_breaks_in_quotes() -> None:
    assert read(b'a,b\n1,"x\ny"\n\n3,z\n') == [(1, ["1", "x\ny"]), (3, ["3", "z"])]


@pytest.mark.parametrize(
    ("content", "code", "where"),
    [
        (b"", "empty_file", ""),
        (b"\xef\xbb\xbf\n", "empty_file", ""),
        (b"a,b\n1,2\n3\n", "bad_row", "row 2"),
        (b"a,b\n1,\xff\n", "not_utf8", "row 1"),
        (b"\xff\xfea\0", "not_utf8", "header"),
        (b"a,a\n1,2\n", "bad_column", "header"),
        (b'a,b\n1,"2\n', "bad_row", "row 1"),
        (b'a,b\n1,"2"x\n', "bad_row", "row 1"),
        (b"a,b\n1," + b"x" * 1_100_000, "bad_row", "row 1"),
    ],
)
def test_bad_files_are_named_by_place(content: bytes, code: str, where: str) -> None:
    with pytest.raises(LocalFileError) as caught:
        read(content)
    assert (caught.value.code, caught.value.where) == (code, where)


def test_ids_are_those_of_linkage_tables(tmp_path: Path) -> None:
    from linkage.tables import read_csv

    path = tmp_path / "p.csv"
    path.write_text("PID;surname\n 4711 ;A\n4712;B\n\n", encoding="utf-8")
    assert read_ids(path, "pid") == read_csv(path, id_column="pid").ids == ["4711", "4712"]


def test_columns_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    write_csv(path, ("a", "b", "c"), [(1, "x,y", 3)])
    assert read_columns(path, ("c", "b")) == [("3", "x,y")]
    with pytest.raises(LocalFileError):
        read_columns(path, ("d",))


def test_a_failing_row_leaves_no_file(tmp_path: Path) -> None:
    def rows() -> object:
        yield ("1",)
        raise ValueError("a row")

    with pytest.raises(ValueError, match="a row"):
        write_csv(tmp_path / "out.csv", ("a",), rows())  # type: ignore[arg-type]
    assert left(tmp_path) == []


@pytest.mark.parametrize(("encoding", "text"), [("latin-1", "Müller"), ("cp1252", "Müller – 5 €"), ("utf-8", "Ł€")])
def test_another_charset_is_said_and_kept(encoding: str, text: str) -> None:
    original = f"PID;NÄME\n4711;{text}\n".encode(encoding)
    table = CsvInput(io.BytesIO(original), len(original), None, encoding)
    written = io.BytesIO()
    out = CsvOutput(written, table, table.header)
    for _, fields in table.rows():
        assert fields == ["4711", text]
        out.row(fields)
    assert written.getvalue() == original


@pytest.mark.parametrize(
    ("content", "encoding", "code", "where"),
    [
        ("a;b\n1;ü\n".encode("latin-1"), "utf-8", "not_utf8", "row 1"),
        (b"a;b\n1;\x81\n", "cp1252", "bad_encoding", "row 1"),
        (b"\xef\xbb\xbfa;b\n", "latin-1", "bad_encoding", ""),
        (b"a;b\n", "utf-16", "bad_encoding", ""),
    ],
)
def test_a_charset_is_never_guessed(content: bytes, encoding: str, code: str, where: str) -> None:
    with pytest.raises(LocalFileError) as caught:
        list(CsvInput(io.BytesIO(content), len(content), None, encoding).rows())
    assert (caught.value.code, caught.value.where) == (code, where)
    if code == "not_utf8":
        assert "--encoding" in caught.value.hint


def test_what_the_charset_cannot_say_is_an_error_not_a_question_mark() -> None:
    table = CsvInput(io.BytesIO(b"a\n"), 2, None, "latin-1")
    with pytest.raises(LocalFileError) as caught:
        CsvOutput(io.BytesIO(), table, ["a", "Ł"])
    assert caught.value.code == "bad_encoding"
