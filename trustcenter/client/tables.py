"""Replace one column of a CSV (or Parquet) file by pseudonyms, streaming, several batches under way at a time.

The output appears only when every row is served (or set aside on request). There is never anything to undo: asking
again for the same originals gives the same pseudonyms.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from trustcenter.client.jobs.columnjob import Ask, Column, ColumnJob
from trustcenter.client.jobs.outcome import ColumnResult, FailedRow, RowsFailedError
from trustcenter.client.jobs.parquet import is_parquet
from trustcenter.client.jobs.parquetjob import parquet_column
from trustcenter.client.jobs.rowjob import run
from trustcenter.messages.api import ItemError

from .api import TrustCenter
from .files import replacing, require_writable
from .flow import Progress, same_version

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
        return await parquet_column(center, domain, operation, job, ask, result, progress)
    await run(center, domain, job.files, Column(operation, job, ask), result, progress)
    return result
