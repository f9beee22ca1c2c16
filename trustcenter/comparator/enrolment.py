"""Practices come in to a comparator of its own through the site that sponsors them, as they do at the registrar.

Each room makes a code of its own, so that neither has a credential of the other. The comparator's code is good for a
token and nothing else: that the practice is a source of the study is the registrar's word (`Params`), and that it was
turned out, too (`ShutOut`).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import timedelta
from typing import Final

from trustcenter.audit import Event
from trustcenter.auth import Directory, Operation, Principal
from trustcenter.auth.scopes import Scope
from trustcenter.clock import stamp, utc_now
from trustcenter.errors import ConflictError, NotFoundError, PolicyError
from trustcenter.messages.api import enrolment as api
from trustcenter.store import Connection, Migration

from . import sources
from .context import Context

MIGRATIONS = (
    Migration(
        number=662,
        name="sponsors and enrolments at a comparator of its own",
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
            hash BLOB NOT NULL UNIQUE,    -- SHA-256 of the code
            expires TEXT NOT NULL,
            used INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE INDEX enrolment_site ON enrolment (site);
        """,
    ),
)
_MARK: Final = "tce1-"
KEPT_DAYS: Final = 30  # that a code which nobody used is kept after its end, with the name of the practice
_TOKEN_DAYS: Final = 365


async def allow(context: Context, caller: Principal, study: str, body: api.Sponsor) -> api.Sponsor:
    """Let a site of a study enrol practices.

    Raises:
        NotFoundError: no such study, or the site does not take part or is not admitted here.
    """

    def effect(conn: Connection) -> api.Sponsor:
        sources.find_study(conn, study, body.site)
        if conn.execute("SELECT 1 FROM site WHERE name = ?", (body.site,)).fetchone() is None:
            raise NotFoundError("there is no site of this name", code="unknown_site", hint="trustcenter site add")
        conn.execute(
            "INSERT INTO sponsor VALUES (?,?,?) ON CONFLICT (study, site) DO UPDATE SET practices = excluded.practices",
            (study, body.site, body.practices),
        )
        told = {"study": study, "site": body.site, "practices": body.practices}
        context.audit_access(conn, Event.ENROLMENT_ALLOW, caller.name, "", **told)
        return body

    return await context.db.write(effect)


async def create(context: Context, caller: Principal, study: str, body: api.EnrolmentCreate) -> api.EnrolmentCode:
    """Make a code for a practice; an earlier one that was not used is worthless.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError: the caller may enrol no more practices.
        ConflictError: the name belongs to a site that this sponsor did not enrol.
    """
    code = _MARK + base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
    enrolment = secrets.token_hex(16)

    def effect(conn: Connection) -> api.EnrolmentCode:
        sources.require_takes_rows(sources.find_study(conn, study, caller.name))
        now = utc_now()
        _require_name(conn, study, caller.name, body.site, stamp(now))
        allowed = conn.execute(
            "SELECT practices FROM sponsor WHERE study = ? AND site = ?", (study, caller.name)
        ).fetchone()
        (others,) = conn.execute(
            "SELECT COUNT(DISTINCT site) FROM enrolment WHERE study = ? AND sponsor = ?"
            " AND (used = 1 OR expires > ?) AND site <> ?",
            (study, caller.name, stamp(now), body.site),
        ).fetchone()
        if others >= (allowed[0] if allowed is not None else 0):
            raise PolicyError(
                "this site may enrol no further practice in this study",
                code="not_a_sponsor",
                hint="an operator of the comparator allows it: trustcenter practice allow",
            )
        conn.execute("DELETE FROM enrolment WHERE study = ? AND site = ? AND used = 0", (study, body.site))
        expires = stamp(now + timedelta(days=body.days))
        conn.execute(
            "INSERT INTO enrolment (id, study, sponsor, site, kind, title, hash, expires) VALUES (?,?,?,?,?,?,?,?)",
            (enrolment, study, caller.name, body.site, body.kind, body.title, _digest(code), expires),
        )
        told = {"study": study, "site": body.site, "enrolment": enrolment}
        context.audit_access(conn, Event.ENROLMENT_CREATE, caller.name, "", **told)
        return api.EnrolmentCode(enrolment=enrolment, site=body.site, code=code, expires=expires)

    return await context.db.write(effect)


async def redeem(context: Context, directory: Directory, body: api.RowsRedeem) -> api.RowsEnrolled:
    """Exchange a code for a token, with which a practice sends rows. Tokens that it had are worthless.

    Raises:
        PolicyError: no code that is valid now.
    """

    def effect(conn: Connection) -> api.RowsEnrolled:
        row = conn.execute(
            "SELECT id, study, sponsor, site, kind, title FROM enrolment WHERE hash = ? AND used = 0 AND expires > ?",
            (_digest(body.code), stamp(utc_now())),
        ).fetchone()
        if row is None:
            raise _invalid()
        enrolment, study, sponsor, site, kind, title = row
        if conn.execute("SELECT 1 FROM site WHERE name = ?", (site,)).fetchone() is None:
            directory.add_site(conn, site, kind, title)
        elif not _enrolled(conn, study, sponsor, site):
            raise _invalid()  # another site took the name since
        else:
            directory.shut_out(conn, site)
        conn.execute("UPDATE enrolment SET used = 1 WHERE id = ?", (enrolment,))
        issued = directory.issue_token(conn, site=site, days=_TOKEN_DAYS, scope=Scope.of(None, [Operation.STUDY]))
        told = {"study": study, "site": site, "enrolment": enrolment, "token": issued.token_id}
        context.audit_access(conn, Event.ENROLMENT_REDEEM, site, "", **told)
        return api.RowsEnrolled(site=site, token=issued.token, expires=issued.expires)

    try:
        return await context.db.write(effect)
    finally:
        directory.cache.clear()


def end_codes(conn: Connection, site: str) -> int:
    """Make codes for a practice worthless that were not used; returns how many. Twice is harmless."""
    now = stamp(utc_now())  # whose name it is stays known: its sponsor may invite it again
    query = "UPDATE enrolment SET expires = ? WHERE site = ? AND used = 0 AND expires > ?"
    return conn.execute(query, (now, site, now)).rowcount


async def forget_unused(context: Context) -> int:
    """Forget codes that nobody used, some time after they ended; returns how many.

    Those of a source stay: it came in at the registrar, and its sponsor may invite it here again.
    """
    until = stamp(utc_now() - timedelta(days=KEPT_DAYS))
    query = "SELECT id, study, site FROM enrolment WHERE used = 0 AND expires <= ? ORDER BY id"

    def look(conn: Connection) -> list[tuple[str, str]]:
        rows = conn.execute(query, (until,)).fetchall()
        return [(enrolment, study) for enrolment, study, site in rows if not sources.is_source(conn, site)]

    def effect(conn: Connection) -> int:
        found = look(conn)
        for enrolment, study in found:
            conn.execute("DELETE FROM enrolment WHERE id = ?", (enrolment,))
            context.audit_access(conn, Event.ENROLMENT_FORGET_ROWS, "comparator", "", study=study, enrolment=enrolment)
        return len(found)

    return await context.db.write(effect) if await context.db.read(look) else 0


def _require_name(conn: Connection, study: str, sponsor: str, site: str, now: str) -> None:
    known = conn.execute("SELECT 1 FROM site WHERE name = ?", (site,)).fetchone()
    waiting = conn.execute(
        "SELECT 1 FROM enrolment WHERE site = ? AND (sponsor <> ? OR study <> ?) AND used = 0 AND expires > ?",
        (site, sponsor, study, now),
    ).fetchone()
    # A source that has no code of this sponsor's is a site which is yet to be admitted here, or another's practice.
    mine = conn.execute(
        "SELECT 1 FROM enrolment WHERE site = ? AND study = ? AND sponsor = ?", (site, study, sponsor)
    ).fetchone()
    if (known and not _enrolled(conn, study, sponsor, site)) or waiting or (not mine and sources.is_source(conn, site)):
        raise ConflictError(
            "this name is taken",
            code="site_name_taken",
            hint="choose another; a site that takes part already is admitted by this room's operator",
            where="site",
        )


def _enrolled(conn: Connection, study: str, sponsor: str, site: str) -> bool:
    """Whether a site is a practice that this sponsor enrolled in this study."""
    query = "SELECT 1 FROM enrolment WHERE site = ? AND study = ? AND sponsor = ? AND used = 1"
    return conn.execute(query, (site, study, sponsor)).fetchone() is not None


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


def _invalid() -> PolicyError:
    return PolicyError(
        "this is no valid enrolment code",
        code="invalid_enrolment_code",
        hint="codes work once and expire; ask your sponsoring site for a new one",
    )
