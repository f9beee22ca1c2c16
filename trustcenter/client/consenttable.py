"""Tables of consent documents, read row by row in a stream: the header, the columns asked for, row numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import IO, Final, TypeVar

from .csvstream import sniff
from .errors import LocalFileError

ENCODINGS: Final = ("utf-8", "latin-1", "cp1252")
_BUFFER: Final = 2**16
T = TypeVar("T")


class _Counted(io.RawIOBase):
    """A stream that knows how much was read of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)


class Table:
    """A CSV file with a header. Rows are numbered from 1, the first below the header.

    Attributes:
        header: column names.
        size, read: bytes of the file, and how many were read.
    """

    def __init__(self, stream: IO[bytes], size: int, delimiter: str | None, encoding: str) -> None:
        """Read the header.

        Raises:
            LocalFileError: empty, in another charset, a name twice, or a wrong delimiter.
        """
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise LocalFileError("the delimiter is one character, not a quote or line end", code="bad_delimiter")
        self.size = size
        self._raw = _Counted(stream)
        self._row = 0
        codec = "utf-8-sig" if encoding == "utf-8" else encoding
        text = io.TextIOWrapper(io.BufferedReader(self._raw, _BUFFER), codec, newline="")
        first = self._guarded(text.readline)
        if not first.strip():
            raise LocalFileError("the input is empty", code="empty_file", hint="it needs a header line")
        self._reader = csv.reader(text, delimiter=delimiter or sniff(first), strict=True)
        self.header = next(csv.reader([first], delimiter=delimiter or sniff(first)))
        if len(set(self.header)) != len(self.header):
            raise LocalFileError("a column name occurs twice", code="bad_column", where="header")

    @property
    def read(self) -> int:
        """Bytes of the file that were read."""
        return self._raw.count

    def column(self, name: str) -> int:
        """Index of a column, without regard to case where that is clear.

        Raises:
            LocalFileError: there is none. The header is not repeated: a file without one has a patient there.
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
        """Index of a column that may be missing."""
        if name in self.header:
            return self.header.index(name)
        alike = [at for at, own in enumerate(self.header) if own.strip().casefold() == name.strip().casefold()]
        return alike[0] if len(alike) == 1 else None

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Number and fields of each row; empty lines are left out.

        Raises:
            LocalFileError: in another charset, ragged, or wrongly quoted; `where` has the row number.
        """
        while True:
            self._row += 1
            fields = self._guarded(lambda: next(self._reader, None))
            if fields is None:
                return
            if not fields:
                continue
            if len(fields) != len(self.header):
                raise LocalFileError(
                    f"the row has {len(fields)} fields, the header {len(self.header)}",
                    code="bad_row",
                    where=f"row {self._row}",
                )
            yield self._row, fields

    def _guarded(self, read: Callable[[], T]) -> T:
        where = f"row {self._row}" if self._row else "header"
        try:
            return read()
        except UnicodeDecodeError:
            # Read in blocks: which row it is cannot be told.
            raise LocalFileError(
                "the input is in another charset", code="bad_encoding", hint="say which: --encoding"
            ) from None
        except csv.Error:
            # The text of csv.Error is about the format, but may grow a value some day.
            raise LocalFileError(
                "the row is not valid CSV", code="bad_row", hint="check its quotes", where=where
            ) from None
