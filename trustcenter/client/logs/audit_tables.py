"""Entries of a verified bundle as a table or as FHIR resources (docs/spec/audit-formats.md)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from trustcenter.client.jobs.parquet import require_pyarrow

if TYPE_CHECKING:
    from trustcenter.audit.entries import Entry

COLUMNS: Final = (
    "seq", "time", "window", "event", "who", "outcome", "request", "site", "domain", "study", "code", "count",
    "clock_skew", "data", "hash",
)  # fmt: skip
_NUMBERS: Final = frozenset({"seq", "window", "count", "clock_skew"})
_GROUP: Final = 20_000  # rows of a row group


def row(entry: Entry, digest: bytes) -> list[Any]:
    """The cells of an entry in the order of `COLUMNS`; None where it has no such word."""
    data = entry.data
    count = data.get("count")
    return [
        entry.seq,
        entry.time if isinstance(entry.time, str) else None,
        entry.window if isinstance(entry.window, int) else None,
        entry.event,
        entry.who,
        entry.outcome,
        *(_text(data.get(word)) for word in ("request", "site", "domain", "study", "code")),
        count if isinstance(count, int) else None,
        entry.clock_skew if isinstance(entry.clock_skew, int) else None,
        msgspec.json.encode(data, order="sorted").decode(),
        digest.hex(),
    ]


class NdjsonLines:
    """The canonical bytes of each entry, one a line."""

    def __init__(self, stream: IO[bytes], origin: str) -> None:
        self._write = stream.write

    def add(self, entry: Entry, leaf: bytes, digest: bytes) -> None:
        """Write one entry."""
        self._write(leaf + b"\n")

    def close(self) -> None:
        """Nothing is kept back."""


class FhirLines:
    """A FHIR R4 AuditEvent of each entry, one a line."""

    def __init__(self, stream: IO[bytes], origin: str) -> None:
        from trustcenter.audit.fhir import audit_event

        self._write, self._origin, self._make = stream.write, origin, audit_event
        self._encode = msgspec.json.Encoder().encode

    def add(self, entry: Entry, leaf: bytes, digest: bytes) -> None:
        """Write one entry."""
        self._write(self._encode(self._make(entry, self._origin, digest)) + b"\n")

    def close(self) -> None:
        """Nothing is kept back."""


class CsvTable:
    """RFC 4180 with a header, UTF-8. Cells never begin with a character that a spreadsheet takes for a formula."""

    def __init__(self, stream: IO[bytes], origin: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=False)
        self._writer = csv.writer(self._text, lineterminator="\r\n")
        self._writer.writerow(COLUMNS)

    def add(self, entry: Entry, leaf: bytes, digest: bytes) -> None:
        """Write one entry."""
        self._writer.writerow([_safe(cell) for cell in row(entry, digest)])

    def close(self) -> None:
        """Hand the stream back."""
        self._text.flush()
        self._text.detach()


class ParquetTable:
    """Columns with types, in row groups of `_GROUP` entries (extra `parquet`)."""

    def __init__(self, stream: IO[bytes], origin: str) -> None:
        require_pyarrow()
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa: Any = pa
        fields = [(name, pa.int64() if name in _NUMBERS else pa.string()) for name in COLUMNS]
        self._schema = pa.schema(fields, metadata={"origin": origin})
        self._writer = pq.ParquetWriter(stream, self._schema, compression="zstd")
        self._rows: list[list[Any]] = []

    def add(self, entry: Entry, leaf: bytes, digest: bytes) -> None:
        """Keep one entry until its row group is full."""
        self._rows.append(row(entry, digest))
        if len(self._rows) == _GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = zip(*self._rows, strict=True)
        arrays = [self._pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()


Table = NdjsonLines | FhirLines | CsvTable | ParquetTable
TABLES: Final[dict[str, Callable[[IO[bytes], str], Table]]] = {
    "ndjson": NdjsonLines,
    "csv": CsvTable,
    "parquet": ParquetTable,
    "fhir": FhirLines,
}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _safe(cell: object) -> object:
    return "'" + cell if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
