"""Tables of patients from CSV, Parquet and NDJSON files, chunk by chunk: memory does not grow with the file.

What is wrong with a file is said by position and by our own field names, never by its content.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage import separator
from linkage.errors import EncodingError, RowError, TableError
from linkage.tables import FURTHER, Chunk, Places, place_columns

DELIMITERS: Final = (",", ";", "\t", "|")
CHUNK: Final = 20_000  # records
_LINE_BYTES: Final = 2**22  # a file without line ends must not be read whole
_FIELD_CHARS: Final = 131_072  # characters in one cell
_SUFFIXES: Final = {".parquet": "parquet", ".ndjson": "ndjson", ".jsonl": "ndjson"}


def ids_once(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The chunks as they are, and an error if an id is empty, or at the end if one occurs twice; 8 bytes an id.

    Raises:
        RowError: with the number of the row.
    """
    seen: list[NDArray[np.int64]] = []
    for chunk in chunks:
        if "" in chunk.ids:
            raise RowError(
                "the id is empty",
                hint="every patient needs the id that the site knows",
                where=f"row {chunk.first + chunk.ids.index('')}",
            )
        seen.append(np.fromiter(map(hash, chunk.ids), np.int64, len(chunk.ids)))
        yield chunk
    every = np.concatenate([np.empty(0, np.int64), *seen])
    order = np.argsort(every, kind="stable")
    again = np.flatnonzero(every[order][1:] == every[order][:-1])
    if len(again):
        at = again[np.argmin(order[again + 1])]
        raise RowError(
            f"the id is the same as in row {order[at] + 1}",
            hint="one row per id: take out the others, or give them ids of their own",
            where=f"row {order[at + 1] + 1}",
        )


def kind_of(path: Path) -> str:
    """The kind of a file by the end of its name: "parquet", "ndjson" or "csv"."""
    return _SUFFIXES.get(path.suffix.lower(), "csv")


def read_chunks(
    path: str | Path,
    *,
    id_column: str,
    mapping: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    size: int = CHUNK,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Chunk]:
    """Read a file of patients; at least one chunk, which may be empty, comes of every valid file.

    Args:
        path: the file; its kind is told by its name (.parquet, .ndjson, .jsonl, else CSV).
        id_column: name of the column with the site's own id.
        mapping: field → column; without it the usual names are recognised. Other columns are left out.
        delimiter: of CSV: one of , ; tab |; without it the one that the header line has most of.
        size: records per chunk.
        progress: called when a chunk has been used, with how much was read and how much there is: bytes, of Parquet
            records. Of a pipe nobody knows the end: then records and 0. May raise to cancel.

    Raises:
        EncodingError: not UTF-8, with the row.
        ColumnError: a needed column is not there or there twice, or no column is recognised.
        RowError: a row is ragged, or is no record of texts and whole numbers.
        TableError: there is no such file, it is empty, or it is not of its kind.
        MissingExtraError: Parquet without pyarrow.
    """
    file = Path(path)

    def place(header: Sequence[str]) -> Places:
        return place_columns(header, id_column, mapping)

    kind = kind_of(file)
    if kind == "parquet":
        from linkage.readparquet import read_parquet

        yield from read_parquet(file, place, size, progress)
        return
    try:
        stream = file.open("rb")
    except FileNotFoundError:
        raise TableError("there is no such file") from None
    except OSError as e:
        raise TableError("the file cannot be read", hint=e.strerror or "") from None
    with stream:
        lines, whole = _lines(stream), os.fstat(stream.fileno()).st_size
        for chunk in _csv(lines, place, delimiter, size) if kind == "csv" else _ndjson(lines, place, size):
            yield chunk
            if progress is not None:
                progress(stream.tell() if whole else chunk.first - 1 + len(chunk.ids), whole)


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """Decoded lines with their ends, the first without a byte order mark; leading empty lines are left out."""
    number, begun = 0, False
    while raw := stream.readline(_LINE_BYTES):
        where = f"row {number}" if number else "header"
        if len(raw) == _LINE_BYTES and not raw.endswith(b"\n"):
            raise TableError("a line is longer than 4 MiB", hint="is it a text file?", where=where)
        if not number and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise TableError("the file holds null characters", hint="is it UTF-16? save it as UTF-8")
        try:
            line = raw.decode("utf-8-sig" if not number else "utf-8")
        except UnicodeDecodeError:
            raise EncodingError(
                "the file is not UTF-8",
                hint="convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW; a charset guessed wrong would cost matches",
                where=where,
            ) from None
        if "\0" in line:
            raise TableError("the file holds null characters", hint="is it UTF-16? save it as UTF-8")
        number += begun or separator.told(line) is None
        if begun or line.strip():
            begun = True
            yield line
    if not begun:
        raise TableError("the file is empty")


def _csv(
    lines: Iterator[str], place: Callable[[Sequence[str]], Places], delimiter: str | None, size: int
) -> Iterator[Chunk]:
    first = next(lines)
    if (told := separator.told(first)) is not None:
        delimiter, first = delimiter or told, next(lines, "\n")
    if delimiter is None:
        delimiter = max(DELIMITERS, key=first.count)
    elif delimiter not in DELIMITERS:
        raise TableError("the delimiter is not one of , ; tab |")
    csv.field_size_limit(_FIELD_CHARS)

    def again() -> Iterator[str]:
        yield first
        yield from lines

    reader = csv.reader(again(), delimiter=delimiter, strict=True)

    def rows() -> Iterator[list[str]]:
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as e:
                raise _of_csv(str(e), reader.line_num) from None
            yield row

    source = rows()
    header = [c.strip() for c in next(source)]
    places, width = place(header), len(header)
    id_at = places.id_at
    taken: list[list[str]] = []
    begun = 1
    for number, row in enumerate(source, start=1):
        if len(row) != width:
            if not row:
                continue  # an empty line, often the last one
            raise RowError(f"the row has {len(row)} fields, the header {width}", where=f"row {number}")
        taken.append(row)
        if len(taken) == size:
            yield _of_rows(begun, taken, id_at, places)
            begun, taken = begun + size, []
    if taken or begun == 1:
        yield _of_rows(begun, taken, id_at, places)


def _of_csv(said: str, line: int) -> TableError:
    """What the reader of CSV found wrong, which it tells apart by words only."""
    where = f"line {line}"
    if "field limit" in said:
        return TableError(
            f"a field is longer than {_FIELD_CHARS} characters", hint="is a quotation not closed?", where=where
        )
    if "new-line" in said:
        return TableError(
            "a line ends with a carriage return only", hint="save the file with usual line ends", where=where
        )
    return TableError("a quotation is not closed or not opened", where=where)


def _of_rows(first: int, rows: list[list[str]], id_at: int, places: Places) -> Chunk:
    return Chunk(
        first, [row[id_at].strip() for row in rows], {name: [row[i] for row in rows] for name, i in places.at.items()}
    )


def _ndjson(lines: Iterator[str], place: Callable[[Sequence[str]], Places], size: int) -> Iterator[Chunk]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    places: Places | None = None
    keys: list[str] = []
    taken: list[dict[str, Any]] = []
    begun = 1

    def chunk() -> Chunk:
        # Which columns there are is told by the first chunk: a record may leave out what it lacks.
        nonlocal places, keys
        if places is None:
            keys = list(dict.fromkeys(key for record in taken for key in record))
            places = place(keys)
        numbered = list(enumerate(taken, start=begun))
        ids = [_text(record.get(keys[places.id_at]), "id", n).strip() for n, record in numbered]
        columns = {
            name: [_text(record.get(keys[i]), name, n) for n, record in numbered] for name, i in places.at.items()
        }
        return Chunk(begun, ids, columns)

    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            taken.append(decoder.decode(line))
        except (msgspec.DecodeError, RecursionError):
            raise RowError(
                "the line is no JSON object", hint="NDJSON is one object a line, no list", where=f"row {number}"
            ) from None
        if len(taken) == size:
            yield chunk()
            begun, taken = begun + size, []
    if taken:
        yield chunk()


def _text(value: object, name: str, row: int) -> str:
    """A value of JSON as text; several, where the column is one of further values, with | between them."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and name in FURTHER and all(isinstance(v, str) for v in value):
        return "|".join(value)
    raise RowError(f"{name} is neither text nor a whole number", where=f"row {row}")
