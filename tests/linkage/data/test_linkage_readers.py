"""Files in chunks, Parquet and NDJSON: the same table whatever the file, and errors that show no content."""

import json

import pytest

from linkage.errors import ColumnError, LinkageError, RowError, TableError
from linkage.readers import read_chunks
from linkage.readtable import read_table

SECRET = "Geheimrätin"
ROWS = [
    {"pid": f"P{i}", "Nachname": f"Müller{i}", "Geburtsname": "Groß|Klein" if i % 2 else "", "PLZ": f"0{1067 + i}"}
    for i in range(7)
]


def as_csv(path):
    path.write_text("\n".join([";".join(ROWS[0]), *(";".join(r.values()) for r in ROWS)]), encoding="utf-8")
    return path


def as_csv_for_excel(path):
    path.write_bytes(b"\xef\xbb\xbfsep=;\r\n" + as_csv(path).read_bytes())
    return path


def as_ndjson(path):
    lines = [{**r, "PLZ": int(r["PLZ"]), "Geburtsname": r["Geburtsname"].split("|"), "x": {"y": 1}} for r in ROWS]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n", encoding="utf-8")
    return path


def as_parquet(path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    columns = {k: [r[k] for r in ROWS] for k in ROWS[0]}
    columns["Geburtsname"] = [v.split("|") for v in columns["Geburtsname"]]
    columns["PLZ"] = pa.array(columns["PLZ"]).dictionary_encode()
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("write", [as_csv, as_csv_for_excel, as_ndjson, as_parquet])
def test_every_kind_of_file_gives_the_same_table(tmp_path, write):
    table = read_table(write(tmp_path / f"t.{write.__name__[3:]}"), id_column="PID")
    assert table.ids == [r["pid"] for r in ROWS]
    assert table.columns["surname"] == [r["Nachname"] for r in ROWS]
    assert table.columns["birth_name"] == [r["Geburtsname"] for r in ROWS]
    assert [p.zfill(5) for p in table.columns["postcode"]] == [r["PLZ"] for r in ROWS]


@pytest.mark.parametrize("write", [as_csv, as_ndjson, as_parquet])
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_chunks_together_are_the_whole(tmp_path, write, size):
    chunks = list(read_chunks(write(tmp_path / f"t.{write.__name__[3:]}"), id_column="pid", size=size))
    assert [c.first for c in chunks] == list(range(1, 8, size))
    assert [one for c in chunks for one in c.ids] == [r["pid"] for r in ROWS]
    assert all(len(c.ids) <= size for c in chunks)
    assert SECRET not in repr(chunks)


def test_dates_and_missing_values_of_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import datetime

    import pyarrow.parquet as pq

    born = pa.array([datetime.date(1980, 5, 3), None])
    pq.write_table(pa.table({"id": [1, 2], "geburtsdatum": born}), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", id_column="id")
    assert (table.ids, table.columns) == (["1", "2"], {"birth_date": ["1980-05-03", ""]})


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_a_source_without_records(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"id": pa.array([], pa.string()), "surname": pa.array([], pa.string())}), path)
    else:
        path.write_text("id,surname\n" if suffix == "csv" else "\n")
    if suffix == "ndjson":  # holds no column names either
        with pytest.raises(TableError):
            read_table(path, id_column="id")
        return
    assert read_table(path, id_column="id").columns == {"surname": []}


BAD = {
    "no object": (f'{{"id": "1", "surname": "a"}}\n"{SECRET}"\n', RowError, "row 2"),
    "no JSON": (f'{{"id": "1", "surname": {SECRET}}}\n', RowError, "row 1"),
    "deep": ('{"id": ' + "[" * 100_000, RowError, "row 1"),
    "a fraction": ('{"id": "1", "surname": 1.5}\n', RowError, "row 1"),
    "a truth value": ('{"id": true, "surname": "a"}\n', RowError, "row 1"),
    "several of a field of one": (f'{{"id": "1", "surname": ["{SECRET}", "b"]}}\n', RowError, "row 1"),
    "no id": (f'{{"{SECRET}": "1", "surname": "a"}}\n', ColumnError, "id"),
    "id left out": ('{"id": "1", "surname": "a"}\n{"surname": "b"}\n', RowError, "row 2"),
}


@pytest.mark.parametrize("why", sorted(BAD))
def test_bad_ndjson_is_refused_by_place(tmp_path, why):
    content, error, where = BAD[why]
    (tmp_path / "t.ndjson").write_text(content, encoding="utf-8")
    with pytest.raises(error) as e:
        read_table(tmp_path / "t.ndjson", id_column="id")
    assert e.value.where == where
    assert SECRET not in e.value.message + e.value.hint


def test_bad_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "t.parquet"
    with pytest.raises(TableError):
        read_table(path, id_column="id")
    path.write_bytes(b"PAR1" + SECRET.encode() + b"PAR1")
    with pytest.raises(TableError) as e:
        read_table(path, id_column="id")
    assert SECRET not in e.value.message + e.value.hint
    pq.write_table(pa.table({"id": ["1"], "plz": [1067.0]}), path)
    with pytest.raises(LinkageError) as e:
        read_table(path, id_column="id")
    assert e.value.where == "postcode"


def test_a_parquet_file_that_is_damaged_inside(tmp_path):
    """Header and footer are whole; the first page of every column is not."""
    as_parquet(tmp_path / "t.parquet")
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[4:60] = bytes(byte ^ 0xFF for byte in data[4:60])
    (tmp_path / "t.parquet").write_bytes(data)
    with pytest.raises(TableError, match="damaged") as caught:
        read_table(tmp_path / "t.parquet", id_column="pid")
    assert caught.value.where == "row 1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("id,nachname\r1,Weber\r", "carriage return"),
        ("id,nachname\n1," + "x" * 140_000 + "\n", "longer than"),
        ('id,nachname\n1,"Weber\n2,Klein\n', "quotation"),
    ],
    ids=["line ends", "a long field", "a quotation"],
)
def test_bad_csv_is_told_apart(tmp_path, text, why):
    (tmp_path / "t.csv").write_text(text, newline="")
    with pytest.raises(TableError, match=why) as caught:
        read_table(tmp_path / "t.csv", id_column="id")
    assert caught.value.where.startswith("line ")


def test_a_file_without_line_ends_is_not_read_whole(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"id,surname\n" + b"a" * (2**22 + 5))
    with pytest.raises(TableError) as e:
        read_table(tmp_path / "t.csv", id_column="id")
    assert e.value.where == "row 1"
