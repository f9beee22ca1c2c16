"""Rows and map files: docs/spec/rows-file.md."""

import numpy as np
import pytest

from linkage.errors import RowsFileDamagedError, RowsFileError
from linkage.maps import read_map, write_map
from linkage.rows import (
    ROW,
    ascending,
    open_rows,
    read_rows,
    sort_order,
    stream_rows,
    write_rows,
)

HEADER = {"study": "s", "version": 1, "source": "a", "fingerprint": "ab" * 32, "passes": 15}


@pytest.fixture
def made(encoded):
    return encoded("a", lambda p: p < 50)[0]


def test_round_trip(tmp_path, made):
    header = write_rows(tmp_path / "a.rows", made.rows, HEADER)
    again, rows = read_rows(tmp_path / "a.rows")
    assert again == header
    assert rows.tobytes() == made.rows.tobytes()
    assert (tmp_path / "a.rows").stat().st_mode & 0o777 == 0o600
    write_map(tmp_path / "a.map", made.record_numbers, made.refs, HEADER)
    _, entries = read_map(tmp_path / "a.map")
    assert ascending(entries["record_number"])
    order = sort_order(made.record_numbers)
    assert entries["refs"].tobytes() == made.refs[order].tobytes()


def test_one_kind_is_not_the_other(tmp_path, made):
    write_rows(tmp_path / "x", made.rows, HEADER)
    with pytest.raises(RowsFileError) as e:
        read_map(tmp_path / "x")
    assert e.value.code == "bad_rows_file"


@pytest.mark.parametrize("where", ["body", "header", "cut", "longer", "no body"])
def test_damage_is_found(tmp_path, made, where):
    path = tmp_path / "x"
    write_rows(path, made.rows, HEADER)
    data = bytearray(path.read_bytes())
    if where == "body":
        data[-1] ^= 1
    elif where == "header":
        data = data.replace(b'"study":"s"', b'"study": "s"')
    elif where == "cut":
        data = data[:-65]
    elif where == "longer":
        data += bytes(65)
    else:
        data = data[:100]
    path.write_bytes(data)
    with pytest.raises(RowsFileDamagedError):
        read_rows(path)


def test_unsorted_rows_are_refused_on_both_sides(tmp_path, made):
    with pytest.raises(RowsFileError):
        write_rows(tmp_path / "x", made.rows[::-1], HEADER)
    with pytest.raises(RowsFileError):
        write_rows(tmp_path / "x", made.rows[["ref", "pass"]], HEADER)
    assert not list(tmp_path.iterdir())


def test_a_pass_beyond_the_header_is_refused(tmp_path, made):
    write_rows(tmp_path / "x", made.rows, {**HEADER, "passes": 3})
    with pytest.raises(RowsFileDamagedError):
        read_rows(tmp_path / "x")


def test_bad_headers_are_not_written(tmp_path, made):
    for change in ({"study": ""}, {"version": -1}, {"fingerprint": "AB" * 32}, {"more": 1}):
        with pytest.raises(RowsFileError):
            write_rows(tmp_path / "x", made.rows, {**HEADER, **change})


def test_no_such_file(tmp_path):
    with pytest.raises(RowsFileError):
        read_rows(tmp_path / "none")


def test_order_with_equal_first_halves():
    refs = np.zeros((4, 16), np.uint8)
    refs[:, 15] = [3, 1, 2, 0]
    assert sort_order(refs).tolist() == [3, 1, 2, 0]
    assert ascending(refs[[3, 1, 2, 0]])
    assert not ascending(refs[[1, 1]])
    assert ROW.itemsize == 65


def test_parts_are_the_whole(tmp_path, made):
    header = write_rows(tmp_path / "x", made.rows, HEADER)
    parts = [part.copy() for part in stream_rows(tmp_path / "x", size=97)]
    assert [len(p) for p in parts] == [97] * (header.n // 97) + [header.n % 97]
    assert b"".join(p.tobytes() for p in parts) == made.rows.tobytes()
    again, begin = open_rows(tmp_path / "x")
    assert again == header
    assert (tmp_path / "x").read_bytes()[begin:] == made.rows.tobytes()


def test_disorder_between_two_parts_is_found(tmp_path, made, monkeypatch):
    monkeypatch.setattr("linkage.rows.ascending", lambda refs: True)  # a writer that does not look
    turned = np.concatenate([made.rows[97:194], made.rows[:97]])
    write_rows(tmp_path / "x", turned, HEADER)
    monkeypatch.undo()
    with pytest.raises(RowsFileDamagedError, match="not sorted"):
        list(stream_rows(tmp_path / "x", size=97))


def test_a_header_that_promises_too_much_costs_no_memory(tmp_path, made):
    write_rows(tmp_path / "x", made.rows, HEADER)
    data = (tmp_path / "x").read_bytes().replace(b'"n":750,', b'"n":75000000000000,')
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(RowsFileDamagedError, match="as many entries"):
        read_rows(tmp_path / "x")


@pytest.mark.parametrize("byte", [0, 255])
def test_a_filter_of_zeros_or_ones_is_refused(tmp_path, made, byte):
    rows = made.rows.copy()
    rows["filter"][3, :31] = byte
    write_rows(tmp_path / "nearly", rows, HEADER)
    assert len(read_rows(tmp_path / "nearly")[1]) == 750
    rows["filter"][3] = byte
    write_rows(tmp_path / "x", rows, HEADER)
    with pytest.raises(RowsFileDamagedError, match="zeros only"):
        read_rows(tmp_path / "x")
