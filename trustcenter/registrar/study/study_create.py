"""Creating a study: its domains, its keys and the first version of its parameters."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec

from keys import hybrid
from keys.errors import KeysError
from keys.ids import KeyId, Purpose, domain_scope
from keys.states import KeyState
from linkage import schema as schemas
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, UsageError
from trustcenter.messages import api
from trustcenter.registrar import domain_create
from trustcenter.registrar import policy as policies
from trustcenter.registrar.context import Context
from trustcenter.registrar.pseudonyms import layout
from trustcenter.store import Connection

from . import study_checks, study_versions
from .studies import announce, describe, find, recipient_domain, site_domain


def _check(body: api.StudyCreate) -> None:
    sites = [participant.site for participant in body.participants]
    recipients = [recipient.name for recipient in body.recipients]
    for what, names in (("participant", sites), ("recipient", recipients)):
        if len(set(names)) != len(names):
            raise UsageError(f"a {what} is named twice", code=f"duplicate_{what}", where=f"{what}s")
    if body.lead is not None and body.lead not in sites:
        raise UsageError("the lead site takes part in the study", code="unknown_participant", where="lead")
    for position, recipient in enumerate(body.recipients):
        try:
            hybrid.fingerprint(recipient.public_key)
        except KeysError:
            raise UsageError(
                "a recipient's public key cannot be read",
                code="bad_public_key",
                hint="paste the whole line that trustcenter recipient keygen printed",
                where=f"recipient {position + 1}",
            ) from None
    study_checks.day("valid_until", body.valid_until)


async def create(context: Context, caller: Principal, request: str, body: api.StudyCreate) -> api.Study:
    """Create a study with a fresh domain per participant and per recipient.

    Raises:
        UsageError: a name twice, an unreadable recipient key, an unknown schema.
        NotFoundError: a participant is no site of this instance.
        ConflictError: the name is taken.
    """
    _check(body)
    settings = study_checks.settings(body.settings)
    if body.schema not in schemas.shipped():  # never a path: the name comes over the wire
        raise UsageError(
            "there is no shipped schema of this name",
            code="unknown_schema",
            hint="trustcenter linkage schema lists them",
            where="schema",
        )
    schema = schemas.load(body.schema)
    consent = domain_create.required_policies(body.consent)
    policy = replace(policies.ORDINARY, consent=consent)
    new = [
        domain_create.NewDomain(
            site_domain(body.name, p.site), domain_create.new_uuid(), "study-site", p.site, body.name, policy=policy
        )
        for p in body.participants
    ] + [
        domain_create.NewDomain(
            recipient_domain(body.name, r.name),
            domain_create.new_uuid(),
            "study-recipient",
            None,
            body.name,
            r.name,
        )
        for r in body.recipients
    ]
    names = [participant.site for participant in body.participants]

    def precheck(conn: Connection) -> None:
        context.directory.require_sites(conn, names)
        study_checks.approvers(context, conn, body.settings.approvers)
        if conn.execute("SELECT 1 FROM study WHERE name = ?", (body.name,)).fetchone():
            raise ConflictError(
                "a study of this name exists already", code="study_exists", hint="trustcenter study list"
            )

    await context.db.read(precheck)
    shift = KeyId(domain_scope(domain_create.new_uuid()), Purpose.LOOKUP, layout.LOOKUP_VERSION)
    await context.make_keys([shift, *(key for domain in new for key in domain_create.key_ids(domain.uuid))])

    def effect(conn: Connection) -> api.Study:
        precheck(conn)
        conn.execute(
            "INSERT INTO study (name, version, purpose, permit, schema, fingerprint, passes, levels, minimum_batch,"
            " valid_until, state, created, consent, settings, shift_scope, lead)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                body.name,
                1,
                body.purpose,
                body.permit,
                schema.name,
                schema.fingerprint,
                schema.P,
                json.dumps(list(schema.levels)),
                body.minimum_batch,
                body.valid_until,
                "draft" if body.draft else "open",
                stamp(context.clock()),
                json.dumps(consent) if consent else None,
                msgspec.json.encode(settings).decode(),
                shift.scope,
                body.lead or names[0],
            ),
        )
        rows = [domain_create.insert(context, conn, domain) for domain in new]
        for participant, row in zip(body.participants, rows, strict=False):
            conn.execute(
                "INSERT INTO participant (study, site, deduplicated, domain) VALUES (?,?,?,?)",
                (body.name, participant.site, int(participant.deduplicated), row),
            )
        for recipient, row in zip(body.recipients, rows[len(body.participants) :], strict=True):
            conn.execute(
                "INSERT INTO recipient VALUES (?,?,?,?)",
                (body.name, recipient.name, recipient.public_key, row),
            )
        study_versions.keep(context, conn, find(conn, body.name), "created")
        context.ring.add(conn, shift, KeyState.ACTIVE)
        context.ring.note_generation(conn)
        if not body.draft:
            announce(conn, find(conn, body.name))
        context.audit(
            conn,
            Event.STUDY_CREATE,
            caller.name,
            request,
            study=body.name,
            version=1,
            schema=schema.name,
            fingerprint=schema.fingerprint,
            sites=names,
            lead=body.lead or names[0],
            recipients=[{"name": r.name, "key": hybrid.fingerprint(r.public_key)} for r in body.recipients],
            separation=context.separation,
            purpose=body.purpose,
            permit=body.permit,
            **({"consent": " ".join(map(str, consent))} if consent else {}),
        )
        return describe(context, conn, find(conn, body.name), caller)

    return await context.db.write(effect)
