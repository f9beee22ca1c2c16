"""Practices come in through a site that sponsors them: a one-time code, and a card of their own.

The sponsor passes the study secret on to them as members do (`secret_relay`).

The centre sees neither the study secret nor a patient. It keeps a hash of the code: 128 random bits need no slow one.
Every refusal of a code is the same, whatever is wrong with it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from keys import cards
from keys.errors import KeysError
from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.auth.scopes import Scope
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, PolicyError, UsageError_
from trustcenter.messages.api import enrolment as api
from trustcenter.store import Connection, Migration

from . import domains, secret_relay, studies
from . import policy as policies
from .context import Context

MIGRATIONS: Final = (
    Migration(
        number=550,
        name="sponsors and enrolments",
        sql="""
        CREATE TABLE sponsor (
            study TEXT NOT NULL REFERENCES study(name),
            site TEXT NOT NULL REFERENCES site(name),
            practices INTEGER NOT NULL,   -- how many it may enrol
            PRIMARY KEY (study, site)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE enrolment (
            id TEXT PRIMARY KEY,
            study TEXT NOT NULL REFERENCES study(name),
            sponsor TEXT NOT NULL REFERENCES site(name),
            site TEXT NOT NULL,           -- may not exist yet
            kind TEXT NOT NULL,
            title TEXT NOT NULL,
            deduplicated INTEGER NOT NULL,
            hash BLOB NOT NULL UNIQUE,    -- SHA-256 of the code
            created TEXT NOT NULL,
            expires TEXT NOT NULL,
            used TEXT,
            revoked TEXT,
            public_key TEXT,
            sealed BLOB
        ) STRICT;
        CREATE INDEX enrolment_site ON enrolment (site);
        """,
    ),
)

_TOKEN_DAYS: Final = 365
_MARK: Final = "tce1-"
_COLUMNS: Final = "id, study, sponsor, site, kind, title, deduplicated, created, expires, used, revoked"


@dataclass(frozen=True)
class _Row:
    id: str
    study: str
    sponsor: str
    site: str
    kind: str
    title: str
    deduplicated: int
    created: str
    expires: str
    used: str | None
    revoked: str | None


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


async def allow(context: Context, caller: Principal, request: str, name: str, body: api.Sponsor) -> api.Sponsor:
    """Let a site of a study enrol practices.

    Raises:
        NotFoundError: no such study, or the site does not take part.
    """

    def effect(conn: Connection) -> api.Sponsor:
        studies.find(conn, name)
        if conn.execute("SELECT 1 FROM participant WHERE study = ? AND site = ?", (name, body.site)).fetchone() is None:
            raise NotFoundError("this site does not take part in the study", code="unknown_participant", where="site")
        conn.execute(
            "INSERT INTO sponsor VALUES (?,?,?) ON CONFLICT (study, site) DO UPDATE SET practices = excluded.practices",
            (name, body.site, body.practices),
        )
        context.audit(
            conn, Event.ENROLMENT_ALLOW, caller.name, request, study=name, site=body.site, practices=body.practices
        )
        return body

    return await context.db.write(effect)


async def create(
    context: Context, caller: Principal, request: str, name: str, body: api.EnrolmentCreate
) -> api.EnrolmentCode:
    """Make a code for a practice.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError: the study takes no data, or the caller may enrol no more practices.
        ConflictError: the name belongs to a site that this sponsor did not enrol here.
    """
    code = _MARK + base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
    enrolment = secrets.token_hex(16)

    def effect(conn: Connection) -> api.EnrolmentCode:
        study = studies.find(conn, name, caller)
        studies.require_open(context, study)
        studies.require_member(conn, study, caller.name)
        now = context.clock()
        _require_name(conn, name, caller.name, body.site)
        others = conn.execute(
            "SELECT COUNT(DISTINCT site) FROM enrolment WHERE study = ? AND sponsor = ?"
            " AND (used IS NOT NULL OR (revoked IS NULL AND expires > ?)) AND site <> ?",
            (name, caller.name, stamp(now), body.site),
        ).fetchone()[0]
        if others >= _allowed(conn, name, caller.name):
            raise PolicyError(
                "this site may enrol no further practice in this study",
                code="not_a_sponsor",
                hint="an operator allows it: trustcenter practice allow",
            )
        # A second code for one practice makes the first worthless.
        conn.execute(
            "UPDATE enrolment SET revoked = ? WHERE study = ? AND site = ? AND used IS NULL AND revoked IS NULL",
            (stamp(now), name, body.site),
        )
        expires = stamp(now + timedelta(days=body.days))
        conn.execute(
            "INSERT INTO enrolment (id, study, sponsor, site, kind, title, deduplicated, hash, created, expires)"
            " VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                *(enrolment, name, caller.name, body.site, body.kind, body.title, int(body.deduplicated)),
                *(_digest(code), stamp(now), expires),
            ),
        )
        context.audit(
            conn, Event.ENROLMENT_CREATE, caller.name, request, study=name, site=body.site, enrolment=enrolment
        )
        return api.EnrolmentCode(enrolment=enrolment, site=body.site, code=code, expires=expires)

    return await context.db.write(effect)


def _require_name(conn: Connection, study: str, sponsor: str, site: str) -> None:
    known = conn.execute("SELECT 1 FROM site WHERE name = ?", (site,)).fetchone()
    own = conn.execute(
        "SELECT 1 FROM enrolment WHERE site = ? AND study = ? AND sponsor = ? AND used IS NOT NULL",
        (site, study, sponsor),
    ).fetchone()
    waiting = conn.execute(
        "SELECT 1 FROM enrolment WHERE site = ? AND (sponsor <> ? OR study <> ?) AND used IS NULL AND revoked IS NULL",
        (site, sponsor, study),
    ).fetchone()
    if (known and not own) or waiting:
        raise ConflictError("this name is taken", code="site_name_taken", hint="choose another", where="site")


def _allowed(conn: Connection, study: str, site: str) -> int:
    row = conn.execute("SELECT practices FROM sponsor WHERE study = ? AND site = ?", (study, site)).fetchone()
    return int(row[0]) if row else 0


async def listing(context: Context, caller: Principal, name: str) -> api.Enrolments:
    """The enrolments of a study: a site sees its own, an operator all."""

    def query(conn: Connection) -> api.Enrolments:
        studies.find(conn, name, caller)
        clause, values = (" AND sponsor = ?", (caller.name,)) if caller.is_site else ("", ())
        rows = conn.execute(
            f"SELECT {_COLUMNS} FROM enrolment WHERE study = ?{clause} ORDER BY created, id",  # noqa: S608 - constants
            (name, *values),
        ).fetchall()
        allowed = _allowed(conn, name, caller.name) if caller.is_site else 0
        now = stamp(context.clock())
        return api.Enrolments(enrolments=[_describe(conn, _Row(*row), now) for row in rows], allowed=allowed)

    return await context.db.read(query)


def _describe(conn: Connection, row: _Row, now: str) -> api.Enrolment:
    card, sealed = secret_relay.reached(conn, row.study, row.site) if row.used and not row.revoked else (None, False)
    state = "revoked" if row.revoked else "used" if row.used else "expired" if row.expires <= now else "waiting"
    return api.Enrolment(
        enrolment=row.id,
        study=row.study,
        sponsor=row.sponsor,
        site=row.site,
        title=row.title,
        state=state,
        created=row.created,
        expires=row.expires,
        used=row.used,
        card=card,
        sealed=sealed,
    )


def _own(conn: Connection, study: str, caller: Principal, enrolment: str) -> _Row:
    """An enrolment that the caller sponsors; an operator's are all.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM enrolment WHERE study = ? AND id = ?",  # noqa: S608 - a constant
        (study, enrolment),
    ).fetchone()
    if row is None or (caller.is_site and row[2] != caller.name):
        raise NotFoundError("there is no such enrolment", code="unknown_enrolment")
    return _Row(*row)


async def revoke(context: Context, caller: Principal, request: str, name: str, enrolment: str) -> None:
    """Make a code worthless; of a practice that used it, its tokens too, at once.

    Raises:
        NotFoundError: no such study or enrolment.
    """

    def effect(conn: Connection) -> None:
        studies.find(conn, name, caller)
        row = _own(conn, name, caller, enrolment)
        now = stamp(context.clock())
        conn.execute("UPDATE enrolment SET revoked = COALESCE(revoked, ?) WHERE id = ?", (now, row.id))
        if row.used and not row.revoked:
            conn.execute("UPDATE token SET revoked = ? WHERE site = ? AND revoked IS NULL", (now, row.site))
            secret_relay.forget_member(conn, name, row.site)
        context.audit(conn, Event.ENROLMENT_REVOKE, caller.name, request, study=name, site=row.site, enrolment=row.id)

    try:
        await context.db.write(effect)
    finally:
        context.directory.cache.clear()


async def redeem(context: Context, request: str, body: api.EnrolmentRedeem) -> api.Enrolled:
    """A practice comes in: it becomes a site of the study, and gets its token.

    Raises:
        PolicyError: no code that is valid now, or the study takes no data any more.
        UsageError_: not a card, or another site's.
    """
    try:
        card = cards.parse_card(body.card)
    except KeysError:
        raise UsageError_("the card cannot be read", code="bad_card", where="card") from None

    def check(conn: Connection) -> _Row:
        row = conn.execute(
            f"SELECT {_COLUMNS} FROM enrolment WHERE hash = ? AND used IS NULL AND revoked IS NULL AND expires > ?",  # noqa: S608 - a constant
            (_digest(body.code), stamp(context.clock())),
        ).fetchone()
        if row is None:
            raise PolicyError(
                "this is no valid enrolment code",
                code="invalid_enrolment_code",
                hint="codes work once and expire; ask your sponsoring site for a new one",
            )
        found = _Row(*row)
        if found.site != card.name:
            raise UsageError_("a site publishes a card of its own name only", code="bad_card", where="card")
        studies.require_open(context, studies.find(conn, found.study))
        return found

    first = await context.db.read(check)  # before keys are made: strangers must not fill the key store
    study = await context.db.read(lambda conn: studies.find(conn, first.study))
    new = domains.NewDomain(
        studies.site_domain(first.study, first.site),
        domains.new_uuid(),
        "study-site",
        first.site,
        first.study,
        policy=replace(policies.ORDINARY, consent=study.consent),
    )
    await context.make_keys(list(domains.key_ids(new.uuid)))

    def effect(conn: Connection) -> api.Enrolled:
        row = check(conn)  # again: two requests with one code may be under way
        now = stamp(context.clock())
        if conn.execute("SELECT 1 FROM site WHERE name = ?", (row.site,)).fetchone() is None:
            context.directory.add_site(conn, row.site, row.kind, row.title)
            domain = domains.insert(context, conn, new)
            conn.execute(
                "INSERT INTO participant (study, site, deduplicated, domain) VALUES (?,?,?,?)",
                (row.study, row.site, row.deduplicated, domain),
            )
            studies.announce(conn, studies.find(conn, row.study))
            context.ring.note_generation(conn)
        else:
            conn.execute("UPDATE token SET revoked = ? WHERE site = ? AND revoked IS NULL", (now, row.site))
            secret_relay.forget_member(conn, row.study, row.site)
        conn.execute("UPDATE enrolment SET used = ? WHERE id = ?", (now, row.id))
        secret_relay.keep_card(conn, row.study, card, now)
        scope = Scope.of(None, [Operation.STUDY])
        issued = context.directory.issue_token(conn, site=row.site, days=_TOKEN_DAYS, scope=scope)
        context.audit(
            conn,
            Event.ENROLMENT_REDEEM,
            row.site,
            request,
            study=row.study,
            site=row.site,
            enrolment=row.id,
            key=card.fingerprint,
            token=issued.token_id,
        )
        return api.Enrolled(
            enrolment=row.id,
            site=row.site,
            study=row.study,
            sponsor=row.sponsor,
            token=issued.token,
            expires=issued.expires,
        )

    try:
        return await context.db.write(effect)
    finally:
        context.directory.cache.clear()
