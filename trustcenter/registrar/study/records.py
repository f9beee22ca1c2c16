"""Records of a study: registration of record numbers (M3) and the map from records to refs (M4).

Registration answers with study pseudonyms at once, whatever is known elsewhere: no answer here depends on the
records of another site, so nobody can ask the centre whether a person is known.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from trustcenter.audit import Event
from trustcenter.audit.refs_root import refs_root
from trustcenter.auth import Principal
from trustcenter.errors import ConflictError, UsageError
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
from trustcenter.store import Connection, select_in
from trustcenter.store.packed import Keys

from . import own_duplicates, refs, studies
from .map_entries import REF_BYTES, Entries, parse_entries, require_strictly_sorted
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
    values = [bytes.fromhex(number) for number in body.record_numbers]
    require_strictly_sorted(values)

    _, domain = await context.db.read(lambda conn: studies.open_to(context, conn, study_name, caller))
    tags = await asyncio.to_thread(context.keys.tags, domain.uuid, layout.LOOKUP_VERSION, values)

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
    digest = hashlib.sha256(body.entries).digest()
    keys = await asyncio.to_thread(Keys.of, entries.refs.reshape(-1, REF_BYTES))
    if len(keys.first) * REF_BYTES != entries.refs.size:
        raise UsageError("a ref occurs twice in the map", code="repeated_ref", hint="the map was refused whole")

    def claimed(conn: Connection) -> tuple[int, refs.Held]:
        return _maps(conn, study, caller), refs.claimed(conn, study.name, caller.name, keys)

    # Looked for before the transaction, which need not wait for it unless another map came meanwhile.
    before, known = await context.db.read(claimed)

    def effect(conn: Connection) -> int:
        earlier = conn.execute("SELECT digest, records FROM map WHERE upload = ?", (receipt.upload,)).fetchone()
        if earlier is not None:
            if earlier[0] != digest:
                raise ConflictError("this upload has another map already", code="map_exists")
            return int(earlier[1])
        ledger.require_newer(conn, study.name, caller.name, receipt.sequence)
        receipt_keys.learn(context, conn, caller.name, request, fresh)
        serials = serials_of(context, conn, domain, tags, "the map", lambda at: f"record {at + 1}")
        own_duplicates.require_current(conn, domain.id, serials)
        held = known if _maps(conn, study, caller) == before else claimed(conn)[1]
        again = pairs.mapped(conn, domain.id, serials)
        had = refs.of(conn, domain.id, again, study.version)
        retired = _apply_refs(conn, study, domain, serials, entries, receipt, keys, held, had)
        pairs.touch(conn, domain.id, again)
        _note_mapped(conn, domain.id, serials, entries.decoys)
        conn.execute(
            "INSERT INTO map VALUES (?,?,?,?,?,?)",
            (receipt.upload, study.name, caller.name, receipt.root, len(serials), digest),
        )
        retiring.tell_before(conn, study.name, keys)
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


def _note_mapped(conn: Connection, domain: int, serials: Sequence[int], decoys: Sequence[int]) -> None:
    query = (
        "UPDATE record SET state = CASE state WHEN 'unlinked' THEN 'mapped' ELSE state END, decoy = ?"
        " WHERE domain = ? AND serial IN {values} RETURNING 1"
    )
    for flag in set(decoys):
        mine = sorted(serial for serial, decoy in zip(serials, decoys, strict=True) if decoy == flag)
        for _ in select_in(conn, query, (flag, domain), mine):
            pass


def _apply_refs(
    conn: Connection,
    study: StudyRow,
    domain: DomainRow,
    serials: Sequence[int],
    entries: Entries,
    receipt: Receipt,
    keys: Keys,
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
        keys: the refs of the map.
        known: those of its refs that records have already.
        had: by serial, the packed refs that its records have.
    """
    table = refs.in_order(entries.refs)
    again = [place for place, serial in enumerate(serials) if serial in had] if had else []
    changed: dict[int, tuple[bytes, bytes]] = {}
    retired: list[bytes] = []
    order = np.argsort(np.array(serials))  # neighbours share pages of the tables
    order = order[~np.isin(order, again)] if again else order
    first = table[order]
    brought = [first.reshape(-1, REF_BYTES)]
    for place in again:
        serial, gets = serials[place], table[place].tobytes()
        if had[serial] != gets:
            changed[serial] = (had[serial], gets)
            retired += set(refs.cut(had[serial])) - set(refs.cut(gets))
            brought.append(refs.split(b"".join(set(refs.cut(gets)) - set(refs.cut(had[serial])))))
    fresh = Keys.of(np.concatenate(brought)) if again else keys
    if len(fresh.first) != receipt.rows or refs_root(refs.packed(fresh)).hex() != receipt.root:
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
    refs.add(conn, domain.id, study.version, [serials[place] for place in order.tolist()], first)
    return retired
