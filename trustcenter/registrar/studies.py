"""Studies: participants, recipients and the linkage parameters that are frozen with their version."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import date

import msgspec

from keys import hybrid
from keys.errors import KeysError
from keys.ids import KeyId, Purpose, domain_scope
from keys.states import KeyState
from linkage import schema as schemas
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, PolicyError, UsageError_
from trustcenter.messages import api
from trustcenter.messages.consent import codes
from trustcenter.messages.rooms import Params
from trustcenter.store import Connection

from . import domains, issue, outbox, study_states
from . import policy as policies
from .context import Context


@dataclass(frozen=True)
class StudyRow:
    """A study as stored."""

    name: str
    version: int
    purpose: str
    permit: str
    schema: str
    fingerprint: str
    passes: int
    levels: tuple[int, ...]
    minimum_batch: int
    valid_until: str | None
    state: str
    created: str
    consent: tuple[int, ...] = ()  # numbers of the policies that every record needs
    settings: api.StudySettings = field(default_factory=api.StudySettings)
    shift_scope: str | None = None
    closed: str | None = None
    purged: str | None = None


def site_domain(study: str, site: str) -> str:
    """Name of a (study, site) domain; the dot keeps it apart from domains that an operator names."""
    return f"{study}.{site}"


def recipient_domain(study: str, recipient: str) -> str:
    """Name of a (study, recipient) domain."""
    return f"{study}.recipient.{recipient}"


def _check(body: api.StudyCreate) -> None:
    sites = [participant.site for participant in body.participants]
    recipients = [recipient.name for recipient in body.recipients]
    for what, names in (("participant", sites), ("recipient", recipients)):
        if len(set(names)) != len(names):
            raise UsageError_(f"a {what} is named twice", code=f"duplicate_{what}", where=f"{what}s")
    for position, recipient in enumerate(body.recipients):
        try:
            hybrid.fingerprint(recipient.public_key)
        except KeysError:
            raise UsageError_(
                "a recipient's public key cannot be read",
                code="bad_public_key",
                hint="paste the whole line that trustcenter recipient keygen printed",
                where=f"recipient {position + 1}",
            ) from None
    days = {"valid_until": body.valid_until}
    days |= {"valid_from": body.settings.valid_from, "retain_until": body.settings.retain_until}
    for name, day in days.items():
        if day is None:
            continue
        try:
            date.fromisoformat(day)
        except ValueError:
            raise UsageError_(f"{name} is not a day of the calendar", where=name) from None
    if body.settings.lower >= body.settings.upper:
        raise UsageError_("the lower bound of doubtful pairs is not below the upper one", where="settings.lower")
    if body.settings.approvers and len(set(body.settings.approvers)) < body.settings.approvals:
        raise UsageError_("fewer approvers are named than have to approve", where="settings.approvers")


async def create(context: Context, caller: Principal, request: str, body: api.StudyCreate) -> api.Study:
    """Create a study with a fresh domain per participant and per recipient.

    Raises:
        UsageError_: a name twice, an unreadable recipient key, an unknown schema.
        NotFoundError: a participant is no site of this instance.
        ConflictError: the name is taken.
    """
    _check(body)
    if body.schema not in schemas.shipped():  # never a path: the name comes over the wire
        raise UsageError_(
            "there is no shipped schema of this name",
            code="unknown_schema",
            hint="trustcenter linkage schema lists them",
            where="schema",
        )
    schema = schemas.load(body.schema)
    consent = domains.required_policies(body.consent)
    policy = replace(policies.ORDINARY, consent=consent)
    new = [
        domains.NewDomain(
            site_domain(body.name, p.site), domains.new_uuid(), "study-site", p.site, body.name, policy=policy
        )
        for p in body.participants
    ] + [
        domains.NewDomain(
            recipient_domain(body.name, r.name),
            domains.new_uuid(),
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
        _require_approvers(context, conn, body.settings.approvers)
        if conn.execute("SELECT 1 FROM study WHERE name = ?", (body.name,)).fetchone():
            raise ConflictError(
                "a study of this name exists already", code="study_exists", hint="trustcenter study list"
            )

    await context.db.read(precheck)
    shift = KeyId(domain_scope(domains.new_uuid()), Purpose.LOOKUP, issue.LOOKUP_VERSION)
    await context.make_keys([shift, *(key for domain in new for key in domains.key_ids(domain.uuid))])

    def effect(conn: Connection) -> api.Study:
        precheck(conn)
        conn.execute(
            "INSERT INTO study (name, version, purpose, permit, schema, fingerprint, passes, levels, minimum_batch,"
            " valid_until, state, created, consent, settings, shift_scope) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
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
                msgspec.json.encode(body.settings).decode(),
                shift.scope,
            ),
        )
        rows = [domains.insert(context, conn, domain) for domain in new]
        for participant, row in zip(body.participants, rows, strict=False):
            conn.execute(
                "INSERT INTO participant VALUES (?,?,?,?)",
                (body.name, participant.site, int(participant.deduplicated), row),
            )
        for recipient, row in zip(body.recipients, rows[len(body.participants) :], strict=True):
            conn.execute(
                "INSERT INTO recipient VALUES (?,?,?,?)",
                (body.name, recipient.name, recipient.public_key, row),
            )
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
            recipients=[{"name": r.name, "key": hybrid.fingerprint(r.public_key)} for r in body.recipients],
            separation=context.separation,
            purpose=body.purpose,
            permit=body.permit,
            **({"consent": " ".join(map(str, consent))} if consent else {}),
        )
        return describe(context, conn, find(conn, body.name), caller)

    return await context.db.write(effect)


def _require_approvers(context: Context, conn: Connection, names: list[str]) -> None:
    known = {name for name, role, _, _ in context.directory.staff(conn) if role == api.StaffRole.APPROVER}
    for position, name in enumerate(names):
        if name not in known:
            raise NotFoundError(
                "there is no approver of this name",
                hint="trustcenter staff list shows the people",
                where=f"approver {position + 1}",
            )


def announce(conn: Connection, study: StudyRow) -> None:
    """Tell the comparator of a study that opens."""
    rows = conn.execute("SELECT site FROM participant WHERE study = ?", (study.name,))
    outbox.put(conn, "params", params(study, [site for (site,) in rows]))


def settings_hash(settings: api.StudySettings) -> str:
    """SHA-256 over the settings of a study version, for the log."""
    return hashlib.sha256(msgspec.json.encode(settings, order="sorted")).hexdigest()


def params(study: StudyRow, sites: list[str]) -> Params:
    """What the comparator is told about a study (M0)."""
    return Params(
        study=study.name,
        version=study.version,
        fingerprint=study.fingerprint,
        passes=study.passes,
        levels=list(study.levels),
        caps=list(schemas.load(study.schema).caps),
        minimum_rows=study.minimum_batch * study.passes,
        sources=sorted(sites),
    )


def find(conn: Connection, name: str, caller: Principal | None = None) -> StudyRow:
    """A study by name; for a site only where it takes part.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    row = conn.execute(
        "SELECT name, version, purpose, permit, schema, fingerprint, passes, levels, minimum_batch, valid_until,"
        " state, created, consent, settings, shift_scope, closed, purged FROM study WHERE name = ?",
        (name,),
    ).fetchone()
    if row is not None and caller is not None and caller.is_site:
        takes_part = conn.execute(
            "SELECT 1 FROM participant WHERE study = ? AND site = ?", (name, caller.name)
        ).fetchone()
        row = row if takes_part else None
    if row is None:
        raise NotFoundError(
            "there is no such study, or you do not take part in it",
            code="unknown_study",
            hint="trustcenter study list shows the studies that you may use",
        )
    values = list(row)
    values[7] = tuple(json.loads(values[7]))
    values[12] = tuple(json.loads(values[12] or "[]"))
    values[13] = msgspec.json.decode(values[13] or b"{}", type=api.StudySettings)
    return StudyRow(*values)


def require_open(context: Context, study: StudyRow) -> None:
    """Refuse data for a study that is not open, or outside its period.

    Raises:
        PolicyError: it is no state for data, or before its first or past its last day.
    """
    study_states.require(study.state, study_states.Act.DATA)
    today = context.clock().date()
    if study.settings.valid_from is not None and today < date.fromisoformat(study.settings.valid_from):
        raise PolicyError(
            "this study's period has not begun",
            code="study_not_begun",
            hint="trustcenter study show names its first day",
        )
    if study.valid_until is not None and today > date.fromisoformat(study.valid_until):
        raise PolicyError(
            "this study takes no more data",
            code="study_closed",
            hint="its period is over; an operator creates a new study with a new permit",
        )


def describe(context: Context, conn: Connection, study: StudyRow, caller: Principal) -> api.Study:
    """A study as the caller may see it: a site does not see the domains of others."""
    rows = conn.execute(
        "SELECT p.site, p.deduplicated, d.name, s.kind FROM participant p JOIN domain d ON d.id = p.domain"
        " JOIN site s ON s.name = p.site WHERE p.study = ? ORDER BY p.site",
        (study.name,),
    ).fetchall()
    recipients = conn.execute(
        "SELECT name, public_key FROM recipient WHERE study = ? ORDER BY name", (study.name,)
    ).fetchall()
    return api.Study(
        name=study.name,
        version=study.version,
        purpose=study.purpose,
        permit=study.permit,
        schema=study.schema,
        fingerprint=study.fingerprint,
        passes=study.passes,
        levels=list(study.levels),
        minimum_batch=study.minimum_batch,
        participants=[
            api.Participant(site=site, deduplicated=bool(dedup), kind=api.SiteKind(kind))
            for site, dedup, _, kind in rows
        ],
        recipients=[api.Recipient(name=name, public_key=key) for name, key in recipients],
        valid_until=study.valid_until,
        state=study.state,
        domains={site: domain for site, _, domain, _ in rows if not caller.is_site or site == caller.name},
        separation=context.separation,
        created=study.created,
        consent=codes(study.consent),
        settings=study.settings,
        purged=study.purged,
    )


async def show(context: Context, caller: Principal, name: str) -> api.Study:
    """One study. Raises NotFoundError where the caller may not see it."""
    return await context.db.read(lambda conn: describe(context, conn, find(conn, name, caller), caller))


async def list_studies(context: Context, caller: Principal) -> api.Studies:
    """The studies that the caller may see."""

    def query(conn: Connection) -> list[api.Study]:
        clause, values = (
            (" WHERE name IN (SELECT study FROM participant WHERE site = ?)", (caller.name,))
            if caller.is_site
            else ("", ())
        )
        names = [row[0] for row in conn.execute(f"SELECT name FROM study{clause} ORDER BY name", values)]  # noqa: S608
        return [describe(context, conn, find(conn, name, caller), caller) for name in names]

    return api.Studies(studies=await context.db.read(query))


def participation(conn: Connection, study: StudyRow, caller: Principal) -> domains.DomainRow:
    """The caller's own domain in a study."""
    row = conn.execute(
        "SELECT domain FROM participant WHERE study = ? AND site = ?", (study.name, caller.name)
    ).fetchone()
    return domains.by_id(conn, row[0])


def parameters_hash(study: StudyRow) -> str:
    """SHA-256 over what decides how records are compared in this study version."""
    frozen = {
        "study": study.name,
        "version": study.version,
        "fingerprint": study.fingerprint,
        "passes": study.passes,
        "levels": list(study.levels),
        "bounds": [study.settings.lower, study.settings.upper],
    }
    return hashlib.sha256(msgspec.json.encode(frozen, order="sorted")).hexdigest()
