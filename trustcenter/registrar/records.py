"""Records of a study: registration of record numbers (M3) and the map from records to refs (M4).

Registration answers with study pseudonyms at once, whatever is known elsewhere: no answer here depends on the
records of another site, so nobody can ask the centre whether a person is known.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Sequence

import msgspec

from keys.errors import SignatureError
from keys.personal import verify_ed25519
from trustcenter.audit import Event, merkle_root
from trustcenter.auth import Principal
from trustcenter.errors import ConflictError, LimitError, UsageError_, VerificationError
from trustcenter.messages import api
from trustcenter.messages.rooms import Accept, Receipt, Retire
from trustcenter.store import Connection, IntegrityError, select_in

from . import consent_gate, issue, ledger, outbox, own_duplicates, pairs, studies
from .batches import Batch
from .context import Context
from .domains import DomainRow
from .map_entries import REF_BYTES, Entries, parse_entries, require_strictly_sorted
from .studies import StudyRow


async def register(
    context: Context, caller: Principal, request: str, study_name: str, body: api.RegisterRequest
) -> api.RegisterAnswer:
    """Study pseudonyms of the caller's record numbers: all or none, but for those without the consent of the study.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        UsageError_: not sorted, or a number twice.
        LimitError: more than a batch.
    """
    if len(body.record_numbers) > context.limits.batch_items:
        raise LimitError(
            "too many record numbers in one request",
            code="batch_too_large",
            hint=f"send at most {context.limits.batch_items} at a time",
        )
    values = [bytes.fromhex(number) for number in body.record_numbers]
    require_strictly_sorted(values)

    def look(conn: Connection) -> DomainRow:
        study = studies.find(conn, study_name, caller)
        studies.require_open(context, study)
        studies.require_member(conn, study, caller.name)
        return studies.participation(conn, study, caller)

    domain = await context.db.read(look)
    tags = await asyncio.to_thread(context.keys.tags, domain.uuid, issue.LOOKUP_VERSION, values)

    whole = Batch(list(range(len(values))), values, tags, [])

    def effect(conn: Connection) -> tuple[issue.Issued, Batch]:
        batch = consent_gate.admit(context, conn, domain, whole)
        consent_gate.note(context, conn, domain, caller.name, request, batch.errors)
        issued = issue.create_or_get(context, conn, domain, batch.values, batch.tags, caller.name, request)
        conn.executemany(
            "INSERT INTO record (domain, serial, state) VALUES (?,?,'unlinked') ON CONFLICT DO NOTHING",
            [(domain.id, int(serial)) for serial in issued.serials],
        )
        context.audit(
            conn,
            Event.RECORD_REGISTER,
            caller.name,
            request,
            study=study_name,
            count=len(batch.values),
            created=issued.created,
        )
        return issued, batch

    issued, batch = await context.db.write(effect)
    answer: list[str | None] = [None] * len(values)
    for place, string in zip(batch.good, await issue.strings_of(context, domain, issued), strict=True):
        answer[place] = string
    return api.RegisterAnswer(pseudonyms=answer, key_version=issued.version, errors=batch.errors)


def _check_receipt(context: Context, receipt: Receipt, study: StudyRow, caller: Principal) -> None:
    try:
        verify_ed25519(
            context.comparator_key, receipt.signed_bytes(), base64.b64decode(receipt.signature, validate=True)
        )
    except (SignatureError, ValueError):
        raise VerificationError(
            "this receipt was not signed by the comparator of this instance",
            code="bad_receipt",
            where="receipt",
        ) from None
    if (receipt.study, receipt.version, receipt.source) != (study.name, study.version, caller.name):
        raise ConflictError(
            "this receipt is for another study, version or site",
            code="foreign_receipt",
            hint="send the receipt of your own upload to the study it was made for",
            where="receipt",
        )


async def accept_map(
    context: Context, caller: Principal, request: str, study_name: str, body: api.MapUpload
) -> api.MapAccepted:
    """Take the map of an upload, or refuse it whole. A retry with the same bytes is harmless.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        UsageError_: malformed map, repeated ref, unregistered record.
        ConflictError: the refs are not those of the receipt, or belong to another record.
        VerificationError: the receipt is not the comparator's.
    """
    said = body.deduplication

    def look(conn: Connection) -> tuple[StudyRow, DomainRow]:
        study = studies.find(conn, study_name, caller)
        studies.require_open(context, study)
        studies.require_member(conn, study, caller.name)
        return study, studies.participation(conn, study, caller)

    study, domain = await context.db.read(look)
    receipt = body.receipt
    _check_receipt(context, receipt, study, caller)
    if said is not None and said.schema != study.fingerprint:
        raise ConflictError(
            "the declaration about duplicates was made under another schema",
            code="foreign_declaration",
            hint="look for duplicates under the schema of the study",
            where="deduplication",
        )
    entries = await asyncio.to_thread(parse_entries, body.entries, study.passes)
    tags = await asyncio.to_thread(context.keys.tags, domain.uuid, issue.LOOKUP_VERSION, entries.numbers)
    digest = hashlib.sha256(body.entries).digest()

    def effect(conn: Connection) -> int:
        earlier = conn.execute("SELECT digest, records FROM map WHERE upload = ?", (receipt.upload,)).fetchone()
        if earlier is not None:
            if earlier[0] != digest:
                raise ConflictError("this upload has another map already", code="map_exists")
            return int(earlier[1])
        ledger.require_newer(conn, study.name, caller.name, receipt.sequence)
        serials = _serials(context, conn, domain, tags)
        own_duplicates.require_current(conn, domain.id, serials)
        retired = _apply_refs(conn, study, domain, serials, entries, receipt)
        pairs.touch_mapped(conn, domain.id, serials)
        conn.executemany(
            "UPDATE record SET state = CASE state WHEN 'unlinked' THEN 'mapped' ELSE state END, decoy = ?"
            " WHERE domain = ? AND serial = ?",
            [(decoy, domain.id, serial) for decoy, serial in zip(entries.decoys, serials, strict=True)],
        )
        conn.execute(
            "INSERT INTO map VALUES (?,?,?,?,?,?)",
            (receipt.upload, study.name, caller.name, receipt.root, len(serials), digest),
        )
        if retired:
            outbox.put(conn, "retire", Retire(study=study.name, refs=b"".join(sorted(retired))))
        outbox.put(conn, "accept", Accept(study=study.name, upload=receipt.upload))
        context.audit(
            conn,
            Event.MAP_ACCEPT,
            caller.name,
            request,
            study=study.name,
            upload=receipt.upload,
            records=len(serials),
            rows=receipt.rows,
            retired=len(retired),
            root=receipt.root,
            **({"deduplication": _for_log(said)} if said is not None else {}),
        )
        return len(serials)

    return api.MapAccepted(mapped=await context.db.write(effect), accepted=True)


def _for_log(said: api.Deduplication) -> dict[str, object]:
    """A declaration as an entry of the log holds it, where numbers are whole: the cut is text."""
    whole: dict[str, object] = msgspec.to_builtins(said)
    return {**whole, "cut": f"{said.cut:g}"}


def _serials(context: Context, conn: Connection, domain: DomainRow, tags: Sequence[bytes]) -> list[int]:
    known = context.tags.find(conn, domain.id, tags).rows
    for position, tag in enumerate(tags):
        if tag not in known:
            raise UsageError_(
                "the map names a record that was never registered",
                code="unregistered_record",
                hint="register the record numbers first: trustcenter study register",
                where=f"record {position + 1}",
            )
    return [known[tag][0] for tag in tags]


def _apply_refs(
    conn: Connection,
    study: StudyRow,
    domain: DomainRow,
    serials: Sequence[int],
    entries: Entries,
    receipt: Receipt,
) -> list[bytes]:
    """Check the refs against receipt and store, then make them current; returns the refs they replace.

    Refs of an older version of the study are none of this map: they stay until that version ends.
    """
    current: dict[int, set[bytes]] = {}
    held_now = "SELECT serial, ref FROM record_ref WHERE domain = ? AND serial IN {values} AND version = ?"
    for serial, ref in set(select_in(conn, held_now, (domain.id,), serials, (study.version,))):
        current.setdefault(serial, set()).add(ref)
    width = study.passes * REF_BYTES
    packed = entries.refs.tobytes()
    fresh: list[tuple[int, bytes]] = []
    retired: list[tuple[int, bytes]] = []
    for position, serial in enumerate(serials):
        start = position * width
        refs = {packed[at : at + REF_BYTES] for at in range(start, start + width, REF_BYTES)}
        held = current.get(serial, set())
        fresh.extend((serial, ref) for ref in sorted(refs - held))
        retired.extend((serial, ref) for ref in held - refs)
    if len({packed[at : at + REF_BYTES] for at in range(0, len(packed), REF_BYTES)}) * REF_BYTES != len(packed):
        raise UsageError_("a ref occurs twice in the map", code="repeated_ref", hint="the map was refused whole")
    if len(fresh) != receipt.rows or merkle_root(sorted(ref for _, ref in fresh)).hex() != receipt.root:
        raise ConflictError(
            "the map's new refs are not those of the receipt",
            code="map_receipt_mismatch",
            hint="the map was refused whole and nothing changed; encode and upload again",
        )
    # Retired refs go first: a ref that moved from one of the caller's records to another would be a conflict.
    conn.executemany(
        "DELETE FROM record_ref WHERE domain = ? AND serial = ? AND ref = ?",
        [(domain.id, serial, ref) for serial, ref in retired],
    )
    try:
        conn.executemany(
            "INSERT INTO record_ref (domain, serial, ref, version) VALUES (?,?,?,?)",
            [(domain.id, serial, ref, study.version) for serial, ref in fresh],
        )
    except IntegrityError:
        raise ConflictError(
            "the map names a ref that belongs to another record",
            code="foreign_ref",
            hint="the map was refused whole and nothing changed",
        ) from None
    return [ref for _, ref in retired]
