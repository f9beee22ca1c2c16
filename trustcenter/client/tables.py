"""Replace one column of a CSV file by pseudonyms, streaming, several batches under way at a time.

The output appears only when every row is served (or set aside on request). An interrupted or failed job leaves
no half file and nothing to undo: asking again for the same originals gives the same pseudonyms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trustcenter.messages.api import ItemError

from .api import TrustCenter
from .csvstream import CsvInput, CsvOutput, open_input
from .errors import LocalFileError
from .files import replacing, require_writable

Progress = Callable[[int, int], None]  # bytes of the input done, bytes in all
Ask = Callable[[Sequence[str]], Awaitable[tuple[list[str | None], list[ItemError]]]]

_ROWS_PER_BATCH: Final = 50_000  # rows held per batch, however often their values repeat


@dataclass(frozen=True)
class ColumnJob:
    """Which column of which file goes where.

    Attributes:
        source, target: input and output.
        column: its name.
        into: name of a new column for the pseudonyms; None replaces `column` in place.
        delimiter: separator; None sniffs it.
        force: overwrite outputs.
        failed: a file that takes the rows that cannot be served; None makes any such row an error.
    """

    source: Path
    target: Path
    column: str
    into: str | None = None
    delimiter: str | None = None
    force: bool = False
    failed: Path | None = None


@dataclass(frozen=True)
class FailedRow:
    """A row that was not served: its number and the service's code."""

    row: int
    code: str
    hint: str


@dataclass
class ColumnResult:
    """What a job did. `created` counts pseudonyms that did not exist before."""

    rows: int = 0
    failed: list[FailedRow] = field(default_factory=list)
    created: int = 0
    key_version: int = 0


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
        result.created += answer.created
        result.key_version = answer.key_version
        return answer.pseudonyms, answer.errors

    return await _column(center, domain, job, ask, result, progress)


async def translate_column(
    center: TrustCenter, domain: str, job: ColumnJob, progress: Progress | None = None
) -> ColumnResult:
    """Replace pseudonyms of earlier key versions by current ones; raises as `pseudonymize_column`."""
    result = ColumnResult()

    async def ask(values: Sequence[str]) -> tuple[list[str | None], list[ItemError]]:
        answer = await center.translate(domain, values)
        result.key_version = answer.key_version
        return answer.pseudonyms, answer.errors

    return await _column(center, domain, job, ask, result, progress)


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
    job: ColumnJob,
    ask: Ask,
    result: ColumnResult,
    progress: Progress | None,
) -> ColumnResult:
    outputs = [job.target, *([job.failed] if job.failed else [])]
    for target in outputs:
        require_writable(target, sources=(job.source,), force=job.force)
    if job.failed is not None and job.failed.resolve() == job.target.resolve():
        raise LocalFileError("output and --skip-failed are the same file", code="same_file")
    with ExitStack() as stack:
        stream, size = open_input(job.source)
        table = CsvInput(stack.enter_context(stream), size, job.delimiter)
        at = table.column(job.column)
        if job.into is not None and job.into in table.header:
            raise LocalFileError("there is a column of the new name already", code="bad_column", where="header")
        await center.domain(domain)
        out = CsvOutput(
            stack.enter_context(replacing(job.target, force=job.force)),
            table,
            _header(table.header, at, job.into),
        )
        aside: CsvOutput | None = None
        if job.failed is not None:
            aside = CsvOutput(stack.enter_context(replacing(job.failed, force=job.force)), table, table.header)
        async for batch, done in _served(_batches(table, at, center.settings.batch), ask, center.settings.concurrency):
            _write(batch, at, job.into, out, aside, result)
            if progress is not None:
                progress(done, size)
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


def _batches(table: CsvInput, at: int, size: int) -> Iterator[_Batch]:
    batch = _Batch()
    for number, fields in table.rows():
        batch.rows.append((number, fields))
        value = fields[at]
        if value:  # an empty field is answered here, without asking
            batch.index.setdefault(value, len(batch.index))
        if len(batch.index) >= size or len(batch.rows) >= _ROWS_PER_BATCH:
            batch.read = table.read
            yield batch
            batch = _Batch()
    if batch.rows:
        batch.read = table.read
        yield batch


async def _served(batches: Iterator[_Batch], ask: Ask, width: int) -> AsyncIterator[tuple[_Batch, int]]:
    """Batches in their order, with up to `width` requests under way."""

    async def serve(batch: _Batch) -> _Batch:
        if batch.index:
            batch.pseudonyms, errors = await ask(list(batch.index))
            batch.errors = {error.index: error for error in errors}
        return batch

    waiting: deque[asyncio.Task[_Batch]] = deque()
    try:
        for batch in batches:
            waiting.append(asyncio.create_task(serve(batch)))
            if len(waiting) > width:
                done = await waiting.popleft()
                yield done, done.read
        while waiting:
            done = await waiting.popleft()
            yield done, done.read
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


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
