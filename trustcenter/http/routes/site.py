"""Operations of sites: pseudonyms, translation, registration, uploads, maps, results."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Sequence

from trustcenter.comparator import chunks, uploads
from trustcenter.errors import UsageError
from trustcenter.http import row_forms
from trustcenter.http.calls import OPERATOR, SITE, Answer, Call, Form, Lines, Route
from trustcenter.messages import api
from trustcenter.messages.carried import Settlement
from trustcenter.messages.receipts import Receipt
from trustcenter.registrar import domains
from trustcenter.registrar.pseudonyms import crossing, operations, translate
from trustcenter.registrar.study import own_duplicates, records, records_read

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


async def domain_list(call: Call) -> Answer:
    context = call.instance.registrar
    return await context.db.read(
        lambda conn: api.Domains(
            domains=[domains.describe(context, conn, row) for row in domains.visible(conn, call.principal)]
        )
    )


async def domain_show(call: Call) -> Answer:
    context, name = call.instance.registrar, call.segment("domain")
    return await context.db.read(lambda conn: domains.describe(context, conn, domains.find(conn, name, call.principal)))


async def pseudonymize(call: Call) -> Answer:
    return await operations.pseudonymize(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body
    )


async def translate_batch(call: Call) -> Answer:
    if call.body.into is not None:
        return await crossing.translate_into(
            call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body
        )
    return await translate.translate(
        call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body.pseudonyms
    )


async def translation_map(call: Call) -> Answer:
    version = call.integer("from_version", call.query.get("from_version"), 1, 255)
    batches = translate.translation_map(
        call.instance.registrar,
        call.principal,
        call.request_id,
        call.segment("domain"),
        version,
        call.integer("after", call.query.get("after", "0"), 0, 999_999_999),
    )

    async def lines() -> AsyncIterator[Sequence[api.Translation]]:
        async for batch in batches:
            yield [api.Translation(old=old, new=new) for old, new in batch]

    return Lines(lines())


async def register(call: Call) -> Answer:
    return await records.register(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )


async def own_refs(call: Call) -> Answer:
    batches = records_read.own_refs(call.instance.registrar, call.principal, call.segment("study"))

    async def lines() -> AsyncIterator[Sequence[api.RecordRefs]]:
        async for batch in batches:
            yield [api.RecordRefs(record_number=number.hex(), refs=refs) for number, refs in batch]

    return Lines(lines())


async def upload_open(call: Call) -> Answer:
    study = call.segment("study")
    if call.instance.registrar_room is not None:
        await call.linking.deliver()  # what the comparator is to know of the study
        await uploads.require_openable(call.instance.comparator, call.principal.name, study, call.body)
        await call.linking.settle(call.principal, study)
    return await uploads.open_upload(call.instance.comparator, call.principal.name, study, call.body)


async def upload_settle(call: Call) -> Answer:
    return Settlement(order=await call.linking.settle(call.principal, call.segment("study")))


async def upload_chunk(call: Call) -> Answer:
    match = _DIGEST.fullmatch(call.headers.get("Content-Digest", ""))
    if match is None:
        raise UsageError(
            "every chunk carries its digest",
            code="digest_needed",
            hint="Content-Digest: sha-256=:BASE64: (RFC 9530)",
            where="Content-Digest",
        )
    room, digest, body = call.instance.comparator, base64.b64decode(match.group(1)), call.body
    form = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if form in row_forms.FORMS and form != row_forms.PACKED:  # packed without the header, too
        chunks.require_digest(body, digest)
        body = await row_forms.packed_apart(call.rooms.readers, body, form, room.limits.chunk_bytes)
        digest = hashlib.sha256(body).digest()  # the same rows in another form are the same chunk
    return await uploads.put_chunk(
        room,
        call.principal.name,
        call.segment("study"),
        call.segment("upload"),
        call.integer("chunk", call.path["chunk"], 0, 100_000),
        body,
        digest,
    )


async def upload_complete(call: Call) -> Answer:
    return await uploads.complete(
        call.instance.comparator, call.principal.name, call.segment("study"), call.segment("upload")
    )


async def map_accept(call: Call) -> Answer:
    return await call.linking.accept_map(call.principal, call.request_id, call.segment("study"), call.body)


async def duplicates(call: Call) -> Answer:
    study = call.segment("study")
    answer = await own_duplicates.declare(call.instance.registrar, call.principal, call.request_id, study, call.body)
    await call.linking.deliver()
    return answer


async def results(call: Call) -> Answer:
    return Lines(
        records_read.own_results(call.instance.registrar, call.principal, call.request_id, call.segment("study"))
    )


_UPLOAD = "/v1/studies/{study}/uploads"
ROUTES = (
    Route(
        "GET", "/v1/domains", "listDomains", SITE | OPERATOR, "The domains that the caller may see",
        domain_list, None, api.Domains,
    ),
    Route("GET", "/v1/domains/{domain}", "showDomain", SITE | OPERATOR, "One domain", domain_show, None, api.Domain),
    Route(
        "POST", "/v1/domains/{domain}/pseudonyms", "pseudonymize", SITE, "Create or get pseudonyms, in order",
        pseudonymize, api.PseudonymRequest, api.PseudonymAnswer, kind="issue",
        form=Form("originals", "pseudonyms", "pseudonym"),
    ),
    Route(
        "POST", "/v1/domains/{domain}/translate", "translate", SITE, "Current pseudonyms for earlier ones, or those of another domain, in order",
        translate_batch, api.TranslateRequest, api.TranslateAnswer, kind="translate",
        form=Form("pseudonyms", "pseudonyms", "pseudonym"),
    ),
    Route(
        "GET", "/v1/domains/{domain}/translations", "translationMap", SITE, "The whole map old to current, streamed",
        translation_map, None, None, api.Translation, query=("from_version", "after"), kind="translate",
    ),
    Route(
        "POST", "/v1/studies/{study}/records", "registerRecords", SITE, "Study pseudonyms of record numbers",
        register, api.RegisterRequest, api.RegisterAnswer, kind="issue",
    ),
    Route(
        "GET", "/v1/studies/{study}/records", "ownRecords", SITE, "The caller's mapped records with their refs",
        own_refs, None, None, api.RecordRefs,
    ),
    Route(
        "POST", "/v1/studies/{study}/settlements", "settleUploads", SITE, "Give up uploads without a map, before another is opened",
        upload_settle, None, Settlement,
    ),
    Route("POST", _UPLOAD, "openUpload", SITE, "Announce rows", upload_open, api.UploadOpen, api.UploadOpened, status=201),
    Route(
        "PUT", _UPLOAD + "/{upload}/chunks/{chunk}", "putChunk", SITE, "One chunk of rows",
        upload_chunk, "rows", api.ChunkStored, kind="transfer",
    ),
    Route(
        "POST", _UPLOAD + "/{upload}/complete", "completeUpload", SITE, "Close an upload, get its receipt",
        upload_complete, None, Receipt,
    ),
    Route(
        "POST", "/v1/studies/{study}/maps", "sendMap", SITE, "Which refs belong to which record",
        map_accept, api.MapUpload, api.MapAccepted,
    ),
    Route(
        "POST", "/v1/studies/{study}/duplicates", "declareDuplicates", SITE, "Own records that are one person",
        duplicates, api.DuplicateRequest, api.DuplicateAnswer,
    ),
    Route(
        "GET", "/v1/studies/{study}/results", "ownResults", SITE, "Own record numbers with their study pseudonyms",
        results, None, None, api.ResultLine,
    ),
)  # fmt: skip
