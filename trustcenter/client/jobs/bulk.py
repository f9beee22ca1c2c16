"""Whole files of other operations: import, delete, anonymise, validate, more pseudonyms per original.

What has effects that cannot be undone writes what became of every row, and can always be gone on with: also after an
error that would end another job, because the rows before it are done.
"""

from __future__ import annotations

from typing import Final

from trustcenter.client.api import TrustCenter
from trustcenter.client.flow import Progress

from .bulkwork import Additional, Import, Named, Pairs, Removal, Validate, Verb
from .outcome import ColumnResult
from .rowjob import Files, Work, run

__all__ = ["EXPORTS", "Named", "Pairs", "Verb", "additional_file", "import_file", "remove_file", "validate_file"]

# How the exports name their columns; any other names can be said.
EXPORTS: Final = {
    "gpas": Pairs("original", "pseudonym"),
    "mainzelliste": Pairs("extid", "pid"),
    "vfps": Pairs("originalValue", "pseudonymValue"),
}


async def import_file(
    center: TrustCenter,
    domain: str,
    files: Files,
    pairs: Pairs,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ColumnResult:
    """Take over the pairs of a file; the output lists row numbers and outcomes: imported, present, or a code.

    Args:
        center: as the site.
        domain: where the pairs go.
        files: an export of another system, the listing, and where refused rows go.
        pairs: its columns.
        dry_run: nothing is imported; outcomes are new, present, known (in a computed domain), or a code.
        progress: called with bytes read and in all.

    Raises:
        LocalFileError: input or output. TrustCenterError: no such domain, and as every call.
    """
    return await _run(center, domain, files, Import(center, domain, pairs, dry=dry_run), progress)


async def remove_file(
    center: TrustCenter,
    domain: str,
    files: Files,
    verb: Verb,
    column: str,
    named: Named,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ColumnResult:
    """Delete or anonymise what a column names; the output lists row numbers and outcomes.

    A row whose answer was lost by an interruption is told as unknown when the job goes on: it was removed before.

    Raises:
        PolicyError: the domain does not allow deletion. LocalFileError, TrustCenterError: as `import_file`.
    """
    return await _run(center, domain, files, Removal(center, domain, verb, column, named, dry=dry_run), progress)


async def validate_file(
    center: TrustCenter, domain: str, files: Files, column: str, into: str, progress: Progress | None = None
) -> ColumnResult:
    """Add a column that says of each pseudonym: ok, wrong_check_characters, or unknown_pseudonym."""
    return await _run(center, domain, files, Validate(center, domain, column, into), progress)


async def additional_file(
    center: TrustCenter,
    domain: str,
    files: Files,
    column: str,
    into: str,
    count: int = 1,
    progress: Progress | None = None,
) -> ColumnResult:
    """Add columns with further pseudonyms of each original. None is made twice by a job that is resumed.

    Raises:
        PolicyError: the domain has one pseudonym per original. LocalFileError, TrustCenterError: as `import_file`.
    """
    result = ColumnResult()
    await run(center, domain, files, Additional(center, domain, column, into, count, result), result, progress)
    return result


async def _run(center: TrustCenter, domain: str, files: Files, work: Work, progress: Progress | None) -> ColumnResult:
    result = ColumnResult()
    await run(center, domain, files, work, result, progress)
    return result
