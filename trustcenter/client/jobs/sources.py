"""Files whose pseudonyms are to become originals: a column of CSV or Parquet, or the places of FHIR resources.

Each gives its pseudonyms one after the other, and writes itself with originals in their places, in two readings:
nothing but the distinct pseudonyms is held.
"""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from trustcenter.client.errors import LocalFileError

from .csvrecords import Records, RecordWriter, Row
from .csvstream import open_input
from .parquet import ParquetColumn, is_parquet

if TYPE_CHECKING:
    from trustcenter.client.api import TrustCenter
    from trustcenter.client.fhir.model import FhirRules, Transformed

    from .rowjob import Refused

_ROWS: Final = 10_000  # read at a time


@dataclass(frozen=True)
class Selection:
    """Which pseudonyms of a file.

    Attributes:
        source: the file.
        column: of a table; None means FHIR resources, one per line.
        into: name of a new column for what is written; None replaces `column`.
        delimiter, encoding: as in `rowjob.Files`.
        domains: for FHIR, domains of resource types that are in another one.
        pseudonym_system: for FHIR, as it was given when the file was made.
    """

    source: Path
    column: str | None
    into: str | None = None
    delimiter: str | None = None
    encoding: str = "auto"
    domains: Mapping[str, str] = field(default_factory=dict)
    pseudonym_system: str | None = None

    async def open(self, center: TrustCenter, domain: str) -> Source:
        """The file, with the pseudonyms of a domain.

        Raises:
            LocalFileError: no such file or column. TrustCenterError: no such domain.
        """
        if self.column is None:
            from trustcenter.client.fhir.job import FhirJob, domain_rules

            job = FhirJob(self.source, self.source, domain, dict(self.domains), frozenset(), self.pseudonym_system)
            rules, _ = await domain_rules(center, job)
            return FhirSource(self.source, rules)
        await center.domain(domain)
        if is_parquet(self.source):
            return ParquetSource(self.source, self.column, self.into)
        return CsvSource(self.source, self.column, self.into, self.delimiter, self.encoding)


class Source(ABC):
    """A file with pseudonyms. `unit` is what it counts."""

    unit = "row"

    @abstractmethod
    def values(self) -> Iterator[tuple[int, Sequence[str | None]]]:
        """Number and pseudonyms of each row; None for a field that is empty or cannot be read."""

    @abstractmethod
    def write(self, target: IO[bytes], originals: Mapping[str, str]) -> int:
        """Write the file with originals; the number of rows.

        Raises:
            LocalFileError: a pseudonym has none, because the file was changed meanwhile.
        """


class CsvSource(Source):
    """A column of a CSV file."""

    def __init__(self, path: Path, column: str, into: str | None, delimiter: str | None, encoding: str) -> None:
        self._path, self._column, self._into = path, column, into
        self._delimiter, self._encoding = delimiter, encoding
        with self._open() as (_, records):
            if into is not None and into in records.header:
                raise LocalFileError("there is a column of the new name already", code="bad_column", where="header")

    def values(self) -> Iterator[tuple[int, Sequence[str | None]]]:
        """One pseudonym of each row."""
        with self._open() as (_, records):
            for number, row in _rows(records):
                yield number, (records.dialect.text(row[1]) or None if row[3] else None,)

    def write(self, target: IO[bytes], originals: Mapping[str, str]) -> int:
        """All other columns stay as they are."""
        count = 0
        with self._open() as (_, records):
            out = RecordWriter(target, records.dialect)
            out.header(records, [] if self._into is None else [self._into])
            delimiter = records.dialect.delimiter.encode()
            for number, row in _rows(records):
                original = originals.get(records.dialect.text(row[1]) or "") if row[3] else None
                if original is None:
                    raise _changed(f"row {number}")
                new = records.dialect.field(original, quoted=row[1][:1] == b'"')
                cells = (row[0], new, row[2]) if self._into is None else (*row[:3], delimiter, new)
                out.raw(b"".join((*cells, row[3])))
                count += 1
        return count

    def _open(self) -> _Opened:
        return _Opened(self._path, self._column, self._delimiter, self._encoding)


class _Opened:
    def __init__(self, path: Path, column: str, delimiter: str | None, encoding: str) -> None:
        self._stream, size = open_input(path)
        try:
            self._records = Records(self._stream, size, delimiter, encoding, hmac.new(b"-", b"", "sha256"))
            self._records.choose([self._records.column(column)])
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> tuple[IO[bytes], Records]:
        return self._stream, self._records

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def _rows(records: Records) -> Iterator[tuple[int, Row]]:
    for chunk in records.chunks(_ROWS):
        for number, row in enumerate(chunk.rows, chunk.first):
            if row[4] not in (b"\n", b"\r\n"):
                yield number, row


class ParquetSource(Source):
    """A column of a Parquet file."""

    def __init__(self, path: Path, column: str, into: str | None) -> None:
        self._arguments = (path, column, into)
        with ParquetColumn(*self._arguments):
            pass

    def values(self) -> Iterator[tuple[int, Sequence[str | None]]]:
        """One pseudonym of each row."""
        with ParquetColumn(*self._arguments) as table:
            number = 0
            for values in table.values(_ROWS):
                for number, value in enumerate(values, number + 1):  # noqa: B020 - counts on
                    yield number, (value or None,)

    def write(self, target: IO[bytes], originals: Mapping[str, str]) -> int:
        """All other columns stay as they are."""

        def answer(values: list[str | None]) -> Sequence[str | Refused]:
            if any(value not in originals for value in values):
                raise _changed("")
            return [originals[value or ""] for value in values]

        with ParquetColumn(*self._arguments) as table:
            table.rewrite(target, None, answer)
            return table.rows


class FhirSource(Source):
    """Resources that were pseudonymised, one per line; places of other domains stay as they are."""

    unit = "line"

    def __init__(self, path: Path, rules: FhirRules) -> None:
        self._path, self._rules = path, rules

    def values(self) -> Iterator[tuple[int, Sequence[str | None]]]:
        """Every pseudonym of the domain in each resource."""
        for number, made in self._resources():
            yield number, [place.original for place in made.places if place.domain == self._rules.domain]

    def write(self, target: IO[bytes], originals: Mapping[str, str]) -> int:
        """An identifier becomes its value alone: it is no pseudonym any more, and not of the domain's system."""
        from trustcenter.client.fhir.lines import ENCODER

        count = 0
        for number, made in self._resources():
            for place in made.places:
                if place.domain != self._rules.domain:
                    continue
                original = originals.get(place.original)
                if original is None:
                    raise _changed(f"line {number}")
                place.into[place.key] = place.prefix + original
                if place.key == "value":
                    place.into.pop("type", None)
                    place.into.pop("system", None)
            target.write(ENCODER.encode(made.resource) + b"\n")
            count += 1
        return count

    def _resources(self) -> Iterator[tuple[int, Transformed]]:
        from trustcenter.client.fhir.lines import Lines, transformed
        from trustcenter.client.fhir.model import FhirRefusedError
        from trustcenter.client.fhir.retrace import retrace

        stream, _ = open_input(self._path)
        with stream:
            lines = Lines(stream, hmac.new(b"-", b"", "sha256"))
            for line in lines:
                made = transformed(line, self._rules, retrace)
                if isinstance(made, FhirRefusedError):
                    where = f"line {lines.row}" + (f", {made.where}" if made.where else "")
                    raise LocalFileError(made.message, code=made.code, hint=made.hint, where=where)
                yield lines.row, made


def _changed(where: str) -> LocalFileError:
    return LocalFileError("the input changed while it was read", code="input_changed", where=where)
