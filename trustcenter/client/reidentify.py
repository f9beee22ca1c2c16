"""Re-identification of files, and the approver's part in it.

The output of a fetch appears only when every row has its original. Nothing is ever filled in: a row without an
original fails the job, and so does an answer that repeats its question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trustcenter.client.jobs.outcome import ColumnResult, RowsFailedError
from trustcenter.client.jobs.sources import Selection, Source
from trustcenter.errors import PolicyError, VerificationError
from trustcenter.messages import reidentification as wire
from trustcenter.messages.api import OriginalsAnswer, Reidentification, ReidentifyRequest

from .api import TrustCenter
from .errors import BadAnswerError, LocalFileError, RemoteError
from .files import replacing, require_writable

CONTEXT = wire.CONTEXT
_MOST: Final = 100_000  # different pseudonyms of a request


class NotInTicketError(PolicyError):
    """Some rows are not in the ticket; `result.failed` names them. No output was written."""

    code = "rows_not_in_ticket"

    def __init__(self, result: ColumnResult) -> None:
        super().__init__(
            f"rows without an original on this ticket: {result.failures:,} of {result.rows:,}; nothing was written",
            hint="fetch with the file that the re-identification was requested with",
        )
        self.result = result


class NotPseudonymsError(RowsFailedError):
    """Some rows hold no live pseudonym of the domain; `result.failed` names them. Nothing was done."""

    def __init__(self, result: ColumnResult) -> None:
        super().__init__(result)
        self.message = f"rows without a live pseudonym: {result.failures:,} of {result.rows:,}; nothing was done"
        self.hint = "correct or remove them"


@dataclass
class Fetched:
    """What a fetch did: rows written, different pseudonyms in them, and what is left of the ticket."""

    rows: int
    originals: int
    fetches_left: int
    state: str


async def request_file(
    center: TrustCenter, domain: str, selection: Selection, reason: str, *, valid_hours: int = 24
) -> Reidentification:
    """Request the originals of the pseudonyms in a file.

    Raises:
        LocalFileError: the input; NotPseudonymsError: rows that are not live pseudonyms, nothing was requested.
        VerificationError: the statement is not about these pseudonyms.
        RemoteError: no such domain, a study's domain, too many.
    """
    source = await selection.open(center, domain)
    values = _distinct(source)
    body = ReidentifyRequest(pseudonyms=values, reason=reason, valid_hours=valid_hours)
    try:
        made = await center.request_reidentification(domain, body)
    except RemoteError as error:
        if error.code == "unknown_pseudonym":
            raise await _name_unknown(center, domain, source, values, error) from None
        raise
    require_statement(made, made.reidentification)
    salt = bytes.fromhex(made.salt or "")
    if f"digest: {wire.digest(salt, values)}" not in made.statement.split("\n"):
        raise _wrong_statement()
    return made


async def _name_unknown(
    center: TrustCenter, domain: str, source: Source, values: list[str], error: RemoteError
) -> Exception:
    """The rows behind a refusal, which names positions among the distinct values only."""
    codes: dict[str | None, tuple[str, str]] = {}
    for start in range(0, len(values), center.settings.batch):
        part = values[start : start + center.settings.batch]
        answer = await center.translate(domain, part)
        codes.update((part[e.index], (e.code, e.hint)) for e in answer.errors)
    failed = _rows_with(source, codes)
    return NotPseudonymsError(failed) if failed.failures else error


def _rows_with(source: Source, codes: Mapping[str | None, tuple[str, str]]) -> ColumnResult:
    """The rows that hold one of some values, in a further reading of the file."""
    result = ColumnResult()
    for number, values in source.values():
        result.rows += 1
        found = next((codes[value] for value in values if value in codes), None)
        if found is not None:
            result.fail(number, *found)
    return result


def _distinct(source: Source) -> list[str]:
    """Distinct pseudonyms of a file, in order.

    Raises:
        NotPseudonymsError: rows without one. LocalFileError: no rows, or too many pseudonyms for any request.
    """
    distinct: dict[str | None, None] = {}
    for _, values in source.values():
        distinct.update(dict.fromkeys(values))
        if len(distinct) > _MOST:
            raise LocalFileError(f"a request is for at most {_MOST} different pseudonyms", code="too_many_pseudonyms")
    if None in distinct:
        raise NotPseudonymsError(_rows_with(source, {None: ("empty_value", "the field is empty, or no field")}))
    if not distinct:
        raise LocalFileError("the input has no pseudonyms", code="empty_file", hint="it needs a row below the header")
    return [value for value in distinct if value is not None]


async def fetch_file(
    center: TrustCenter, ident: str, selection: Selection, target: Path, *, force: bool = False
) -> Fetched:
    """Write a file with originals instead of its pseudonyms, on an approved ticket.

    Raises:
        LocalFileError: input or output. NotInTicketError: rows that the ticket is not for.
        RemoteError: no approved ticket, quota used up.
        BadAnswerError: the service repeats pseudonyms instead of originals.
    """
    require_writable(target, sources=(selection.source,), force=force)
    domain = (await center.reidentification(ident)).domain
    source = await selection.open(center, domain)
    values = _distinct(source)
    answer = await center.originals(domain, ident, values)
    originals = _checked(source, values, answer)
    with replacing(target, force=force) as stream:
        rows = source.write(stream, originals)
    return Fetched(rows, len(originals), answer.fetches_left, answer.state)


def _checked(source: Source, values: list[str], answer: OriginalsAnswer) -> dict[str, str]:
    errors = {error.index: error for error in answer.errors}
    originals: dict[str, str] = {}
    codes: dict[str | None, tuple[str, str]] = {}
    for index, (value, original) in enumerate(zip(values, answer.originals, strict=True)):
        if original is None or index in errors:
            error = errors.get(index)
            codes[value] = (error.code, error.hint) if error else ("not_in_ticket", "")
        elif original == value:
            raise BadAnswerError(
                "the service answered a pseudonym with itself", hint="nothing was written; tell the operator"
            )
        else:
            originals[value] = original
    if codes:
        raise NotInTicketError(_rows_with(source, codes))
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
