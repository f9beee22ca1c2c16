"""The work on one column: which of which file goes where, and how a batch of its rows is put together again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trustcenter.client.errors import LocalFileError
from trustcenter.messages.api import ItemError

from .csvrecords import Records
from .dates import Coarsening
from .rowjob import EMPTY, MOST_CHARS, TOO_LONG, UNTOLD, Batch, Files, Made, Refused, Work, undecodable, unserved

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


class Column(Work):
    """One column replaced, or another added; columns of dates made coarser on the way."""

    def __init__(self, operation: str, job: ColumnJob, ask: Ask) -> None:
        """`operation` is what --resume holds an interrupted job against; `ask` replaces a batch of values."""
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
