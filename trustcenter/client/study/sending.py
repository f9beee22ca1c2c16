"""One upload of a site: rows, their receipt, and the map; what is next is made or sent meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from trustcenter.client.api import TrustCenter
from trustcenter.client.flow import in_order
from trustcenter.errors import VerificationError
from trustcenter.messages.api import Deduplication, MapUpload, Study, UploadOpen
from trustcenter.messages.receipts import Receipt

from .difference import Part

if TYPE_CHECKING:
    from linkage.schema import Schema

Progress = Callable[[str, int, int], None]  # stage, done, total

_ROW_BYTES: Final = 65
_CHUNKS_AHEAD: Final = 1  # sent while the one before is written to the disk there


async def made_ahead(parts: Iterator[Part]) -> AsyncGenerator[Part, None]:
    """Parts that are made in a thread, each while the one before is sent."""
    coming = asyncio.create_task(asyncio.to_thread(next, parts, None))
    try:
        while (part := await coming) is not None:
            coming = asyncio.create_task(asyncio.to_thread(next, parts, None))
            yield part
    finally:
        await asyncio.gather(coming, return_exceptions=True)


async def send(
    center: TrustCenter,
    study: Study,
    schema: Schema,
    part: Part,
    receipt_key: bytes,
    deduplication: Deduplication | None,
    progress: Progress | None,
) -> Receipt:
    """Bring one upload to both rooms: rows, their receipt, which is verified, and the map that makes them count.

    Raises:
        VerificationError: the receipt is not for what was sent, or not every record was taken.
        RemoteError: the service's refusal.
    """
    rows = len(part.rows)
    per_chunk = center.settings.chunk_bytes // _ROW_BYTES
    while True:
        chunks = -(-rows // per_chunk)
        wanted = UploadOpen(version=study.version, fingerprint=schema.fingerprint, rows=rows, chunks=chunks)
        opened = await center.open_upload(study.name, wanted)
        if per_chunk * _ROW_BYTES <= opened.chunk_bytes_max:
            break
        per_chunk = max(1, opened.chunk_bytes_max // _ROW_BYTES)

    async def put(index: int) -> None:
        piece = part.rows[index * per_chunk : (index + 1) * per_chunk].tobytes()
        await center.put_chunk(study.name, opened.upload, index, piece)

    async with aclosing(in_order(iter(range(chunks)), put, _CHUNKS_AHEAD)) as sent:
        async for index in sent:
            if progress is not None:
                progress("upload", min(rows, (index + 1) * per_chunk), rows)
    receipt = await center.complete_upload(study.name, opened.upload)
    await asyncio.to_thread(_verify, receipt, receipt_key, study, center.connection.site, opened.upload, part)
    wanted_map = MapUpload(receipt=receipt, entries=part.entries, deduplication=deduplication)
    accepted = await center.send_map(study.name, wanted_map)
    if not accepted.accepted or accepted.mapped != part.records:
        raise VerificationError("the registrar did not take every record of the map", code="map_incomplete")
    return receipt


def _verify(receipt: Receipt, receipt_key: bytes, study: Study, site: str | None, upload_id: str, part: Part) -> None:
    """The receipt is the comparator's, for exactly the rows that were sent: same number, Merkle root and upload."""
    from trustcenter.audit.refs_root import refs_root

    receipt.verify(receipt_key)
    said = (receipt.study, receipt.version, receipt.source, receipt.upload, receipt.rows, receipt.root)
    sent = (study.name, study.version, site, upload_id, len(part.rows), refs_root([part.rows["ref"].tobytes()]).hex())
    if said != sent:
        raise VerificationError(
            "the comparator's receipt is not for the rows that were sent",
            code="wrong_receipt",
            hint="nothing counts yet; tell the operator",
        )
