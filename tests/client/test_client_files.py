"""Outputs are never left half; inputs are read row by row and complained about by place only."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing, require_writable
from trustcenter.client.jobs.csvstream import CsvInput, read_columns, read_ids, write_csv


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


def read(content: bytes) -> list[tuple[int, list[str]]]:
    return list(CsvInput(io.BytesIO(content)).rows())


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


def test_ids_are_those_of_linkage(tmp_path: Path) -> None:
    from linkage.readtable import read_table

    path = tmp_path / "p.csv"
    path.write_text("PID;surname\n 4711 ;A\n4712;B\n\n", encoding="utf-8")
    assert read_ids(path, "pid") == read_table(path, id_column="pid").ids == ["4711", "4712"]


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
