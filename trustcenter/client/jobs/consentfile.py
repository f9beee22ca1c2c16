"""Consent documents in files: CSV, a row per person and policy, or FHIR Consent as NDJSON.

Files are read in a stream. Rows that cannot be taken are named by number; the others are taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from trustcenter.client.api import TrustCenter
from trustcenter.client.errors import LocalFileError
from trustcenter.client.parts.consent import from_fhir
from trustcenter.errors import CommandLineError
from trustcenter.messages.api import ConsentItem, ConsentProvision, ItemError
from trustcenter.messages.consent import ConsentItemError

from .csvstream import CsvInput, open_input

Progress = Callable[[int, int], None]  # bytes of the input done, bytes in all

_BATCH_BYTES: Final = 8 * 2**20  # of the input, per request
_LINE_BYTES: Final = 16 * 2**20
_PERMIT: Final = {"permit": True, "yes": True, "true": True, "1": True, "ja": True}
_DENY: Final = {"deny": False, "no": False, "false": False, "0": False, "nein": False}


@dataclass(frozen=True)
class Whose:
    """Whose consents: of a domain, by original; or of a study, by the record number that the site key gives."""

    domain: str | None = None
    study: str | None = None
    site_key: bytes | None = None

    async def send(self, center: TrustCenter, items: Sequence[ConsentItem]) -> tuple[list[ItemError], Counter[str]]:
        """Send items; errors, and counts of states and effects."""
        if self.study is not None:
            from msgspec.structs import replace

            numbers = self.numbers([item.original for item in items])
            named = [replace(item, original=number) for item, number in zip(items, numbers, strict=True)]
            answer = await center.send_record_consents(self.study, named)
        else:
            answer = await center.send_consents(self.domain or "", items)
        counts: Counter[str] = Counter(state for state in answer.results if state is not None)
        # `withdrawn` of the answer counts persons whose status became that; the state counts all of them.
        counts.update(changed=answer.changed, newly_withdrawn=answer.withdrawn, removed=answer.removed)
        return answer.errors, counts

    def numbers(self, ids: Sequence[str]) -> list[str]:
        """Record numbers of ids. An id that is none gets a number that the centre refuses."""
        from linkage.encode import record_numbers

        assert self.study is not None
        if self.site_key is None:
            raise CommandLineError("records of a study are named with the site key", hint="give --site-key")
        usable = [one or "\0" for one in ids]
        found = [bytes(row).hex() for row in record_numbers(self.site_key, self.study, usable)]
        return [number if one else "" for one, number in zip(ids, found, strict=True)]


@dataclass
class Sent:
    """What a job did: items read, the states of their persons, effects, and rows that were not taken."""

    items: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[int, str, str]] = field(default_factory=list)  # row, code, hint

    def fail(self, row: int, error: ItemError | ConsentItemError) -> None:
        """Name a row that was not taken."""
        self.failed.append((row, error.code, error.hint))


@dataclass(frozen=True)
class Columns:
    """Names of the columns; all but the first two may be missing in the file."""

    original: str
    date: str = "date"
    policy: str = "policy"
    permit: str = "permit"
    first: str = "from"
    last: str = "until"
    document: str = "document"


async def send_csv(
    center: TrustCenter,
    whose: Whose,
    source: Path,
    columns: Columns,
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    progress: Progress | None = None,
) -> Sent:
    """Send a CSV file: a row per person and policy; rows of one document that follow each other are sent as one.

    Raises:
        LocalFileError: no such file or column, or not CSV. TrustCenterError: as `TrustCenter.send_consents`.
    """
    stream, size = open_input(source)
    with stream:
        table = CsvInput(stream, delimiter, encoding)
        return await _send(center, whose, _documents(table, columns), table, size, Sent(), progress)


async def withdraw_csv(
    center: TrustCenter,
    whose: Whose,
    source: Path,
    column: str,
    date: str,
    policies: Sequence[str],
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    progress: Progress | None = None,
) -> Sent:
    """Withdraw everything, or some policies, for every person of a column.

    Raises:
        LocalFileError: no such file or column, or not CSV. TrustCenterError: as `TrustCenter.send_consents`.
    """
    stream, size = open_input(source)
    with stream:
        table = CsvInput(stream, delimiter, encoding)
        at = table.column(column)
        denies = [ConsentProvision(code=code, permit=False) for code in policies]

        def items() -> Iterator[tuple[int, ConsentItem]]:
            for row, fields in table.rows():
                yield row, ConsentItem(original=fields[at].strip(), date=date, policies=denies, withdraw=not denies)

        return await _send(center, whose, items(), table, size, Sent(), progress)


async def send_fhir(
    center: TrustCenter,
    whose: Whose,
    source: Path,
    patient: Literal["identifier", "reference"],
    progress: Progress | None = None,
) -> Sent:
    """Send Consent resources, one per line. Nothing of them leaves the site but what the centre needs.

    Raises:
        LocalFileError: no such file, or a line that is too long. TrustCenterError: as `TrustCenter.send_consents`.
    """
    stream, size = open_input(source)
    with stream:
        lines, done = _Lines(stream.readline), Sent()

        def items() -> Iterator[tuple[int, ConsentItem]]:
            for row, line in lines:
                try:
                    yield row, from_fhir(line, patient)
                except ConsentItemError as error:
                    done.items += 1
                    done.fail(row, error)

        return await _send(center, whose, items(), lines, size, done, progress)


class _Lines:
    """Lines that are not empty, with their numbers."""

    def __init__(self, readline: Callable[[int], bytes]) -> None:
        self._readline = readline
        self.read = 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        row = 0
        while line := self._readline(_LINE_BYTES):
            row += 1
            self.read += len(line)
            if len(line) == _LINE_BYTES and not line.endswith(b"\n"):
                raise LocalFileError("a line is longer than 16 megabytes", code="bad_row", where=f"line {row}")
            if line.strip():
                yield row, line


async def _send(
    center: TrustCenter,
    whose: Whose,
    items: Iterator[tuple[int, ConsentItem]],
    source: CsvInput | _Lines,
    size: int,
    done: Sent,
    progress: Progress | None,
) -> Sent:
    """Send items in batches, bounded in number and in bytes of the input that they come from."""
    rows: list[int] = []
    batch: list[ConsentItem] = []
    begun = 0

    async def send() -> None:
        errors, counts = await whose.send(center, batch)
        for error in errors:
            done.fail(rows[error.index], error)
        done.counts.update(counts)
        done.items += len(batch)
        rows.clear()
        batch.clear()

    for row, item in items:
        rows.append(row)
        batch.append(item)
        if len(batch) >= center.settings.batch or source.read - begun >= _BATCH_BYTES:
            await send()
            begun = source.read
            if progress is not None:
                progress(source.read, size)
    if batch:
        await send()
    done.failed.sort()
    return done


def _documents(table: CsvInput, names: Columns) -> Iterator[tuple[int, ConsentItem]]:
    """Items of a table: rows that follow each other and agree in person, date and document are one."""
    original, date = table.column(names.original), table.column(names.date)
    policy = table.column(names.policy)
    optional = {
        what: table.optional(name)
        for what, name in (("permit", names.permit), ("first", names.first), ("last", names.last))
    }
    document = table.optional(names.document)
    key: tuple[str, str, str] | None = None
    begun = 0
    provisions: list[ConsentProvision] = []

    def item() -> Iterator[tuple[int, ConsentItem]]:
        if key is not None and provisions:
            yield begun, ConsentItem(original=key[0], date=key[1], document=key[2] or None, policies=provisions)

    def cell(fields: list[str], what: str) -> str:
        at = optional[what]
        return "" if at is None else fields[at].strip()

    for row, fields in table.rows():
        found = (
            fields[original].strip(),
            fields[date].strip(),
            "" if document is None else fields[document].strip(),
        )
        word = cell(fields, "permit").casefold()
        permit = True if optional["permit"] is None else {**_PERMIT, **_DENY}.get(word)
        if permit is None:
            # The person's other rows are not sent without it: a deny that cannot be read must not be left out.
            raise LocalFileError(
                "a permission cannot be read", code="bad_permit", hint="permit or deny, yes or no", where=f"row {row}"
            )
        if found != key:
            yield from item()
            key, begun, provisions = found, row, []
        provisions.append(
            ConsentProvision(
                code=fields[policy].strip(),
                permit=permit,
                first=cell(fields, "first") or None,
                last=cell(fields, "last") or None,
            )
        )
    yield from item()
