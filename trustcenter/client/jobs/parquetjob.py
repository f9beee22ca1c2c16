"""Pseudonyms for a column of a Parquet file: answers first, then the file.

A Parquet file cannot be gone on with in the middle. So the column alone is read and asked for; its answers go, line
by line, into the file that is kept for --resume. When all are there, the output is written in one go, without the
service. The answers hold pseudonyms and codes of rows that failed, no original.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Final

from trustcenter.client.api import TrustCenter
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing
from trustcenter.client.flow import Progress, in_order

from .columnjob import Ask, ColumnJob
from .outcome import ColumnResult, RowsFailedError
from .parquet import ParquetColumn
from .resume import Digests, Resumable, check_input
from .rowjob import EMPTY, MOST_CHARS, REPORT_HEADER, TOO_LONG, Refused

_SERVED: Final = b"+"
_FAILED: Final = b"-"


@dataclass
class _Batch:
    values: list[str | None]
    row: int  # number of its last row
    digest: str
    answers: list[str | Refused]


async def parquet_column(
    center: TrustCenter,
    domain: str,
    operation: str,
    job: ColumnJob,
    ask: Ask,
    result: ColumnResult,
    progress: Progress | None,
) -> ColumnResult:
    """What `tables` does for CSV; called from there.

    Raises:
        LocalFileError: pyarrow is missing, an option does not go with Parquet, input or output.
    """
    if job.delimiter is not None or job.encoding != "auto" or job.coarsen:
        raise LocalFileError(
            "--delimiter, --encoding and --coarsen are for text files, not for Parquet", code="bad_option"
        )
    job.files.check()
    with ExitStack() as stack:
        table = stack.enter_context(ParquetColumn(job.source, job.column, job.into))
        digests = Digests(center.connection.token)
        options = {
            "operation": f"parquet/{operation}",
            "url": center.connection.url,
            "domain": (await center.domain(domain)).uuid,
            "column": job.column,
            "into": job.into,
            "rows": table.rows,
        }
        every = center.settings.checkpoint_every
        spool = Resumable(digests, options, [job.target], force=job.force, resume=job.resume, every=every, spool=True)
        stack.enter_context(spool)
        digest = digests.stream()
        batches = _batches(table, center.settings.batch, digest)
        if spool.state is not None:
            for batch in batches:
                if batch.row >= spool.state.row:
                    break
            check_input(spool.state, digest)
            result.take(spool.state)

        async def serve(batch: _Batch) -> None:
            batch.answers = await _answers(batch.values, ask)

        async for batch in in_order(batches, serve, center.settings.concurrency):
            first = batch.row - len(batch.values) + 1
            for number, answer in enumerate(batch.answers, first):
                result.rows += 1
                if isinstance(answer, Refused):
                    result.fail(number, answer.code, answer.hint)
                    spool.outputs[0].write(_FAILED + answer.code.encode() + b"\n")
                else:
                    spool.outputs[0].write(_SERVED + answer.encode() + b"\n")
            if progress is not None:
                progress(batch.row, table.rows)
            if spool.due():
                spool.save(result.state(0, batch.row, batch.digest))
        if result.failures and job.failed is None:
            raise RowsFailedError(result)
        spool.outputs[0].sync()
        _write(job, table, spool, digests.stream(), digest.hexdigest())
    return result


def _batches(table: ParquetColumn, size: int, digest: hmac.HMAC) -> Iterator[_Batch]:
    row = 0
    for values in table.values(size):
        row += len(values)
        _feed(digest, values)
        yield _Batch(values, row, digest.hexdigest(), [])


def _feed(digest: hmac.HMAC, values: list[str | None]) -> None:
    # With their lengths, so that it does not matter how the values are cut into batches.
    digest.update("".join(["-" if value is None else f"{len(value)}:{value}" for value in values]).encode())


async def _answers(values: list[str | None], ask: Ask) -> list[str | Refused]:
    distinct = list(dict.fromkeys([value for value in values if value and len(value) <= MOST_CHARS]))
    known: dict[str, str | Refused] = {}
    if distinct:
        pseudonyms, errors = await ask(distinct)
        told = {error.index: error for error in errors}
        for index, (value, pseudonym) in enumerate(zip(distinct, pseudonyms, strict=True)):
            error = told.get(index)
            known[value] = pseudonym or Refused(error.code if error else "item_refused", error.hint if error else "")
    return [known.get(value, TOO_LONG) if value else EMPTY for value in values]


def _write(job: ColumnJob, table: ParquetColumn, spool: Resumable, digest: hmac.HMAC, expected: str) -> None:
    with ExitStack() as stack:
        answers = stack.enter_context(spool.outputs[0].partial.open("rb"))
        target = stack.enter_context(replacing(job.target, force=job.force))
        aside = stack.enter_context(replacing(job.failed, force=job.force)) if job.failed is not None else None
        report: IO[bytes] | None = None
        if job.report is not None:
            report = stack.enter_context(replacing(job.report, force=job.force))
            report.write(REPORT_HEADER)
        row = 0

        def answer(values: list[str | None]) -> list[str | Refused]:
            nonlocal row
            _feed(digest, values)
            found: list[str | Refused] = []
            for row, line in enumerate((answers.readline() for _ in values), row + 1):  # noqa: B020 - counts on
                text = line[1:-1].decode()
                found.append(text if line[:1] == _SERVED else Refused(text, ""))
                if report is not None and line[:1] == _FAILED:
                    report.write(b"%d,%b\n" % (row, text.encode()))
            return found

        table.rewrite(target, aside, answer)
        if not hmac.compare_digest(digest.hexdigest(), expected):
            raise LocalFileError("the input changed while it was read", code="input_changed")
