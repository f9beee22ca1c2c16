"""Whole jobs of a site in a study: register records, upload rows, fetch results.

All that a site must keep is its study secret and its site key; record numbers and refs are derived from them at
each run. Order of the file never shows: whatever is sent is sorted first.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trustcenter.errors import ConflictError, PolicyError
from trustcenter.messages.api import Deduplication, Study
from trustcenter.messages.receipts import Receipt

from .api import TrustCenter

if TYPE_CHECKING:
    from linkage.encode import Encoded, Secrets
    from linkage.schema import Schema
    from linkage.tables import Table

Progress = Callable[[str, int, int], None]  # stage, done, total

SEPARATIONS: Final = ("none", "process", "operator")  # ascending


@dataclass
class Uploaded:
    """What an upload did.

    Attributes:
        records: in the source.
        sent: new or changed records, whose rows were sent; 0 means that the centre is up to date.
        rows: sent.
        receipts: the comparator's, one per upload, their roots verified.
        few_passes: records with fewer than three live passes, which can hardly be linked.
        warnings: what normalisation noticed, as counts.
        without_consent: records that the centre refused, because the study requires a consent that they lack.
    """

    records: int
    sent: int = 0
    rows: int = 0
    receipts: list[Receipt] = field(default_factory=list)
    few_passes: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    without_consent: int = 0


async def register(
    center: TrustCenter, study: str, ids: Sequence[str], site_key: bytes, progress: Progress | None = None
) -> list[str | None]:
    """Study pseudonyms of the site's own records, in the order of `ids`; None for those without required consent.

    Record numbers are derived from the ids and sent sorted. A repeated call gives the same pseudonyms.

    Args:
        center: as the site.
        study: name of the study.
        ids: hospital ids, each once.
        site_key: 32 bytes.
        progress: called with ("register", done, total).

    Raises:
        RemoteError: no such study, or the site does not take part.
    """
    from linkage.encode import record_numbers

    numbers = [row.hex() for row in map(bytes, record_numbers(site_key, study, ids))]
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    size = center.settings.batch
    pseudonyms: list[str | None] = [None] * len(numbers)
    done = 0

    async def send(indices: list[int]) -> None:
        nonlocal done
        answer = await center.register(study, [numbers[i] for i in indices])
        for i, pseudonym in zip(indices, answer, strict=True):
            pseudonyms[i] = pseudonym
        done += len(indices)
        if progress is not None:
            progress("register", done, len(numbers))

    # In order, one after the other: batches that overtake each other would be numbered in another order.
    for start in range(0, len(order), size):
        await send(order[start : start + size])
    return pseudonyms


async def results(center: TrustCenter, study: str, ids: Sequence[str], site_key: bytes) -> list[str | None]:
    """Study pseudonyms of the site's own records as the centre holds them now; None for unknown ids.

    Raises:
        RemoteError: no such study, or the site does not take part.
    """
    from linkage.encode import record_numbers

    held = {line.record_number: line.pseudonym async for line in center.results(study)}
    return [held.get(bytes(row).hex()) for row in record_numbers(site_key, study, ids)]


def check_study(
    study: Study,
    schema: Schema,
    *,
    secret_study: str,
    secret_version: int,
    site: str | None,
    require_separation: str = "none",
    deduplicated: bool = True,
) -> None:
    """Refuse an upload that does not fit the study, before anything is encoded.

    Raises:
        ConflictError: another schema, or the secret of another study or version.
        PolicyError: weaker separation than required, or a declaration that does not hold.
    """
    # Levels too: with wider ones the comparator would tell the registrar of pairs that are not near.
    shown = (study.fingerprint, study.passes, list(study.levels))
    if (schema.fingerprint, schema.P, list(schema.levels)) != shown:
        raise ConflictError(
            "this program's schema is not the one that the study was frozen with",
            code="wrong_fingerprint",
            hint="compare: trustcenter linkage schema fingerprint, trustcenter study show",
        )
    if (secret_study, secret_version) != (study.name, study.version):
        raise ConflictError(
            "the study secret was made for another study or version",
            code="wrong_study_secret",
            hint="fetch the secret of this version from the lead site: trustcenter study secret fetch",
        )
    if SEPARATIONS.index(study.separation) < SEPARATIONS.index(require_separation):
        raise PolicyError(
            f"the rooms of this service are separated by {study.separation}, you require {require_separation}",
            code="separation_too_weak",
        )
    declared = next((p.deduplicated for p in study.participants if p.site == site), deduplicated)
    if declared and not deduplicated:
        raise PolicyError(
            "the study declares your source free of duplicates, and you say that it is not",
            code="declaration_differs",
            hint="remove duplicates first, or have the operator create the study without the declaration",
        )


async def upload(
    center: TrustCenter,
    study: Study,
    schema: Schema,
    table: Table,
    secrets: Secrets,
    progress: Progress | None = None,
    *,
    deduplication: Deduplication | None = None,
) -> Uploaded:
    """Encode a source and bring the centre up to date with it. Call `check_study` first.

    Records are registered, then rows sent that the centre does not hold, their receipt verified, and the map
    sent that makes them count. Interrupted anywhere, the job is simply done again. A declaration about duplicates goes
    with the map; where there is nothing to send, it is not sent either.

    Raises:
        PolicyError: fewer new rows than a minimum batch of whole records has, or rooms that are not what they say.
        VerificationError: a receipt is not for what was sent.
        RemoteError: the service's refusal.
    """
    from trustcenter.client.study.difference import new_records, parts
    from trustcenter.client.study.sending import made_ahead, send

    receipt_key = await center.require_rooms(study)
    if len(table) < study.minimum_batch:
        hint = "nothing was sent; give all records, not the new ones alone, or send when there are more"
        raise _too_small(study, f"records of the source: {len(table):,}", hint)
    # Registered first: who has no consent, or was withdrawn, is not even encoded.
    named = await register(center, study.name, table.ids, secrets.site_key, progress)
    refused = named.count(None)
    encoded, done = await _encode(schema, _only(table, named) if refused else table, secrets, progress)
    done.records, done.without_consent = len(table), refused
    held = b"".join([line.refs async for line in center.own_records(study.name)])
    done.sent, rows = new_records(encoded, held)
    if 0 < rows < study.minimum_batch * study.passes:
        hint = "nothing is wrong: the same command sends them when there are more; their study pseudonyms are there"
        raise _too_small(study, f"new or changed records: {done.sent:,}", hint)
    async with aclosing(made_ahead(parts(encoded, held, center.settings.upload_records))) as made:
        async for part in made:
            done.receipts.append(await send(center, study, schema, part, receipt_key, deduplication, progress))
            done.rows += len(part.rows)
    return done


def _only(table: Table, named: Sequence[str | None]) -> Table:
    """The rows that were not refused."""
    from linkage.tables import Table

    kept = [at for at, pseudonym in enumerate(named) if pseudonym is not None]
    return Table([table.ids[at] for at in kept], {n: [c[at] for at in kept] for n, c in table.columns.items()})


def _too_small(study: Study, what: str, hint: str) -> PolicyError:
    return PolicyError(
        f"{what}; this study sends at least {study.minimum_batch} at a time: the rows of fewer would show"
        " which are one person's",
        code="batch_too_small",
        hint=hint,
    )


async def _encode(
    schema: Schema, table: Table, secrets: Secrets, progress: Progress | None
) -> tuple[Encoded, Uploaded]:
    """Encode in a thread that a cancelled task stops."""
    stop = threading.Event()

    def tick(done: int, total: int) -> None:
        if stop.is_set():
            raise asyncio.CancelledError
        if progress is not None:
            progress("encode", done, total)

    def work() -> tuple[Encoded, Uploaded]:
        from linkage.encode import encode
        from linkage.normalise import prepare

        prepared = prepare(schema, table.select(schema.columns))
        encoded = encode(schema, prepared, table.ids, secrets, progress=tick)
        few = int((encoded.live_passes < 3).sum())
        return encoded, Uploaded(len(table), few_passes=few, warnings=Counter(prepared.warnings))

    try:
        return await asyncio.to_thread(work)
    finally:
        stop.set()
