"""Records of a study: registration of record numbers (M3) and the map from records to refs (M4).

Registration answers with study pseudonyms at once, whatever is known elsewhere: no answer here depends on the
records of another site, so nobody can ask the centre whether a person is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from trustcenter.audit import Event
from trustcenter.audit.refs_root import refs_root
from trustcenter.auth import Principal
from trustcenter.errors import ConflictError
from trustcenter.messages import api
from trustcenter.messages.receipts import Receipt
from trustcenter.messages.rooms import Accept, Retire
from trustcenter.registrar.consents import consent_gate
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.limits import require_batch
from trustcenter.registrar.linking import ledger, outbox, pairs, receipt_keys, retiring
from trustcenter.registrar.pseudonyms import issue, layout
from trustcenter.registrar.pseudonyms.batches import Batch, serials_of
from trustcenter.store import Column, Connection, insert, ranges, select_in
from trustcenter.store.packed import Keys

from . import own_duplicates, refs, studies
from .map_entries import REF_BYTES, Entries, parse_entries, parse_numbers, require_strictly_sorted
from .studies import StudyRow


async def register(
    context: Context, caller: Principal, request: str, study_name: str, body: api.RegisterRequest
) -> api.RegisterAnswer:
    """Study pseudonyms of the caller's record numbers: all or none, but for those without the consent of the study.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        UsageError: not sorted, or a number twice.
        LimitError: more than a batch.
    """
    require_batch(len(body.record_numbers), context.limits.batch_items, "record numbers")
    values = parse_numbers(body.record_numbers)
    require_strictly_sorted(values)

    _, domain = await context.db.read(lambda conn: studies.open_to(context, conn, study_name, caller))
    tags = await asyncio.to_thread(context.keys.tags, domain.uuid, layout.LOOKUP_VERSION, values)

    whole = Batch(list(range(len(values))), values, tags, [])

    def effect(conn: Connection) -> tuple[issue.Issued, Batch]:
        batch = consent_gate.admit(context, conn, domain, whole)
        consent_gate.note(context, conn, domain, caller.name, request, batch.errors)
        issued = issue.create_or_get(context, conn, domain, batch.values, batch.tags, caller.name, request)
        _enter(conn, domain.id, issued)
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


def _enter(conn: Connection, domain: int, issued: issue.Issued) -> None:
    """Enter the records of rows, as far as they are new."""
    if issued.created == len(issued.serials) > 0:  # all are, and their serials follow each other
        first = int(issued.serials.min())
        columns: dict[str, Column] = {"domain": domain, "serial": range(first, first + issued.created)}
        insert(conn, "record", {**columns, "state": "unlinked"}, issued.created)
        return
    conn.executemany(
        "INSERT INTO record (domain, serial, state) VALUES (?,?,'unlinked') ON CONFLICT DO NOTHING",
        [(domain, int(serial)) for serial in issued.serials],
    )


def _check_receipt(receipt: Receipt, study: StudyRow, caller: Principal) -> None:
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
        UsageError: malformed map, repeated ref, unregistered record.
        ConflictError: the refs are not those of the receipt, or belong to another record.
        VerificationError: the receipt is not the comparator's.
    """
    said = body.deduplication

    study, domain = await context.db.read(lambda conn: studies.open_to(context, conn, study_name, caller))
    receipt = body.receipt
    fresh = await context.db.read(lambda conn: receipt_keys.check(context, conn, receipt))
    _check_receipt(receipt, study, caller)
    if said is not None and said.schema != study.fingerprint:
        raise ConflictError(
            "the declaration about duplicates was made under another schema",
            code="foreign_declaration",
            hint="look for duplicates under the schema of the study",
            where="deduplication",
        )
    entries = await asyncio.to_thread(parse_entries, body.entries, study.passes)
    tags = await asyncio.to_thread(context.keys.tags, domain.uuid, layout.LOOKUP_VERSION, entries.numbers)

    def claimed(conn: Connection) -> tuple[int, refs.Held]:
        return _maps(conn, study, caller), refs.claimed(conn, study.name, caller.name, entries.keys)

    # Looked for before the transaction, which need not wait for it unless another map came meanwhile.
    before, known = await context.db.read(claimed)

    def effect(conn: Connection) -> int:
        earlier = conn.execute("SELECT digest, records FROM map WHERE upload = ?", (receipt.upload,)).fetchone()
        if earlier is not None:
            if earlier[0] != entries.digest:
                raise ConflictError("this upload has another map already", code="map_exists")
            return int(earlier[1])
        ledger.require_newer(conn, study.name, caller.name, receipt.sequence)
        receipt_keys.learn(context, conn, caller.name, request, fresh)
        serials = serials_of(context, conn, domain, tags, "the map", lambda at: f"record {at + 1}")
        own_duplicates.require_current(conn, domain.id, serials)
        held = known if _maps(conn, study, caller) == before else claimed(conn)[1]
        again = _mapped_before(conn, domain.id, serials)
        had = refs.of(conn, domain.id, again, study.version)
        retired = _apply_refs(conn, study, domain, serials, entries, receipt, held, had)
        pairs.touch(conn, domain.id, again)
        _note_mapped(conn, domain.id, serials, entries.decoys)
        conn.execute(
            "INSERT INTO map VALUES (?,?,?,?,?,?)",
            (receipt.upload, study.name, caller.name, receipt.root, len(serials), entries.digest),
        )
        retiring.tell_before(conn, study.name, entries.keys)
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

    return api.MapAccepted(mapped=await context.db.write(effect, large=True), accepted=True)


def _for_log(said: api.Deduplication) -> dict[str, object]:
    """A declaration as an entry of the log holds it, where numbers are whole: the cut is text."""
    whole: dict[str, object] = msgspec.to_builtins(said)
    return {**whole, "cut": f"{said.cut:g}"}


def _maps(conn: Connection, study: StudyRow, caller: Principal) -> int:
    """How many maps of a study, and of a site, were taken: only a map brings refs."""
    query = "SELECT count(*) FROM map WHERE study = ? OR site = ?"
    return int(conn.execute(query, (study.name, caller.name)).fetchone()[0])


def _mapped_before(conn: Connection, domain: int, serials: Sequence[int]) -> list[int]:
    """Those of the records that had refs before; mostly none, which one look at all between them shows."""
    query = "SELECT 1 FROM record WHERE domain = ? AND state <> 'unlinked' AND serial BETWEEN ? AND ? LIMIT 1"
    if conn.execute(query, (domain, min(serials), max(serials))).fetchone() is None:
        return []
    return pairs.mapped(conn, domain, serials)


def _note_mapped(conn: Connection, domain: int, serials: Sequence[int], decoys: NDArray[np.bool_]) -> None:
    change = (
        "UPDATE record SET state = CASE state WHEN 'unlinked' THEN 'mapped' ELSE state END, decoy = ?"
        " WHERE domain = ? AND serial"
    )
    for flag in (False, True):
        mine = np.sort(np.array(serials, np.int64)[decoys == flag])
        parts = ranges(mine)
        for part in parts or ():
            conn.execute(f"{change} BETWEEN ? AND ?", (int(flag), domain, part[0], part[-1]))
        if parts is None:
            for _ in select_in(conn, f"{change} IN {{values}} RETURNING 1", (int(flag), domain), mine.tolist()):
                pass


def _apply_refs(
    conn: Connection,
    study: StudyRow,
    domain: DomainRow,
    serials: Sequence[int],
    entries: Entries,
    receipt: Receipt,
    known: refs.Held,
    had: Mapping[int, bytes],
) -> list[bytes]:
    """Check the refs against receipt and store, then make them current; returns the refs they replace.

    Refs of an older version of the study are none of this map: they stay until that version ends.

    Args:
        conn: a transaction.
        study: of the map.
        domain: of its records.
        serials: of the records, as the entries name them.
        entries: the map.
        receipt: of the rows.
        known: those of its refs that records have already.
        had: by serial, the packed refs that its records have.
    """
    again = [place for place, serial in enumerate(serials) if serial in had] if had else []
    changed: dict[int, tuple[bytes, bytes]] = {}
    retired: list[bytes] = []
    first = np.ones(len(serials), np.bool_)  # records that have none of this version
    first[again] = False
    brought = [entries.refs[first].reshape(-1, REF_BYTES)] if again else []
    for place in again:
        serial, gets = serials[place], entries.refs[place].tobytes()
        if had[serial] != gets:
            changed[serial] = (had[serial], gets)
            retired += set(refs.cut(had[serial])) - set(refs.cut(gets))
            brought.append(refs.split(b"".join(set(refs.cut(gets)) - set(refs.cut(had[serial])))))
    count, root = len(entries.records), entries.root
    if again:
        fresh = Keys.of(np.concatenate(brought))
        count, root = len(fresh.first), refs_root(refs.packed(fresh)).hex()
    if (count, root) != (receipt.rows, receipt.root):
        raise ConflictError(
            "the map's new refs are not those of the receipt",
            code="map_receipt_mismatch",
            hint="the map was refused whole and nothing changed; encode and upload again",
        )
    ours = Keys.of(refs.split(b"".join(had.values())))
    if any(at != domain.id or not bool(ours.among(found["ref"]).all()) for at, found in known):
        raise ConflictError(
            "the map names a ref that belongs to another record",
            code="foreign_ref",
            hint="the map was refused whole and nothing changed",
        )
    refs.change(conn, domain.id, study.version, changed)
    of_records = np.array(serials, np.int64)
    order = np.argsort(of_records)  # neighbours share pages of the tables
    order = order[first[order]]
    new = first[entries.records]
    owned = refs.owned_in_order(entries.keys.those(new), of_records[entries.records[new]])
    refs.add(conn, domain.id, study.version, of_records[order], entries.refs[order], owned)
    return retired
