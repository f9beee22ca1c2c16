"""Replace one column of a CSV (or Parquet) file by pseudonyms, streaming, several batches under way at a time.

The output appears only when every row is served (or set aside on request). There is never anything to undo: asking
again for the same originals gives the same pseudonyms.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from trustcenter.messages.api import ItemError

from .api import TrustCenter
from .csvrecords import Records
from .dates import Coarsening
from .errors import LocalFileError
from .files import replacing, require_writable
from .flow import Progress, same_version
from .outcome import ColumnResult, FailedRow, RowsFailedError
from .parquet import is_parquet
from .rowjob import EMPTY, MOST_CHARS, TOO_LONG, UNTOLD, Batch, Files, Made, Refused, Work, run, undecodable, unserved

__all__ = [
    "ColumnJob",
    "ColumnResult",
    "ColumnWork",
    "FailedRow",
    "RowsFailedError",
    "crossing",
    "pseudonymize_column",
    "translate_column",
    "translation_map",
]

Ask = Callable[[Sequence[str]], Awaitable[tuple[list[str | None], list[ItemError]]]]

_KNOWN: Final = 100_000  # values remembered, so that one that comes again far below is not asked for again


@dataclass(frozen=True)
class ColumnJob:
    """Which column of which file goes where.

    Attributes:
        source, target: input and output; a source that ends in .parquet is Parquet, and so is its output.
        column: its name.
        into: name of a new column for the pseudonyms; None replaces `column` in place.
        delimiter, force, failed, encoding, resume, report: as in `Files`.
        coarsen: columns of dates and how much is kept of them ("year", "quarter" or "month").
        date_format: of those columns, one of `dates.FORMATS`; None finds it in each.
        existing: make no pseudonym; a row whose original has none fails.
    """

    source: Path
    target: Path
    column: str
    into: str | None = None
    delimiter: str | None = None
    force: bool = False
    failed: Path | None = None
    encoding: str = "auto"
    resume: bool = False
    report: Path | None = None
    coarsen: Mapping[str, str] = field(default_factory=dict)
    date_format: str | None = None
    existing: bool = False

    @property
    def files(self) -> Files:
        """Input and outputs."""
        return Files(
            self.source,
            self.target,
            self.failed,
            self.report,
            self.delimiter,
            self.encoding,
            self.force,
            self.resume,
        )


class ColumnWork(Protocol):
    """What is done with a column: `pseudonymize_column`, `translate_column`, or what `crossing` makes."""

    async def __call__(
        self, center: TrustCenter, domain: str, job: ColumnJob, progress: Progress | None = None
    ) -> ColumnResult:
        """Read `job.source`, write `job.target`."""
        ...


async def pseudonymize_column(
    center: TrustCenter, domain: str, job: ColumnJob, progress: Progress | None = None
) -> ColumnResult:
    """Replace originals by pseudonyms of a domain.

    Raises:
        LocalFileError: input or output; RowsFailedError: rows that the service refused.
        TrustCenterError: as `TrustCenter.domain` (asked first, so a missing domain costs nothing).
    """
    result = ColumnResult()

    async def ask(values: Sequence[str]) -> tuple[list[str | None], list[ItemError]]:
        answer = await (center.get_pseudonyms if job.existing else center.pseudonymize)(domain, values)
        same_version(result.versions, domain, answer.key_version)
        result.created += answer.created
        return answer.pseudonyms, answer.errors

    return await _column(center, domain, "get" if job.existing else "pseudonymize", job, ask, result, progress)


async def translate_column(
    center: TrustCenter, domain: str, job: ColumnJob, progress: Progress | None = None
) -> ColumnResult:
    """Replace pseudonyms of earlier key versions by current ones; raises as `pseudonymize_column`."""
    result = ColumnResult()

    async def ask(values: Sequence[str]) -> tuple[list[str | None], list[ItemError]]:
        answer = await center.translate(domain, values)
        same_version(result.versions, domain, answer.key_version)
        return answer.pseudonyms, answer.errors

    return await _column(center, domain, "translate", job, ask, result, progress)


def crossing(into: str, *, create: bool) -> ColumnWork:
    """The work of replacing pseudonyms of one domain by those of domain `into`; the originals stay at the service.

    Args:
        into: the other domain; asked for first, so that a missing one is named before work starts.
        create: make there what does not exist; otherwise such a row fails (`unknown_original`).

    Raises:
        The work raises as `pseudonymize_column`; a `RemoteError` too, if the service does not lead there.
    """

    async def cross_column(
        center: TrustCenter, domain: str, job: ColumnJob, progress: Progress | None = None
    ) -> ColumnResult:
        other = await center.domain(into)
        result = ColumnResult()

        async def ask(values: Sequence[str]) -> tuple[list[str | None], list[ItemError]]:
            answer = await center.translate(domain, values, into=into, create=create)
            same_version(result.versions, into, answer.key_version)
            result.created += answer.created
            return answer.pseudonyms, answer.errors

        operation = f"translate into {other.uuid}" + (", creating" if create else "")
        return await _column(center, domain, operation, job, ask, result, progress)

    return cross_column


async def translation_map(
    center: TrustCenter,
    domain: str,
    from_version: int,
    target: Path,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write the whole translation map of a domain as CSV (old,new); returns the number of lines.

    Raises:
        LocalFileError: the output. TrustCenterError: no such domain or version, or the stream was cut.
    """
    require_writable(target, force=force)
    total = (await center.domain(domain)).pseudonyms
    count = 0
    with replacing(target, force=force) as stream:
        stream.write(b"old,new\n")
        async for pair in center.translations(domain, from_version):
            stream.write(f"{pair.old},{pair.new}\n".encode())
            count += 1
            if progress is not None and count % 1000 == 0:
                progress(count, max(count, total))
    return count


async def _column(
    center: TrustCenter,
    domain: str,
    operation: str,
    job: ColumnJob,
    ask: Ask,
    result: ColumnResult,
    progress: Progress | None,
) -> ColumnResult:
    if is_parquet(job.source):
        from .parquetjob import parquet_column

        return await parquet_column(center, domain, operation, job, ask, result, progress)
    await run(center, domain, job.files, _Column(operation, job, ask), result, progress)
    return result


class _Column(Work):
    """One column replaced, or another added; columns of dates made coarser on the way."""

    def __init__(self, operation: str, job: ColumnJob, ask: Ask) -> None:
        self._job, self._ask = job, ask
        self.options = {
            "operation": operation,
            "column": job.column,
            "into": job.into,
            "coarsen": dict(job.coarsen),
            "date_format": job.date_format,
        }
        self._known: dict[bytes, Made] = {}

    def open(self, records: Records) -> list[str]:
        """Find the columns."""
        job = self._job
        at = records.column(job.column)
        if job.into is not None and job.into in records.header:
            raise LocalFileError("there is a column of the new name already", code="bad_column", where="header")
        self._records, self._dialect = records, records.dialect
        dates = {records.column(name): Coarsening(name, keep, job.date_format) for name, keep in job.coarsen.items()}
        if at in dates:
            raise LocalFileError("the column of the pseudonyms is no date", code="bad_column", where="header")
        places = sorted({at, *dates})
        self._place = 2 * places.index(at) + 1
        self._dates = [(2 * places.index(column) + 1, coarsening) for column, coarsening in dates.items()]
        records.choose(places)
        for place, coarsening in self._dates:
            coarsening.learn(records.dialect.text(row[place]) or "" for row in records.peek())
        return [] if job.into is None else [job.into]

    async def serve(self, batch: Batch) -> None:
        """Ask for what is not known yet, and put every row together again."""
        place, rows, known = self._place, batch.chunk.rows, self._known
        table: dict[bytes, Made] = dict.fromkeys([row[place] for row in rows])
        fresh = []
        for raw in table:  # taken out now: while this batch waits for its answers, others may forget
            if raw in known:
                table[raw] = known[raw]
            else:
                fresh.append(raw)
        answers = await self._answers(fresh)
        table.update(answers)
        if len(known) > _KNOWN:
            known.clear()
        known.update((raw, made) for raw, made in answers.items() if type(made) is bytes)
        if self._dates or self._job.into is not None:
            batch.made = [self._row(row, table[row[place]]) for row in rows]
        else:
            batch.made = [
                b"%b%b%b%b" % (row[0], new, row[2], row[3])
                if row[3] and type(new := table[row[1]]) is bytes
                else unserved(row, self._records, table[row[1]])
                for row in rows
            ]

    def _row(self, row: tuple[bytes, ...], new: Made) -> Made:
        if not row[-4] or type(new) is not bytes:
            return unserved(row, self._records, new)
        parts = list(row[:-3])
        for place, coarsening in self._dates:
            made = coarsening.field(parts[place], self._dialect)
            if isinstance(made, Refused):
                return made
            parts[place] = made
        if self._job.into is None:
            parts[self._place] = new
        else:
            parts.insert(-1, self._dialect.delimiter.encode() + new)
        return b"".join(parts)

    async def _answers(self, raws: Sequence[bytes]) -> dict[bytes, Made]:
        """For fields as they stand there, the new ones."""
        table: dict[bytes, Made] = {}
        texts: list[str] = []
        kept: list[bytes] = []
        for raw, text in zip(raws, self._dialect.texts(raws), strict=True):
            if not text:
                table[raw] = EMPTY if text == "" else undecodable(self._dialect)
            elif len(text) > MOST_CHARS:
                table[raw] = TOO_LONG
            else:
                kept.append(raw)
                texts.append(text)
        asked = list(dict.fromkeys(texts))
        if not asked:
            return table
        pseudonyms, errors = await self._ask(asked)
        answers = dict(zip(asked, pseudonyms, strict=True))
        if errors or None in answers.values():
            told = {asked[error.index]: Refused(error.code, error.hint) for error in errors}
            for raw, text in zip(kept, texts, strict=True):
                pseudonym = answers[text]
                if pseudonym is None:
                    table[raw] = told.get(text, UNTOLD)
                else:
                    table[raw] = self._dialect.field(pseudonym, quoted=raw[:1] == b'"')
        else:
            new = [answer for text in texts if (answer := answers[text]) is not None]
            table.update(zip(kept, self._dialect.fields(new, kept), strict=True))
        return table
