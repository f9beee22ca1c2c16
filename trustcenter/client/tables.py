"""Replace one column of a CSV (or Parquet) file by pseudonyms, streaming, several batches under way at a time.

The output appears only when every row is served (or set aside on request). A failed job leaves nothing; one that
was interrupted after a checkpoint can go on where it was (`resume.py`). There is never anything to undo: asking
again for the same originals gives the same pseudonyms.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trustcenter.messages.api import ItemError

from .api import TrustCenter
from .csvstream import CsvInput, CsvOutput, open_input
from .errors import LocalFileError
from .files import replacing, require_writable
from .flow import Progress, in_order, same_version
from .parquet import is_parquet, parquet_column
from .resume import Digests, Resumable, State, check_input

Ask = Callable[[Sequence[str]], Awaitable[tuple[list[str | None], list[ItemError]]]]

_ROWS_PER_BATCH: Final = 50_000  # rows held per batch, however often their values repeat


@dataclass(frozen=True)
class ColumnJob:
    """Which column of which file goes where.

    Attributes:
        source, target: input and output; a source that ends in .parquet is Parquet, and so is its output.
        column: its name.
        into: name of a new column for the pseudonyms; None replaces `column` in place.
        delimiter: separator; None sniffs it.
        force: overwrite outputs.
        failed: a file that takes the rows that cannot be served; None makes any such row an error.
        encoding: charset of input and output, one of `csvstream.ENCODINGS`.
        resume: go on with an interrupted job of the same options, if there is one.
    """

    source: Path
    target: Path
    column: str
    into: str | None = None
    delimiter: str | None = None
    force: bool = False
    failed: Path | None = None
    encoding: str = "utf-8"
    resume: bool = False


@dataclass(frozen=True)
class FailedRow:
    """A row that was not served: its number, the code why, and where in the row, if it has parts."""

    row: int
    code: str
    hint: str
    where: str = ""


@dataclass
class ColumnResult:
    """What a job did. `created` counts pseudonyms that did not exist before.

    A resumed job counts from the beginning of the file; `resumed` is the row after which it went on, or 0.
    `created` may then count less than there were: what was created for rows after the checkpoint exists already.
    """

    rows: int = 0
    failed: list[FailedRow] = field(default_factory=list)
    created: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    resumed: int = 0

    @property
    def key_version(self) -> int:
        """Key version of the pseudonyms in the output; 0 if there are none."""
        return max(self.versions.values(), default=0)

    def take(self, state: State) -> None:
        """Go on counting where an interrupted job was."""
        self.rows, self.created, self.resumed = state.rows, state.created, state.row
        self.versions = dict(state.versions)
        self.failed = [FailedRow(*entry) for entry in state.failed]

    def state(self, position: int, row: int, digest: str) -> State:
        """The counts as part of a checkpoint."""
        return State(
            job="",
            position=position,
            read=digest,
            written=[],
            digests=[],
            row=row,
            rows=self.rows,
            created=self.created,
            versions=self.versions,
            failed=[(f.row, f.code, f.hint, f.where) for f in self.failed],
        )


class RowsFailedError(LocalFileError):
    """Some rows could not be served; `result.failed` names them. No output was written."""

    code = "rows_failed"

    def __init__(self, result: ColumnResult) -> None:
        super().__init__(
            f"{len(result.failed)} of {result.rows} rows could not be served; nothing was written",
            hint="correct them, or set them aside with --skip-failed FILE",
        )
        self.result = result


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
        answer = await center.pseudonymize(domain, values)
        same_version(result.versions, domain, answer.key_version)
        result.created += answer.created
        return answer.pseudonyms, answer.errors

    return await _column(center, domain, "pseudonymize", job, ask, result, progress)


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
        return await parquet_column(center, domain, job, ask, result, progress)
    outputs = [job.target, *([job.failed] if job.failed else [])]
    for target in outputs:
        require_writable(target, sources=(job.source,), force=job.force)
    if job.failed is not None and job.failed.resolve() == job.target.resolve():
        raise LocalFileError("output and --skip-failed are the same file", code="same_file")
    with ExitStack() as stack:
        stream, size = open_input(job.source)
        stack.enter_context(stream)
        digests = Digests(center.connection.token)
        digest = digests.stream()
        table = CsvInput(stream, size, job.delimiter, job.encoding, digest)
        at = table.column(job.column)
        if job.into is not None and job.into in table.header:
            raise LocalFileError("there is a column of the new name already", code="bad_column", where="header")
        options = {
            "operation": operation,
            "url": center.connection.url,
            "domain": (await center.domain(domain)).uuid,
            "column": job.column,
            "into": job.into,
            "delimiter": job.delimiter,
            "encoding": job.encoding,
        }
        every = center.settings.checkpoint_every
        resumable = Resumable(digests, options, outputs, force=job.force, resume=job.resume, every=every)
        stack.enter_context(resumable)
        state = resumable.state
        if state is not None:
            table.skip(state.position, state.row)
            check_input(state, digest)
            result.take(state)
        fresh = state is None
        out = CsvOutput(resumable.outputs[0], table, _header(table.header, at, job.into) if fresh else None)
        aside: CsvOutput | None = None
        if job.failed is not None:
            aside = CsvOutput(resumable.outputs[1], table, table.header if fresh else None)

        async def serve(batch: _Batch) -> None:
            if batch.index:
                batch.pseudonyms, errors = await ask(list(batch.index))
                batch.errors = {error.index: error for error in errors}

        batches = _batches(table, at, center.settings.batch, digest)
        async for batch in in_order(batches, serve, center.settings.concurrency):
            _write(batch, at, job.into, out, aside, result)
            if progress is not None:
                progress(batch.read, size)
            if resumable.due():
                resumable.save(result.state(batch.read, batch.row, batch.digest))
        if result.failed and job.failed is None:
            raise RowsFailedError(result)
    return result


@dataclass
class _Batch:
    """Consecutive rows and the distinct values of their column, in order of appearance."""

    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)
    pseudonyms: list[str | None] = field(default_factory=list)
    errors: dict[int, ItemError] = field(default_factory=dict)
    read: int = 0
    row: int = 0
    digest: str = ""

    def close(self, table: CsvInput, digest: hmac.HMAC) -> _Batch:
        self.read, self.row, self.digest = table.read, table.row, digest.hexdigest()
        return self


def _batches(table: CsvInput, at: int, size: int, digest: hmac.HMAC) -> Iterator[_Batch]:
    batch = _Batch()
    for number, fields in table.rows():
        batch.rows.append((number, fields))
        value = fields[at]
        if value:  # an empty field is answered here, without asking
            batch.index.setdefault(value, len(batch.index))
        if len(batch.index) >= size or len(batch.rows) >= _ROWS_PER_BATCH:
            yield batch.close(table, digest)
            batch = _Batch()
    if batch.rows:
        yield batch.close(table, digest)


def _write(
    batch: _Batch, at: int, into: str | None, out: CsvOutput, aside: CsvOutput | None, result: ColumnResult
) -> None:
    for number, fields in batch.rows:
        result.rows += 1
        index = batch.index.get(fields[at], -1)
        pseudonym = batch.pseudonyms[index] if index >= 0 else None
        if pseudonym is None:
            error = batch.errors.get(index)
            code, hint = (error.code, error.hint) if error else ("empty_value", "the field is empty")
            result.failed.append(FailedRow(number, code, hint))
            if aside is not None:
                aside.row(fields)
        elif into is None:
            out.row([*fields[:at], pseudonym, *fields[at + 1 :]])
        else:
            out.row([*fields, pseudonym])


def _header(header: list[str], at: int, into: str | None) -> list[str]:
    return header if into is None else [*header, into]
