"""Row uploads (M1) and their receipts (M2).

    open ──all chunks, in order──► staged ──registrar accepts the map──► live

Rows enter the store chunk by chunk and count for nothing until their upload is live.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import os
from dataclasses import dataclass
from typing import NoReturn

import msgspec
import numpy as np
from numpy.typing import NDArray

from keys.ids import Purpose
from linkage.rows import ROW, ascending
from trustcenter.audit import Event, merkle_root
from trustcenter.errors import ConflictError, LimitError, NotFoundError, PolicyError, UsageError_
from trustcenter.messages import api
from trustcenter.messages.rooms import Receipt
from trustcenter.store import Connection, IntegrityError

from .context import Context

# A masked filter of 256 bits has 128 set bits with a deviation of 8: outside these bounds it was made by another
# encoder, or by hand. A right one falls outside once in 10^15 rows.
_FILL_MIN, _FILL_MAX = 64, 192


@dataclass(frozen=True)
class Study:
    """A study as the comparator knows it."""

    number: int
    name: str
    version: int
    fingerprint: str
    passes: int
    minimum_rows: int
    sources: tuple[str, ...]
    window: int
    takes_rows: bool
    removed: bool = False  # the source was, with an earlier version


def find_study(conn: Connection, name: str, source: str) -> Study:
    """A study that a source takes part in.

    Raises:
        NotFoundError: there is none.
    """
    row = conn.execute(
        "SELECT number, version, fingerprint, passes, minimum_rows, window_number, sources, takes_rows, former"
        " FROM study WHERE name = ?",
        (name,),
    ).fetchone()
    if row is None or source not in (sources := tuple(json.loads(row[6]))):
        raise NotFoundError(
            "there is no such study, or you do not take part in it",
            code="unknown_study",
            hint="trustcenter study list shows the studies that you may use",
        )
    number, version, fingerprint, passes, minimum_rows, window, _, takes_rows, former = row
    removed = source in json.loads(former)
    return Study(number, name, version, fingerprint, passes, minimum_rows, sources, window, bool(takes_rows), removed)


def _require_takes_rows(study: Study, upload: _Upload | None = None) -> None:
    if study.removed:
        raise PolicyError(
            "this site takes no part in the study any more",
            code="site_removed",
            hint="its pseudonyms and results can still be read",
        )
    if upload is not None and upload.version != study.version:
        raise ConflictError(
            "the study has a new version since this upload was opened",
            code="version_over",
            hint="encode again with the study secret of the new version",
        )
    if not study.takes_rows:
        raise PolicyError(
            "this study takes no more data",
            code="study_closed",
            hint="it is frozen, released or closed; trustcenter study show names its state",
        )


async def open_upload(context: Context, source: str, study_name: str, body: api.UploadOpen) -> api.UploadOpened:
    """Announce an upload.

    Raises:
        NotFoundError: no such study, or the source does not take part.
        ConflictError: encoded for another version or schema of the study.
        PolicyError: so few rows that they would show which belong together.
        LimitError: more rows than an upload may have.
    """
    if body.rows > context.limits.upload_rows or body.chunks > body.rows:
        raise LimitError("this upload has more rows or chunks than one may have", code="upload_too_large")

    def effect(conn: Connection) -> str:
        study = find_study(conn, study_name, source)
        _require_takes_rows(study)
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
        _require_none_staged(conn, study, source)
        upload = os.urandom(16).hex()
        conn.execute(
            "INSERT INTO upload (id, study, source, version, rows, chunks, state) VALUES (?,?,?,?,?,?,'open')",
            (upload, study.name, source, body.version, body.rows, body.chunks),
        )
        context.audit(conn, Event.UPLOAD_OPEN, source, study.window, study=study.name, upload=upload, rows=body.rows)
        return upload

    return api.UploadOpened(upload=await context.db.write(effect), chunk_bytes_max=context.limits.chunk_bytes)


def _require_none_staged(conn: Connection, study: Study, source: str) -> None:
    """Refuse an upload beside another: only the registrar knows whether there is a map for the one before."""
    query = "SELECT 1 FROM upload WHERE study = ? AND source = ? AND state <> 'live'"
    if conn.execute(query, (study.name, source)).fetchone() is not None:
        raise ConflictError(
            "an earlier upload of this source waits for its map, or to be dropped",
            code="upload_waiting",
            hint="where the rooms are apart, settle with the registrar first, as trustcenter study upload does",
        )


def drop_unfinished(context: Context, conn: Connection, study: Study, source: str) -> None:
    """Forget what the source left behind when it died between two messages: its rows would block the same refs.

    The registrar, which asks for it, has delivered every waiting `Accept` before: what is not live has no map.
    """
    for number, upload in conn.execute(
        "SELECT number, id FROM upload WHERE study = ? AND source = ? AND state <> 'live'", (study.name, source)
    ).fetchall():
        for (refs,) in conn.execute("SELECT refs FROM chunk WHERE upload = ?", (number,)).fetchall():
            conn.executemany(
                "DELETE FROM row WHERE study = ? AND ref = ? AND upload = ?",
                ((study.number, refs[start : start + 16], number) for start in range(0, len(refs), 16)),
            )
        conn.execute("DELETE FROM chunk WHERE upload = ?", (number,))
        conn.execute("DELETE FROM upload WHERE number = ?", (number,))
        context.audit(conn, Event.UPLOAD_EXPIRE, source, study.window, study=study.name, upload=upload)


def last_sequence(conn: Connection, study: str, source: str) -> int:
    """The number of the last receipt of a source in a study, 0 for none."""
    query = "SELECT last_sequence FROM receipt_count WHERE study = ? AND source = ?"
    row = conn.execute(query, (study, source)).fetchone()
    return int(row[0]) if row is not None else 0


def lift_sequence(conn: Connection, study: str, source: str, sequence: int) -> None:
    """The next receipt of a source gets a greater number than this."""
    conn.execute(
        "INSERT INTO receipt_count VALUES (?,?,?) ON CONFLICT (study, source) DO UPDATE SET last_sequence ="
        " CASE WHEN receipt_count.last_sequence < excluded.last_sequence THEN excluded.last_sequence"
        " ELSE receipt_count.last_sequence END",
        (study, source, sequence),
    )


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


def _check_chunk(body: bytes, digest: bytes, passes: int) -> NDArray[np.void]:
    if hashlib.sha256(body).digest() != digest:
        raise UsageError_(
            "the chunk does not have the digest that was announced for it",
            code="digest_mismatch",
            hint="it was damaged on the way: send it again",
            where="Content-Digest",
        )
    if len(body) == 0 or len(body) % ROW.itemsize:
        raise UsageError_(
            f"a chunk is a whole number of rows of {ROW.itemsize} bytes",
            code="wrong_row_length",
            hint="was it encoded with another filter length?",
        )
    rows = np.frombuffer(body, dtype=ROW)
    if not ascending(rows["ref"]):
        _name_disorder([ref.tobytes() for ref in rows["ref"]])
    if bool((rows["pass"] >= passes).any()):
        position = int((rows["pass"] >= passes).argmax())
        raise UsageError_("this study has no such pass", code="unknown_pass", where=f"row {position + 1}")
    filters = np.ascontiguousarray(rows["filter"]).view(np.uint8).reshape(len(rows), -1)
    fill = np.bitwise_count(filters).sum(axis=1, dtype=np.int64)
    odd = (fill < _FILL_MIN) | (fill > _FILL_MAX)
    if bool(odd.any()):
        raise UsageError_(
            "a filter is nearly empty or nearly full: it was not made by the study's encoding",
            code="implausible_filter",
            where=f"row {int(odd.argmax()) + 1}",
        )
    return rows


def _name_disorder(refs: list[bytes]) -> NoReturn:
    for position, (before, after) in enumerate(itertools.pairwise(refs)):
        if before >= after:
            code = "repeated_ref" if before == after else "not_sorted"
            raise UsageError_(
                "rows are sorted by ref over the whole upload, each ref once", code=code, where=f"row {position + 2}"
            )
    raise AssertionError("the refs ascend")


async def put_chunk(
    context: Context, source: str, study_name: str, upload_id: str, index: int, body: bytes, digest: bytes
) -> api.ChunkStored:
    """Store one chunk. The same bytes again are harmless; other bytes under the same index are refused.

    Raises:
        NotFoundError: no such upload of the source.
        UsageError_: damaged, unsorted, or rows that the study's encoding cannot have made.
        ConflictError: the upload is complete, or the chunk was sent with other bytes.
        LimitError: larger than a chunk may be.
    """
    if len(body) > context.limits.chunk_bytes:
        raise LimitError(
            "this chunk is too large",
            code="chunk_too_large",
            hint=f"at most {context.limits.chunk_bytes} bytes",
        )
    study = await context.db.read(lambda conn: find_study(conn, study_name, source))
    rows = await asyncio.to_thread(_check_chunk, body, digest, study.passes)

    def effect(conn: Connection) -> api.ChunkStored:
        upload = _upload(conn, study_name, source, upload_id)
        if not 0 <= index < upload.chunks:
            raise UsageError_("there is no chunk of this number", code="unknown_chunk", where="chunk")
        known = conn.execute(
            "SELECT sha256 FROM chunk WHERE upload = ? AND chunk = ?", (upload.number, index)
        ).fetchone()
        if known is not None and known[0] != digest:
            raise ConflictError("this chunk was sent with other bytes before", code="chunk_exists")
        if known is None:
            _require_takes_rows(find_study(conn, study_name, source), upload)
            if upload.state != "open":
                raise ConflictError("this upload is complete", code="upload_complete")
            _insert(conn, study.number, upload.number, index, digest, rows)
        received = conn.execute("SELECT count(*) FROM chunk WHERE upload = ?", (upload.number,)).fetchone()[0]
        return api.ChunkStored(upload=upload_id, chunk=index, received=received, chunks=upload.chunks)

    return await context.db.write(effect)


def _insert(conn: Connection, study: int, upload: int, index: int, digest: bytes, rows: NDArray[np.void]) -> None:
    refs, tokens, filters = (rows[name].tobytes() for name in ("ref", "token", "filter"))
    conn.execute("INSERT INTO chunk VALUES (?,?,?,?,?)", (upload, index, digest, len(rows), refs))
    passes = rows["pass"].tolist()
    order = np.lexsort((*rows["token"].T[::-1], rows["pass"])).tolist()
    values = (
        (
            study,
            passes[i],
            tokens[16 * i : 16 * i + 16],
            refs[16 * i : 16 * i + 16],
            upload,
            filters[32 * i : 32 * i + 32],
        )
        for i in order  # the order of the table, so that neighbours share pages
    )
    try:
        conn.executemany("INSERT INTO row VALUES (?,?,?,?,?,?)", values)
    except IntegrityError:
        raise ConflictError(
            "a row of this chunk is here already",
            code="repeated_ref",
            hint="send the difference only: trustcenter study upload does",
        ) from None


async def complete(context: Context, source: str, study_name: str, upload_id: str) -> Receipt:
    """Close an upload and hand out its receipt; completing twice gives the same receipt.

    Raises:
        NotFoundError: no such upload of the source.
        ConflictError: chunks are missing, or rows are not sorted over the whole upload.
    """

    def effect(conn: Connection) -> Receipt:
        study = find_study(conn, study_name, source)
        upload = _upload(conn, study_name, source, upload_id)
        if upload.receipt is not None:
            return msgspec.json.decode(upload.receipt, type=Receipt)
        _require_takes_rows(study, upload)
        chunks = conn.execute(
            "SELECT chunk, rows, refs FROM chunk WHERE upload = ? ORDER BY chunk", (upload.number,)
        ).fetchall()
        if len(chunks) != upload.chunks or sum(chunk[1] for chunk in chunks) != upload.rows:
            raise ConflictError(
                "chunks are missing, or the rows are not as many as announced",
                code="upload_incomplete",
                hint="send the missing chunks and complete again",
            )
        for before, after in itertools.pairwise(chunks):
            if before[2][-16:] >= after[2][:16]:
                raise ConflictError(
                    "rows are not sorted by ref over the whole upload", code="not_sorted", where=f"chunk {after[0]}"
                )
        packed = b"".join(chunk[2] for chunk in chunks)
        refs = [packed[start : start + 16] for start in range(0, len(packed), 16)]
        sequence = last_sequence(conn, study_name, source) + 1
        lift_sequence(conn, study_name, source, sequence)
        unsigned = Receipt(
            study=study_name,
            version=study.version,
            source=source,
            upload=upload_id,
            rows=upload.rows,
            root=merkle_root(refs).hex(),
            sequence=sequence,
            signature="",
        )
        signature = context.keys.sign("instance", Purpose.RECEIPT, 1, unsigned.signed_bytes())
        receipt = msgspec.structs.replace(unsigned, signature=base64.b64encode(signature).decode())
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
