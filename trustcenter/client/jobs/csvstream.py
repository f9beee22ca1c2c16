"""Tables whose fields are taken as text: ids, results, consent documents, row by row through the csv module.

UTF-8 unless said otherwise, a byte order mark is ignored; separator given, told by a line `sep=;`, or found in the
header. Rows are numbered from 1, the first line below the header. Files whose every byte is kept: `csvrecords`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final, Protocol

from linkage import separator
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing

SEPARATORS: Final = ",;\t|"
_BOM: Final = b"\xef\xbb\xbf"
_LINE_BYTES: Final = 2**20  # bytes of one line: a binary file has none and must not be read whole
_FIELD_CHARS: Final = 2**17  # characters of one quoted field


class Sink(Protocol):
    """What an output needs to be able to do."""

    def write(self, data: bytes, /) -> object:
        """Take bytes."""


class CsvInput:
    """A CSV file being read.

    Attributes:
        header: column names.
        delimiter: the separator.
        read: bytes of the file that were read.
    """

    def __init__(self, stream: IO[bytes], delimiter: str | None = None, encoding: str = "utf-8") -> None:
        """Read the header.

        Args:
            stream: from its beginning.
            delimiter: None: found in the header.
            encoding: a charset in which a line feed is one byte.

        Raises:
            LocalFileError: empty file, another charset, a repeated column name, a wrong delimiter.
        """
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise LocalFileError("the delimiter is one character, not a quote or line end", code="bad_delimiter")
        self._stream = stream
        self._encoding = encoding
        self._row = 0
        first = self._stream.readline(_LINE_BYTES)
        self.read = len(first)
        head = self._decode(first.removeprefix(_BOM) if encoding == "utf-8" else first)
        if (told := separator.told(head)) is not None:
            delimiter, first = delimiter or told, self._stream.readline(_LINE_BYTES)
            self.read += len(first)
            head = self._decode(first)
        if not head.strip():
            raise LocalFileError("the input is empty", code="empty_file", hint="it needs a header line")
        self.delimiter = delimiter or sniff(head)
        self._reader = csv.reader(self._lines(head), delimiter=self.delimiter, strict=True)
        self.header = self._next()
        if len(set(self.header)) != len(self.header):
            raise LocalFileError("a column name occurs twice", code="bad_column", where="header")

    def column(self, name: str) -> int:
        """Index of a column.

        Raises:
            LocalFileError: there is none of that name. The header is not repeated in the message: a file
                without a header has a patient there.
        """
        found = self.optional(name)
        if found is None:
            raise LocalFileError(
                f"the input has no column of that name (it has {len(self.header)})",
                code="unknown_column",
                hint="columns are named in the first line; is the separator right (--delimiter)?",
                where="header",
            )
        return found

    def optional(self, name: str) -> int | None:
        """Index of a column that may be missing. As in linkage.tables: without regard to case, where that is clear."""
        if name in self.header:
            return self.header.index(name)
        alike = [at for at, own in enumerate(self.header) if own.strip().casefold() == name.strip().casefold()]
        return alike[0] if len(alike) == 1 else None

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Row number and fields; empty lines are left out.

        Raises:
            LocalFileError: in another charset, ragged, or wrongly quoted; `where` has the row number.
        """
        while True:
            self._row += 1
            try:
                fields = self._next()
            except StopIteration:
                return
            if not fields:
                continue
            if len(fields) != len(self.header):
                raise LocalFileError(
                    f"the row has {len(fields)} fields, the header {len(self.header)}",
                    code="bad_row",
                    where=self._where(),
                )
            yield self._row, fields

    def _where(self) -> str:
        return f"row {self._row}" if self._row else "header"

    def _next(self) -> list[str]:
        try:
            return next(self._reader)
        except csv.Error:
            # The text of csv.Error is about the format, but may grow a value some day.
            raise LocalFileError(
                "the row is not valid CSV", code="bad_row", hint="check its quotes", where=self._where()
            ) from None

    def _lines(self, head: str) -> Iterator[str]:
        yield head
        while line := self._stream.readline(_LINE_BYTES):
            self.read += len(line)
            yield self._decode(line)

    def _decode(self, line: bytes) -> str:
        if len(line) == _LINE_BYTES and not line.endswith(b"\n"):
            raise LocalFileError("a line is longer than a megabyte", code="bad_row", where=self._where())
        try:
            return line.decode(self._encoding)
        except UnicodeDecodeError:
            utf8 = self._encoding == "utf-8"
            raise LocalFileError(
                "the input is not UTF-8" if utf8 else "the input is in another charset than was said",
                code="not_utf8" if utf8 else "bad_encoding",
                hint="convert it: iconv -f WINDOWS-1252 -t UTF-8; or say its charset, where there is --encoding",
                where=self._where(),
            ) from None


def sniff(head: str) -> str:
    """The separator of a header line: the most frequent candidate outside quotes, or a comma."""
    outside = "".join(head.split('"')[::2])
    best = max(SEPARATORS, key=outside.count)
    return best if best in outside else ","


def open_input(path: Path) -> tuple[IO[bytes], int]:
    """Open a file for `CsvInput`; also gives its size.

    Raises:
        LocalFileError: missing, a directory, or not readable.
    """
    csv.field_size_limit(_FIELD_CHARS)
    try:
        return path.open("rb", buffering=1 << 20), path.stat().st_size
    except FileNotFoundError:
        raise LocalFileError("the input does not exist", code="no_input") from None
    except IsADirectoryError:
        raise LocalFileError("the input is a directory", code="no_input") from None
    except OSError:
        raise LocalFileError("the input cannot be read", code="no_input", hint="check its owner and mode") from None


def read_columns(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Some columns of a CSV file, in the order asked for.

    Raises:
        LocalFileError: no such file or column, or not CSV in UTF-8.
    """
    stream, _ = open_input(path)
    with stream:
        table = CsvInput(stream)
        places = [at for at in map(table.optional, columns) if at is not None]
        if len(places) < len(columns):
            raise LocalFileError(
                "the input lacks columns",
                code="unknown_column",
                hint=f"its first line has to name {', '.join(columns)}",
                where="header",
            )
        return [tuple(fields[i] for i in places) for _, fields in table.rows()]


def read_ids(path: Path, column: str, delimiter: str | None = None) -> list[str]:
    """The ids of a file, stripped as `linkage.tables` strips them: other ids give other record numbers.

    Raises:
        LocalFileError: no such file or column, or not CSV in UTF-8.
        LinkageError: an id is empty or occurs twice.
    """
    from linkage.tables import Table

    stream, _ = open_input(path)
    with stream:
        table = CsvInput(stream, delimiter)
        at = table.column(column)
        return Table([fields[at].strip() for _, fields in table.rows()], {}).ids


def write_csv(target: Path, header: Sequence[str], rows: Iterable[Sequence[object]], *, force: bool = False) -> None:
    """Write a CSV file (UTF-8, comma, LF, mode 0600) that appears only when it is complete.

    Raises:
        LocalFileError: it exists (without `force`).
    """
    with replacing(target, force=force) as stream:
        text = io.TextIOWrapper(stream, "utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        text.detach()  # flushes, and leaves closing to `replacing`
