"""Studies: participants, recipients and the linkage parameters that are frozen with their version."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import date

import msgspec

from linkage import schema as schemas
from trustcenter.auth import Principal
from trustcenter.errors import NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.messages.consent import codes
from trustcenter.messages.rooms import Params
from trustcenter.registrar import domains
from trustcenter.registrar.context import Context
from trustcenter.registrar.linking import outbox
from trustcenter.store import Connection

from . import study_states


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
    lead: str | None = None


def site_domain(study: str, site: str) -> str:
    """Name of a (study, site) domain; the dot keeps it apart from domains that an operator names."""
    return f"{study}.{site}"


def recipient_domain(study: str, recipient: str) -> str:
    """Name of a (study, recipient) domain."""
    return f"{study}.recipient.{recipient}"


def announce(conn: Connection, study: StudyRow) -> None:
    """Tell the comparator of a study that opens, of a source that joins, or of a new version."""
    outbox.put(conn, "params", current_params(conn, study))


def current_params(conn: Connection, study: StudyRow) -> Params:
    """What the comparator is told about a study as it is now (M0)."""
    rows = conn.execute("SELECT site, left_with FROM participant WHERE study = ?", (study.name,)).fetchall()
    return params(study, [site for site, _ in rows], [site for site, gone in rows if gone is not None])


def params(study: StudyRow, sites: list[str], former: list[str]) -> Params:
    """What the comparator is told about a study version (M0); `former` are sites that were removed."""
    return Params(
        study=study.name,
        version=study.version,
        fingerprint=study.fingerprint,
        passes=study.passes,
        levels=list(study.levels),
        caps=list(schemas.load(study.schema).caps),
        minimum_rows=study.minimum_batch * study.passes,
        sources=sorted(sites),
        former=sorted(former),
        lead=study.lead,
    )


def find(conn: Connection, name: str, caller: Principal | None = None) -> StudyRow:
    """A study by name; for a site only where it takes part.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    row = conn.execute(
        "SELECT name, version, purpose, permit, schema, fingerprint, passes, levels, minimum_batch, valid_until,"
        " state, created, consent, settings, shift_scope, closed, purged, lead FROM study WHERE name = ?",
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


def require_member(conn: Connection, study: StudyRow, site: str) -> None:
    """Refuse data of a site that was removed from a study. What it brought before stays its own to read.

    Raises:
        PolicyError: it was removed.
    """
    query = "SELECT left_with FROM participant WHERE study = ? AND site = ?"
    row = conn.execute(query, (study.name, site)).fetchone()
    if row is not None and row[0] is not None:
        raise PolicyError(
            "this site takes no part in the study any more",
            code="site_removed",
            hint="its pseudonyms and results can still be read",
        )


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
        "SELECT p.site, p.deduplicated, d.name, s.kind, p.left_with FROM participant p JOIN domain d ON d.id = p.domain"
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
            api.Participant(site=site, deduplicated=bool(dedup), kind=api.SiteKind(kind), left_with=left_with)
            for site, dedup, _, kind, left_with in rows
        ],
        recipients=[api.Recipient(name=name, public_key=key) for name, key in recipients],
        valid_until=study.valid_until,
        state=study.state,
        domains={site: domain for site, _, domain, *_ in rows if not caller.is_site or site == caller.name},
        separation=context.separation,
        created=study.created,
        consent=codes(study.consent),
        settings=study.settings,
        purged=study.purged,
        lead=study.lead,
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


def open_to(context: Context, conn: Connection, name: str, caller: Principal) -> tuple[StudyRow, domains.DomainRow]:
    """A study that takes data of the caller now, and the caller's domain in it.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError: it takes none, or none of the caller's any more.
    """
    study = find(conn, name, caller)
    require_open(context, study)
    require_member(conn, study, caller.name)
    return study, participation(conn, study, caller)


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
