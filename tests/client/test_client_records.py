"""CSV as bytes: what is not chosen is never touched, and what is no record is one failed row."""

from __future__ import annotations

import csv
import hmac
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage import separator
from trustcenter.client.errors import LocalFileError
from trustcenter.client.jobs.csvrecords import Records, RecordWriter, Row
from trustcenter.client.jobs.csvstream import CsvInput, sniff

CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=12)
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8)


def opened(content: bytes, columns: tuple[int, ...] = (0,), encoding: str = "auto") -> Records:
    digest = hmac.new(b"k", b"", "sha256")
    records = Records(io.BytesIO(content), len(content), None, encoding, digest)
    records.choose(columns)
    return records


def rows(records: Records, size: int = 3) -> list[Row]:
    return [row for chunk in records.chunks(size) for row in chunk.rows]


def good(records: Records, size: int = 3) -> list[Row]:
    return [row for row in rows(records, size) if row[-4]]


def written(table: list[tuple[str, str, str]], separator: str, line_end: str, quoting: int) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(("a", "b", "c"))
    writer.writerows(table)
    return text.getvalue()


@given(
    TABLES,
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"]),
)
def test_fields_are_those_of_the_csv_module_and_the_file_stays_as_it_is(
    table: list[tuple[str, str, str]], mark: str, line_end: str, quoting: int, charset: str
) -> None:
    text = written(table, mark, line_end, quoting)
    content = (("\ufeff" if charset.startswith("utf-16") else "") + text).encode(charset)
    records = opened(content, (0, 2))
    out = io.BytesIO()
    writer = RecordWriter(out, records.dialect)
    writer.header(records)
    found = []
    for row in rows(records):
        found.append((records.dialect.text(row[1]), records.dialect.text(row[3])))
        writer.raw(b"".join(row))
    assert found == [(a, c) for a, _, c in table]
    assert out.getvalue() == content
    whole = hmac.new(b"k", content, "sha256").hexdigest()
    assert (records.digest.hexdigest(), records.position) == (whole, len(content))


@given(st.binary(max_size=300), st.integers(1, 4), st.sampled_from(["auto", "utf-8", "latin-1", "cp1252", "utf-16"]))
def test_any_bytes_are_either_refused_as_a_whole_or_given_row_by_row(noise: bytes, size: int, encoding: str) -> None:
    """Whatever follows a header: every byte is in exactly one row, and the rows before and after can be served."""
    content = b'a;b\n1;x\n2;"y"\n' + noise
    try:
        records = opened(content, (0,), encoding)
        found = rows(records, size)
    except LocalFileError as error:
        assert error.code in ("bad_encoding", "not_utf8", "bad_row", "bad_column", "unknown_column")  # noqa: PT017
        return
    joined = b"".join(map(b"".join, found))
    raw = records.dialect.outer(records.head + joined)
    assert records.dialect.mark + raw in (content, content + b"\n", content + "\n".encode("utf-16-le"))
    for row in found:
        assert bool(row[-4]) + sum(map(bool, row[-3:])) == 1, "a record, or one of three reasons why not"


@given(TABLES, TABLES)
def test_a_bad_record_spoils_neither_what_is_before_nor_after(
    before: list[tuple[str, str, str]], after: list[tuple[str, str, str]]
) -> None:
    for bad in ("too;few\n", "a;b;c;d\n", '1;"2"x;3\n'):
        head = written(before, ";", "\n", csv.QUOTE_MINIMAL)
        tail = written(after, ";", "\n", csv.QUOTE_MINIMAL).split("\n", 1)[1]
        records = opened((head + bad + tail).encode(), (0, 1, 2))
        found = rows(records)
        assert [bool(row[-4]) for row in found] == [True] * len(before) + [False] + [True] * len(after)


def test_rows_are_counted_also_over_line_breaks_in_quotes_and_empty_lines() -> None:
    records = opened(b'a,b\n1,"x\ny"\n\n3,z\n')
    (chunk,) = records.chunks(10)
    assert [(n, row[1]) for n, row in enumerate(chunk.rows, chunk.first) if row[3]] == [(1, b"1"), (3, b"3")]


def test_quotes_that_never_close_are_one_failed_row() -> None:
    content = b'a,b\n1,x\n2,"open\n3,y\n' + b"4,z\n" * 300_000
    found = rows(opened(content), 10_000)
    assert [row[-1] for row in found if not row[-4]] == [b'2,"open\n']
    assert len(found) == 300_003


def test_a_record_over_several_blocks() -> None:
    content = b'a,b\n1,"' + b"x\n" * 600_000 + b'"\n2,y\n'
    # Longer than a record may be: its first line fails, then every line for itself; the good one is served.
    assert [row[1] for row in good(opened(content), 50_000)][-1] == b"2"
    content = b'a,b\n1,"' + b"x\n" * 400_000 + b'"\n2,y\n'
    assert [row[1] for row in good(opened(b"a,b\n" + b"0,q\n" * 200_000 + content[4:]), 50_000)][-2:] == [b"1", b"2"]


def test_the_time_is_linear_in_quotes() -> None:
    hostile = b"a,b\n" + b'"' * 200_000 + b"\n" + b'x,"' * 70_000 + b"\n" + b'""",' * 50_000 + b"\n"
    started = time.monotonic()
    rows(opened(hostile))
    assert time.monotonic() - started < 60  # a square of it would be hours


@pytest.mark.parametrize(
    ("content", "encoding", "code"),
    [
        (b"", "auto", "empty_file"),
        (b"\xef\xbb\xbf\n", "auto", "empty_file"),
        (b"a,a\n1,2\n", "auto", "bad_column"),
        (b'a,"b\n1,2\n', "auto", "bad_row"),
        (b"a\0b\0\n\0", "auto", "not_utf8"),
        (b"\xef\xbb\xbfa;b\n", "latin-1", "bad_encoding"),
        (b"\xff\xfea\0;\0b\0\n\0", "utf-8", "bad_encoding"),
        (b"a;b\n", "ebcdic", "bad_encoding"),
        (b"\xff\xfea\0\n\0\0\xd8\0\xd8", "auto", "bad_encoding"),
        (b"a" * 3_000_000, "auto", "bad_row"),
        (b"a,b\n" + b"x" * 3_000_000, "auto", "bad_row"),
    ],
)
def test_bad_files_are_refused_without_their_values(content: bytes, encoding: str, code: str) -> None:
    with pytest.raises(LocalFileError) as caught:
        rows(opened(content, (0,), encoding))
    assert caught.value.code == code
    assert "aa" not in str(caught.value)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("latin-1", "Müller"), ("cp1252", "Müller – 5 €"), ("utf-8", "Ł€"), ("utf-16", "Müller 😀")],
)
def test_another_charset_is_said_and_kept(encoding: str, text: str) -> None:
    content = f"PID;NÄME\n4711;{text}\n".encode("utf-16-le" if encoding == "utf-16" else encoding)
    records = opened(content, (1,), encoding)
    ((_, field, *_),) = rows(records)
    assert records.dialect.text(field) == text
    assert records.column("näme") == 1


def test_a_field_that_is_not_of_the_charset_is_told_and_other_columns_do_not_matter() -> None:
    records = opened(b"pid;name\nM\xfc;x\n4711;M\xfc\n", (0,))
    assert [records.dialect.text(row[1]) for row in rows(records)] == [None, "4711"]


def test_a_header_in_another_charset_says_what_to_do() -> None:
    with pytest.raises(LocalFileError) as caught:
        opened("NÄME;x\n".encode("cp1252")).column("NÄME")
    assert "--encoding" in caught.value.hint


@pytest.mark.parametrize(
    ("head", "found"),
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
def test_the_separator_is_found_outside_quotes(head: str, found: str) -> None:
    assert sniff(head) == found


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16-le"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_line_for_excel_tells_the_separator_and_stays_above_the_header(charset: str, line_end: str) -> None:
    text = line_end.join(["sep=|", "pid|a,b,c", "4711|x", "4712|y", ""])
    content = (("\ufeff" if charset.startswith("utf-16") else "") + text).encode(charset)
    records = opened(content, (0,))
    assert (records.header, records.dialect.delimiter) == (["pid", "a,b,c"], "|")
    out = io.BytesIO()
    writer = RecordWriter(out, records.dialect)
    writer.header(records, ["psn"])
    found = [(records.dialect.text(row[1]), writer.raw(b"".join(row)))[0] for row in rows(records)]
    assert found == ["4711", "4712"]
    assert records.row == 2
    wanted = text.replace("a,b,c", "a,b,c|psn", 1)
    assert out.getvalue() == (("\ufeff" if charset.startswith("utf-16") else "") + wanted).encode(charset)
    assert records.digest.hexdigest() == hmac.new(b"k", content, "sha256").hexdigest()
    if charset.startswith("utf-8"):
        table = CsvInput(io.BytesIO(content))
        assert (table.header, list(table.rows())) == (["pid", "a,b,c"], [(1, ["4711", "x"]), (2, ["4712", "y"])])
        assert table.read == len(content)


@pytest.mark.parametrize("first", ["sep=", "sep=;;", "sep", "separator=;", 'sep="', "sep=ä"])
def test_what_does_not_tell_a_separator_is_a_header(first: str) -> None:
    assert separator.told(f"{first}\n") is None
    assert separator.told("sep=;") is None, "a file of one line has nothing else for a header"


def test_a_separator_that_was_said_counts_for_more_than_one_that_is_told() -> None:
    content = b"sep=;\npid,a;b\n1,2\n"
    digest = hmac.new(b"k", b"", "sha256")
    assert Records(io.BytesIO(content), len(content), ",", "auto", digest).header == ["pid", "a;b"]
    assert CsvInput(io.BytesIO(content), ",").header == ["pid", "a;b"]


def test_what_the_charset_cannot_say_is_an_error_not_a_question_mark() -> None:
    with pytest.raises(LocalFileError) as caught:
        opened(b"a\n", (0,), "latin-1").dialect.field("Ł")
    assert caught.value.code == "bad_encoding"


def test_a_new_field_has_quotes_where_it_needs_them() -> None:
    dialect = opened(b"a;b\n").dialect
    assert dialect.field("x") == b"x"
    assert dialect.field('x;"y"') == b'"x;""y"""'
    assert dialect.field("x", quoted=True) == b'"x"'
