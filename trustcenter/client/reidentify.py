"""Re-identification from CSV files, and the approver's part in it.

The output of a fetch appears only when every row has its original. Nothing is ever filled in: a row without an
original fails the job, and so does an answer that repeats its question.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from trustcenter.errors import PolicyError, VerificationError
from trustcenter.messages import reidentification as wire
from trustcenter.messages.api import OriginalsAnswer, Reidentification, ReidentifyRequest

from .api import TrustCenter
from .csvstream import CsvInput, CsvOutput, open_input
from .errors import BadAnswerError, LocalFileError, RemoteError
from .files import replacing, require_writable
from .tables import ColumnJob, ColumnResult, FailedRow, RowsFailedError

CONTEXT = wire.CONTEXT


class NotInTicketError(PolicyError):
    """Some rows are not in the ticket; `result.failed` names them. No output was written."""

    code = "rows_not_in_ticket"

    def __init__(self, result: ColumnResult) -> None:
        super().__init__(
            f"{len(result.failed)} of {result.rows} rows have no original on this ticket; nothing was written",
            hint="fetch with the file that the re-identification was requested with",
        )
        self.result = result


class NotPseudonymsError(RowsFailedError):
    """Some rows hold no live pseudonym of the domain; `result.failed` names them. Nothing was done."""

    def __init__(self, result: ColumnResult) -> None:
        super().__init__(result)
        self.message = f"{len(result.failed)} of {result.rows} rows hold no live pseudonym; nothing was done"
        self.hint = "correct or remove them"


@dataclass
class Fetched:
    """What a fetch did: rows written, different pseudonyms in them, and what is left of the ticket."""

    rows: int
    originals: int
    fetches_left: int
    state: str


async def request_column(
    center: TrustCenter,
    domain: str,
    source: Path,
    column: str,
    reason: str,
    *,
    valid_hours: int = 24,
    delimiter: str | None = None,
    encoding: str = "utf-8",
) -> Reidentification:
    """Request the originals of a column of pseudonyms.

    Raises:
        LocalFileError: the input; NotPseudonymsError: rows that are not live pseudonyms, nothing was requested.
        VerificationError: the statement is not about these pseudonyms.
        RemoteError: no such domain, a study's domain, too many.
    """
    values, empty = _distinct(source, column, delimiter, encoding)
    if empty.failed:
        raise NotPseudonymsError(empty)
    body = ReidentifyRequest(pseudonyms=list(values), reason=reason, valid_hours=valid_hours)
    try:
        made = await center.request_reidentification(domain, body)
    except RemoteError as error:
        if error.code == "unknown_pseudonym":
            raise await _name_unknown(center, domain, values, empty.rows, error) from None
        raise
    require_statement(made, made.reidentification)
    salt = bytes.fromhex(made.salt or "")
    if f"digest: {wire.digest(salt, values)}" not in made.statement.split("\n"):
        raise _wrong_statement()
    return made


async def _name_unknown(
    center: TrustCenter, domain: str, values: dict[str, list[int]], rows: int, error: RemoteError
) -> Exception:
    """The rows behind a refusal, which names positions among the distinct values only."""
    answer = await center.translate(domain, list(values))
    places = list(values.values())
    failed = [FailedRow(row, e.code, e.hint) for e in answer.errors for row in places[e.index]]
    return NotPseudonymsError(ColumnResult(rows, sorted(failed, key=lambda f: f.row))) if failed else error


def _distinct(
    source: Path, column: str, delimiter: str | None, encoding: str, into: str | None = None
) -> tuple[dict[str, list[int]], ColumnResult]:
    """Distinct values of a column with their row numbers, and the rows without one."""
    values: dict[str, list[int]] = {}
    result = ColumnResult()
    stream, size = open_input(source)
    with stream:
        table = CsvInput(stream, size, delimiter, encoding)
        at = table.column(column)
        if into is not None and into in table.header:
            raise LocalFileError("there is a column of the new name already", code="bad_column", where="header")
        for number, fields in table.rows():
            result.rows += 1
            if fields[at]:
                values.setdefault(fields[at], []).append(number)
            else:
                result.failed.append(FailedRow(number, "empty_value", "the field is empty"))
    if not values and not result.failed:
        raise LocalFileError("the input has no rows", code="empty_file", hint="it needs a row below the header")
    return values, result


async def fetch_column(center: TrustCenter, ident: str, job: ColumnJob) -> Fetched:
    """Replace a column of pseudonyms by their originals, on an approved ticket.

    Raises:
        LocalFileError: input or output. NotInTicketError: rows that the ticket is not for.
        RemoteError: no approved ticket, quota used up.
        BadAnswerError: the service repeats pseudonyms instead of originals.
    """
    require_writable(job.target, sources=(job.source,), force=job.force)
    values, empty = _distinct(job.source, job.column, job.delimiter, job.encoding, job.into)
    if empty.failed:
        raise NotPseudonymsError(empty)
    domain = (await center.reidentification(ident)).domain
    answer = await center.originals(domain, ident, list(values))
    originals = _checked(values, empty.rows, answer)
    rows = 0
    with ExitStack() as stack:
        stream, size = open_input(job.source)
        table = CsvInput(stack.enter_context(stream), size, job.delimiter, job.encoding)
        at = table.column(job.column)
        header = table.header if job.into is None else [*table.header, job.into]
        out = CsvOutput(stack.enter_context(replacing(job.target, force=job.force)), table, header)
        for number, fields in table.rows():
            original = originals.get(fields[at])
            if original is None:
                raise LocalFileError("the input changed while it was read", code="input_changed", where=f"row {number}")
            out.row([*fields, original] if job.into is not None else [*fields[:at], original, *fields[at + 1 :]])
            rows += 1
    return Fetched(rows, len(originals), answer.fetches_left, answer.state)


def _checked(values: dict[str, list[int]], rows: int, answer: OriginalsAnswer) -> dict[str, str]:
    errors = {error.index: error for error in answer.errors}
    failed, originals = [], {}
    for index, ((value, places), original) in enumerate(zip(values.items(), answer.originals, strict=True)):
        if original is None or index in errors:
            error = errors.get(index)
            code, hint = (error.code, error.hint) if error else ("not_in_ticket", "")
            failed += [FailedRow(row, code, hint) for row in places]
        elif original == value:
            raise BadAnswerError(
                "the service answered a pseudonym with itself", hint="nothing was written; tell the operator"
            )
        else:
            originals[value] = original
    if failed:
        raise NotInTicketError(ColumnResult(rows, sorted(failed, key=lambda f: f.row)))
    return originals


async def approve(center: TrustCenter, ident: str, sign: Callable[[str], str]) -> Reidentification:
    """Sign the statement of a request and hand the signature in.

    Args:
        center: as the approver.
        ident: id of the request.
        sign: shows the statement to the approver and gives the signature, or raises to decline.

    Raises:
        VerificationError: the statement is not for this request.
        RemoteError: a wrong key, or a request that is decided or over.
    """
    found = await center.reidentification(ident)
    require_statement(found, ident)
    return await center.approve_reidentification(ident, sign(found.statement))


def require_statement(found: Reidentification, ident: str) -> None:
    """Refuse to sign a text that says something else than what the approver is shown.

    Raises:
        VerificationError: it does not name this request, its domain, site, reason and number of pseudonyms.
    """
    lines = found.statement.split("\n")
    wanted = {
        f"reidentification: {ident}": 2,
        f"site: {found.site}": 4,
        f"reason: {found.reason}": 5,
        f"pseudonyms: {found.pseudonyms}": 6,
    }
    if (
        len(lines) != 13
        or lines[0] != CONTEXT
        or any(lines[place] != line for line, place in wanted.items())
        or not lines[3].startswith(f"domain: {found.domain} ")
    ):
        raise _wrong_statement()


def _wrong_statement() -> VerificationError:
    return VerificationError(
        "the statement is not for this re-identification",
        code="wrong_statement",
        hint="do not sign it; tell the auditor",
    )
