"""Row uploads (M1) and their receipts (M2).

    open ──all chunks, in order──► staged ──registrar accepts the map──► live

Rows enter the store chunk by chunk, as they came, and count for nothing until their upload is live: then they are
placed where windows find them (`placing`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from trustcenter.audit import Event
from trustcenter.audit.refs_root import refs_root
from trustcenter.errors import ConflictError, LimitError, NotFoundError, PolicyError, UsageError
from trustcenter.messages import api
from trustcenter.messages.receipts import Receipt
from trustcenter.store import Connection

from . import chunks, placing, receipt_keys, sources
from .context import Context


async def require_openable(context: Context, source: str, study_name: str, body: api.UploadOpen) -> None:
    """Refuse what `open_upload` would refuse, before what the source left unfinished is dropped for it.

    Raises:
        NotFoundError: no such study, or the source does not take part.
        ConflictError: encoded for another version or schema of the study.
        PolicyError: so few rows that they would show which belong together; the study or the source takes no more data.
        LimitError: more rows than an upload may have.
    """
    await context.db.read(lambda conn: _openable(context, conn, source, study_name, body))


def _openable(context: Context, conn: Connection, source: str, study_name: str, body: api.UploadOpen) -> sources.Study:
    if body.rows > context.limits.upload_rows or body.chunks > body.rows:
        raise LimitError("this upload has more rows or chunks than one may have", code="upload_too_large")
    study = sources.find_study(conn, study_name, source)
    sources.require_takes_rows(study)
    if body.version != study.version or body.fingerprint != study.fingerprint:
        raise ConflictError(
            "these rows were encoded for another version or schema of the study",
            code="wrong_fingerprint",
            hint="encode with the schema and version that trustcenter study show prints",
            where="fingerprint",
        )
    if body.rows < study.minimum_rows:
        raise PolicyError(
            "so small an upload would show which rows belong together",
            code="batch_too_small",
            hint=f"wait until there are {study.minimum_rows // study.passes} records",
        )
    return study


async def open_upload(context: Context, source: str, study_name: str, body: api.UploadOpen) -> api.UploadOpened:
    """Announce an upload.

    Raises:
        NotFoundError, PolicyError, LimitError: as `require_openable`.
        ConflictError: the same; or an earlier upload of the source waits.
    """

    def effect(conn: Connection) -> str:
        study = _openable(context, conn, source, study_name, body)
        _require_none_staged(conn, study, source)
        upload = os.urandom(16).hex()
        conn.execute(
            "INSERT INTO upload (id, study, source, version, rows, chunks, state) VALUES (?,?,?,?,?,?,'open')",
            (upload, study.name, source, body.version, body.rows, body.chunks),
        )
        context.audit(conn, Event.UPLOAD_OPEN, source, study.window, study=study.name, upload=upload, rows=body.rows)
        return upload

    return api.UploadOpened(upload=await context.db.write(effect), chunk_bytes_max=context.limits.chunk_bytes)


def _require_none_staged(conn: Connection, study: sources.Study, source: str) -> None:
    """Refuse an upload beside another: only the registrar knows whether there is a map for the one before."""
    query = "SELECT 1 FROM upload WHERE study = ? AND source = ? AND state <> 'live'"
    if conn.execute(query, (study.name, source)).fetchone() is not None:
        raise ConflictError(
            "an earlier upload of this source waits for its map, or to be dropped",
            code="upload_waiting",
            hint="where the rooms are apart, settle with the registrar first, as trustcenter study upload does",
        )


def drop_unfinished(context: Context, conn: Connection, study: sources.Study, source: str) -> None:
    """Forget what the source left behind when it died between two messages.

    The registrar, which asks for it, has delivered every waiting `Accept` before: what is not live has no map.
    """
    for number, upload in conn.execute(
        "SELECT number, id FROM upload WHERE study = ? AND source = ? AND state <> 'live'", (study.name, source)
    ).fetchall():
        placing.drop(conn, number)
        context.audit(conn, Event.UPLOAD_EXPIRE, source, study.window, study=study.name, upload=upload)


@dataclass(frozen=True)
class _Upload:
    number: int
    id: str
    rows: int
    chunks: int
    state: str
    receipt: bytes | None
    version: int


def _upload(conn: Connection, study: str, source: str, upload: str) -> _Upload:
    row = conn.execute(
        "SELECT number, id, rows, chunks, state, receipt, version FROM upload"
        " WHERE study = ? AND source = ? AND id = ?",
        (study, source, upload),
    ).fetchone()
    if row is None:
        raise NotFoundError("you have no such upload in this study", code="unknown_upload", hint="open one first")
    return _Upload(*row)


async def put_chunk(
    context: Context, source: str, study_name: str, upload_id: str, index: int, body: bytes, digest: bytes
) -> api.ChunkStored:
    """Store one chunk. The same bytes again are harmless; other bytes under the same index are refused.

    Raises:
        NotFoundError: no such upload of the source.
        UsageError: damaged, unsorted, or rows that the study's encoding cannot have made.
        ConflictError: the upload is complete, or the chunk was sent with other bytes.
        LimitError: larger than a chunk may be.
    """
    if len(body) > context.limits.chunk_bytes:
        raise LimitError(
            "this chunk is too large",
            code="chunk_too_large",
            hint=f"at most {context.limits.chunk_bytes} bytes",
        )
    study = await context.db.read(lambda conn: sources.find_study(conn, study_name, source))
    rows = await asyncio.to_thread(chunks.checked, body, digest, study.passes)

    def effect(conn: Connection) -> api.ChunkStored:
        upload = _upload(conn, study_name, source, upload_id)
        if not 0 <= index < upload.chunks:
            raise UsageError("there is no chunk of this number", code="unknown_chunk", where="chunk")
        known = conn.execute(
            "SELECT sha256 FROM arrived WHERE upload = ? AND chunk = ?", (upload.number, index)
        ).fetchone()
        if known is not None and known[0] != digest:
            raise ConflictError("this chunk was sent with other bytes before", code="chunk_exists")
        if known is None:
            sources.require_takes_rows(sources.find_study(conn, study_name, source), upload.version)
            if upload.state != "open":
                raise ConflictError("this upload is complete", code="upload_complete")
            conn.execute(
                "INSERT INTO arrived (upload, chunk, sha256, rows, body) VALUES (?,?,?,?,?)",
                (upload.number, index, digest, len(rows), body),
            )
        received = conn.execute("SELECT count(*) FROM arrived WHERE upload = ?", (upload.number,)).fetchone()[0]
        return api.ChunkStored(upload=upload_id, chunk=index, received=received, chunks=upload.chunks)

    return await context.db.write(effect)


async def complete(context: Context, source: str, study_name: str, upload_id: str) -> Receipt:
    """Close an upload and hand out its receipt; completing twice gives the same receipt.

    Raises:
        NotFoundError: no such upload of the source.
        ConflictError: chunks are missing, or rows are not sorted over the whole upload.
    """

    def look(conn: Connection) -> Receipt | bytes:
        upload = _upload(conn, study_name, source, upload_id)
        if upload.receipt is not None:
            return msgspec.json.decode(upload.receipt, type=Receipt)
        sources.require_takes_rows(sources.find_study(conn, study_name, source), upload.version)
        return _root(conn, upload)

    found = await context.db.read(look)  # not in the transaction: it reads the whole upload
    if isinstance(found, Receipt):
        return found
    root = found

    def effect(conn: Connection) -> Receipt:
        study = sources.find_study(conn, study_name, source)
        upload = _upload(conn, study_name, source, upload_id)
        if upload.receipt is not None:
            return msgspec.json.decode(upload.receipt, type=Receipt)
        sources.require_takes_rows(study, upload.version)
        sequence = sources.last_sequence(conn, study_name, source) + 1
        sources.lift_sequence(conn, study_name, source, sequence)
        unsigned = Receipt(
            study=study_name,
            version=study.version,
            source=source,
            upload=upload_id,
            rows=upload.rows,
            root=root.hex(),
            sequence=sequence,
            signature="",
        )
        receipt = receipt_keys.sign(context.keys, conn, unsigned)
        conn.execute(
            "UPDATE upload SET state = 'staged', sequence = ?, receipt = ?, held = held + rows WHERE number = ?",
            (sequence, msgspec.json.encode(receipt), upload.number),
        )
        context.audit(
            conn,
            Event.UPLOAD_COMPLETE,
            source,
            study.window,
            study=study_name,
            upload=upload_id,
            rows=upload.rows,
            root=receipt.root,
            sequence=sequence,
        )
        return receipt

    return await context.db.write(effect)


def _root(conn: Connection, upload: _Upload) -> bytes:
    """The root over the refs of an upload that is whole and sorted.

    Raises:
        ConflictError: chunks are missing, or rows are not sorted over the whole upload.
    """
    (count, rows) = conn.execute(
        "SELECT count(*), coalesce(sum(rows), 0) FROM arrived WHERE upload = ?", (upload.number,)
    ).fetchone()
    if (count, rows) != (upload.chunks, upload.rows):
        raise ConflictError(
            "chunks are missing, or the rows are not as many as announced",
            code="upload_incomplete",
            hint="send the missing chunks and complete again",
        )
    return refs_root(_refs(conn, upload))


def _refs(conn: Connection, upload: _Upload) -> Iterator[bytes]:
    """The packed refs of an upload, chunk by chunk, each chunk sorted as it came."""
    last = b""
    for number, part in enumerate(placing.bodies(conn, upload.number)):
        packed = part["ref"].tobytes()
        if last >= packed[: placing.REF_BYTES]:
            raise ConflictError(
                "rows are not sorted by ref over the whole upload", code="not_sorted", where=f"chunk {number}"
            )
        last = packed[-placing.REF_BYTES :]
        yield packed
