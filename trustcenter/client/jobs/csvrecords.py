"""CSV files as bytes: records found in blocks, chosen fields taken out, all else left as it is, byte for byte.

Only the chosen fields are ever decoded, so the charset of the other columns does not matter, and what is written
back has their quotes, blanks and line ends unchanged. A record that is no record (another number of fields, broken
quotes) is one failed row; reading goes on with the next line.

Rows are numbered from 1, the first record below the header.
"""

from __future__ import annotations

import codecs
import csv
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final

from linkage import separator
from trustcenter.client.errors import LocalFileError

from . import csvpattern
from .csvdialect import Dialect, charset
from .csvstream import Sink, sniff

_BLOCK: Final = 2**20  # bytes read at a time
_RECORD: Final = 2**20  # bytes of one record, at most: a binary file has no line ends and must not be read whole

Row = tuple[bytes, ...]


@dataclass(frozen=True)
class Chunk:
    """Consecutive records.

    Attributes:
        rows: each a tuple as `Records.choose` says.
        first: number of the first row.
        position: byte of the file where the next record begins.
        digest: keyed digest of everything before that, in hex.
    """

    rows: list[Row]
    first: int
    position: int
    digest: str

    @property
    def last(self) -> int:
        """Number of the last row."""
        return self.first + len(self.rows) - 1


class Records:
    """A CSV file being read.

    Attributes:
        header: column names.
        above: a line above the header that tells the separator, as it stands there; empty where there is none.
        head: the header as it stands there.
        dialect: how it is written.
        size: bytes of the file.
        position: byte where the next record begins; `row` is the number of the one before.
        digest: fed with everything before that.
    """

    def __init__(self, stream: IO[bytes], size: int, delimiter: str | None, encoding: str, digest: hmac.HMAC) -> None:
        """Read the header. `digest` is fed with what has been handed out.

        Raises:
            LocalFileError: empty file, an unknown charset or separator, a repeated column name.
        """
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0' or not delimiter.isascii()):
            raise LocalFileError("the delimiter is one ASCII character, not a quote or line end", code="bad_delimiter")
        self.size = size
        self._stream = stream
        self.digest = digest
        self._ended = False
        self.row = 0
        start = stream.read(_BLOCK)
        codec, mark = charset(start, encoding)
        self._decoder = codecs.getincrementaldecoder(codec)() if codec.startswith("utf-16") else None
        self.dialect = Dialect(codec, mark, delimiter or ",", "\n")
        self._buffer = b""
        self._take(start[len(mark) :])
        self.digest.update(mark)
        self.position = len(mark)
        first = self._header_line()
        told = separator.told(first.decode("ascii", "replace"))
        self.above = first if told is not None else b""
        if told is not None:
            delimiter = delimiter or told
            self._count(first)
            first = self._header_line()
        self._count(first)
        name = self.dialect.inner
        head = first.decode(name, "surrogateescape" if name == "utf-8" else "replace")
        if not head.strip():
            raise LocalFileError("the input is empty", code="empty_file", hint="it needs a header line")
        line_end = "\r\n" if head.endswith("\r\n") else "\n"
        self.dialect = Dialect(codec, mark, delimiter or sniff(head), line_end)
        self.head = first
        self.header = _names(head, self.dialect.delimiter)
        self._pattern: re.Pattern[bytes] | None = None
        self.chosen = 0

    def column(self, name: str) -> int:
        """Index of a column.

        Raises:
            LocalFileError: there is none of that name. The header is not repeated in the message: a file
                without a header has a patient there.
        """
        if name in self.header:
            return self.header.index(name)
        alike = [i for i, own in enumerate(self.header) if own.strip().casefold() == name.strip().casefold()]
        if len(alike) == 1:
            return alike[0]
        odd = not "".join(self.header).isprintable() or "\N{REPLACEMENT CHARACTER}" in "".join(self.header)
        raise LocalFileError(
            f"the input has no column of that name (it has {len(self.header)})",
            code="unknown_column",
            hint="the header is not UTF-8: say its charset (--encoding cp1252, latin-1 or utf-16)"
            if odd
            else "columns are named in the first line; is the separator right (--delimiter)?",
            where="header",
        )

    def choose(self, columns: Sequence[int]) -> None:
        """Say which columns are needed, in ascending order, before `chunks`.

        A row is then (before, field, before, field, …, rest, line end, ragged, open, broken): joined, it is the
        record. The line end is empty where the record is none: then one of the last three is the whole of it.
        """
        self._pattern = csvpattern.pattern(self.dialect.delimiter, len(self.header), columns)
        self.chosen = len(columns)

    def peek(self) -> list[Row]:
        """The first records that were read ahead with the header; `chunks` gives them again."""
        assert self._pattern is not None
        cut = self._buffer.rfind(b"\n") + 1
        rows = self._pattern.findall(self._buffer[:cut] or self._buffer + b"\n")
        return [row for row in rows if row[-4]]

    def skip(self, position: int, row: int) -> None:
        """Go on where a chunk ended, by reading up to there; an input that ends before is the digest's matter."""
        # Block by block more was read than the header: go back to its end.
        self._stream.seek(self.position)
        self._buffer, self._ended = b"", False
        if self._decoder is not None:
            self._decoder.reset()
        while self.position < position and (block := self._stream.read(min(_BLOCK, position - self.position))):
            self.position += len(block)
            self.digest.update(block)
        self.row = row

    def chunks(self, size: int) -> Iterator[Chunk]:
        """All records, `size` at a time; the end of a block may make a chunk smaller.

        Raises:
            LocalFileError: a record of more than a megabyte, or text that is not UTF-16.
        """
        assert self._pattern is not None
        rows: list[Row] = []
        while found := self._block():
            rows += found
            whole = len(rows) // size * size
            for start in range(0, whole, size):
                yield self._chunk(rows[start : start + size])
            rows = rows[whole:]
        if rows:
            yield self._chunk(rows)

    def _chunk(self, rows: list[Row]) -> Chunk:
        first = self.row + 1
        self.row += len(rows)
        self._count(b"".join(map(b"".join, rows)))
        return Chunk(rows, first, min(self.position, self.size), self.digest.hexdigest())

    def _block(self) -> list[Row]:
        """The records that are complete in what was read; none at the end of the file."""
        assert self._pattern is not None
        while True:
            if not self._ended:
                self._fill()
            if self._ended and self._buffer and not self._buffer.endswith(b"\n"):
                self._buffer += self.dialect.line_end.encode()
            cut = self._buffer.rfind(b"\n") + 1
            if not cut:
                if self._ended:
                    return []
                self._require_short(len(self._buffer))
                continue
            block, self._buffer = self._buffer[:cut], self._buffer[cut:]
            rows: list[Row] = self._pattern.findall(block)
            left = rows[-1][-2]
            if left:
                # Quotes that are still open at the end: the record goes on in the next block, or they never close.
                del rows[-1]
                if self._ended or len(left) > _RECORD:
                    end = left.index(b"\n") + 1
                    self._buffer = left[end:] + self._buffer
                    rows.append((*(b"",) * (2 * self.chosen + 4), left[:end]))
                else:
                    self._buffer = left + self._buffer
            if rows:
                return rows

    def _fill(self) -> None:
        block = self._stream.read(_BLOCK)
        if block:
            self._take(block)
        else:
            self._ended = True
            if self._decoder is not None:
                self._take(b"")

    def _take(self, block: bytes) -> None:
        if self._decoder is None:
            self._buffer += block
            return
        try:
            self._buffer += self._decoder.decode(block, final=self._ended).encode("utf-8")
        except (UnicodeDecodeError, UnicodeEncodeError):
            raise LocalFileError("the input is not UTF-16", code="bad_encoding", where=self._where()) from None

    def _header_line(self) -> bytes:
        """The first record; a name in quotes may hold a line end."""
        while True:
            at = -1
            while (at := self._buffer.find(b"\n", at + 1)) >= 0:
                if not self._buffer.count(b'"', 0, at) % 2:
                    line, self._buffer = self._buffer[: at + 1], self._buffer[at + 1 :]
                    return line
            if self._ended:
                line, self._buffer = self._buffer, b""
                return line
            self._require_short(len(self._buffer))
            self._fill()

    def _count(self, data: bytes) -> None:
        raw = self.dialect.outer(data)
        self.position += len(raw)
        # A last line without an end got one: it is not in the file.
        self.digest.update(raw if self.position <= self.size else raw[: self.size - self.position])

    def _require_short(self, length: int) -> None:
        if length > _RECORD:
            raise LocalFileError("a line is longer than a megabyte", code="bad_row", where=self._where())

    def _where(self) -> str:
        return f"after row {self.row}" if self.row else "header"


class RecordWriter:
    """Records written in the manner of an input."""

    def __init__(self, sink: Sink, dialect: Dialect) -> None:
        self._sink = sink
        self._dialect = dialect

    def header(self, like: Records, more: Sequence[str] = ()) -> None:
        """Byte order mark, a line that tells the separator, and column names of an input; and further ones."""
        self._sink.write(self._dialect.mark)
        self.raw(like.above)
        line_end = self._dialect.line_end.encode()
        fields = [like.head.removesuffix(line_end), *map(self._dialect.field, more)]
        self.raw(self._dialect.delimiter.encode().join(fields) + line_end)

    def raw(self, data: bytes) -> None:
        """Records as they were handed out."""
        self._sink.write(self._dialect.outer(data))


def _names(head: str, delimiter: str) -> list[str]:
    csv.field_size_limit(_RECORD)
    try:
        names = next(csv.reader(head.splitlines(keepends=True), delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration):
        raise LocalFileError(
            "the header is not valid CSV", code="bad_row", hint="check its quotes", where="header"
        ) from None
    if len(set(names)) != len(names):
        raise LocalFileError("a column name occurs twice", code="bad_column", where="header")
    return names
