"""A site's results as a file: its own ids with study pseudonym, successor and date shift, in four formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from keys.hybrid import RecipientKey
from trustcenter.client.api import TrustCenter
from trustcenter.client.files import replacing
from trustcenter.client.jobs.csvstream import write_csv
from trustcenter.client.jobs.parquet import require_pyarrow
from trustcenter.messages.api import (
    Duplicate,
    DuplicateRequest,
    ResultLine,
    SiteReplied,
    SiteReplies,
    SiteReply,
)
from trustcenter.messages.words import ResultFormat, SiteAnswer

from . import sealed_results

_COLUMNS: Final = ("pseudonym", "successor", "date_shift")
_DUPLICATES_AT_ONCE: Final = 1_000
Row = tuple[str, ResultLine]


async def fetch(
    center: TrustCenter, study: str, ids: Sequence[str], site_key: bytes, sealed_to: RecipientKey | None = None
) -> list[Row]:
    """(id, result) of every id that is registered in the study.

    Args:
        center: as the site.
        study: name of the study.
        ids: of the site's records.
        site_key: 32 bytes.
        sealed_to: with it the results come sealed to the site's registered key, of which this is the private half.

    Raises:
        RemoteError: no such study, or the site does not take part.
        SealError: what came is not sealed to that key.
    """
    from linkage.encode import record_numbers

    given = center.results(study) if sealed_to is None else sealed_results.lines(center, study, sealed_to)
    held = {line.record_number: line async for line in given}
    numbers = [bytes(row).hex() for row in record_numbers(site_key, study, ids)]
    return [(one, held[number]) for one, number in zip(ids, numbers, strict=True) if number in held]


async def declare(center: TrustCenter, study: str, pairs: Sequence[tuple[str, str]], site_key: bytes) -> int:
    """Tell the centre own duplicates, (id, id that stands for it); returns how many were new.

    Raises:
        RemoteError: an id that is not registered, a circle, or another successor than before.
    """
    from linkage.encode import record_numbers

    numbers = [bytes(row).hex() for row in record_numbers(site_key, study, [one for pair in pairs for one in pair])]
    wanted = [
        Duplicate(record_number=number, successor=stays)
        for number, stays in sorted(zip(numbers[::2], numbers[1::2], strict=True))
    ]
    new = 0
    for start in range(0, len(wanted), _DUPLICATES_AT_ONCE):
        part = DuplicateRequest(duplicates=wanted[start : start + _DUPLICATES_AT_ONCE])
        new += (await center.declare_duplicates(study, part)).superseded
    return new


async def questions(center: TrustCenter, study: str, ids: Sequence[str], site_key: bytes) -> tuple[list[str], int]:
    """Ids that the site is asked to look at, in the order of the source, and how many questions there are.

    Raises:
        RemoteError: no such study, or the site does not take part.
    """
    from linkage.encode import record_numbers

    asked = set(await center.questions(study))
    numbers = [bytes(row).hex() for row in record_numbers(site_key, study, ids)]
    return [one for one, number in zip(ids, numbers, strict=True) if number in asked], len(asked)


async def reply(
    center: TrustCenter, study: str, said: Sequence[tuple[str, SiteAnswer]], site_key: bytes
) -> SiteReplied:
    """Hand in (id, answer) of own records.

    Raises:
        RemoteError: a record that was not asked about, or was answered otherwise.
    """
    from linkage.encode import record_numbers

    numbers = [bytes(row).hex() for row in record_numbers(site_key, study, [one for one, _ in said])]
    replies = [SiteReply(record_number=n, answer=answer) for n, (_, answer) in zip(numbers, said, strict=True)]
    return await center.reply(study, SiteReplies(replies=sorted(replies, key=lambda r: r.record_number)))


def write(
    target: Path, kind: ResultFormat, id_column: str, rows: Sequence[Row], study: str, *, force: bool = False
) -> None:
    """Write results; the file has mode 0600 and appears only when it is complete.

    Raises:
        LocalFileError: it exists (without `force`), or pyarrow is missing for Parquet.
    """
    _WRITERS[kind](target, id_column, rows, study, force)


def _csv(target: Path, id_column: str, rows: Sequence[Row], study: str, force: bool) -> None:
    # Columns that nobody has are left out: without them the file is what a pseudonymisation gives.
    columns = [name for name in _COLUMNS if name == "pseudonym" or any(getattr(r, name) is not None for _, r in rows)]
    lines = ((one, *(_text(getattr(result, name)) for name in columns)) for one, result in rows)
    write_csv(target, (id_column, *columns), lines, force=force)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _ndjson(target: Path, id_column: str, rows: Sequence[Row], study: str, force: bool) -> None:
    with replacing(target, force=force) as stream:
        for one, result in rows:
            line = {id_column: one, **{name: getattr(result, name) for name in _COLUMNS}}
            stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def _parquet(target: Path, id_column: str, rows: Sequence[Row], study: str, force: bool) -> None:
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [pa.field(id_column, pa.string()), *(pa.field(name, pa.string()) for name in _COLUMNS[:2])]
    schema = pa.schema([*fields, pa.field("date_shift", pa.int32())])
    arrays = [
        [one for one, _ in rows],
        *([getattr(result, name) for _, result in rows] for name in _COLUMNS),
    ]
    table = pa.table(dict(zip(schema.names, arrays, strict=True)), schema=schema)
    with replacing(target, force=force) as stream:
        pq.write_table(table, stream)


def _fhir(target: Path, id_column: str, rows: Sequence[Row], study: str, force: bool) -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [*_entries(rows, study)]}
    with replacing(target, force=force) as stream:
        stream.write(json.dumps(bundle, ensure_ascii=False, indent=1).encode() + b"\n")


def _entries(rows: Sequence[Row], study: str) -> Iterable[dict[str, Any]]:
    """One Parameters resource per record, with the words of the pseudonymisation interface of the MII."""
    for one, result in rows:
        parameters: list[dict[str, Any]] = [
            {"name": "context", "valueIdentifier": {"value": study}},
            {"name": "original", "valueIdentifier": {"value": one}},
            {"name": "pseudonym", "valueIdentifier": {"value": result.pseudonym}},
        ]
        if result.successor is not None:
            parameters.append({"name": "successor", "valueIdentifier": {"value": result.successor}})
        if result.date_shift is not None:
            parameters.append({"name": "date-shift-days", "valueInteger": result.date_shift})
        yield {"resource": {"resourceType": "Parameters", "parameter": parameters}}


_WRITERS: Final[dict[str, Callable[[Path, str, Sequence[Row], str, bool], None]]] = {
    "csv": _csv,
    "ndjson": _ndjson,
    "parquet": _parquet,
    "fhir": _fhir,
}
