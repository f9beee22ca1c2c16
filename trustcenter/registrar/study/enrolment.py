"""Practices come in through a site that sponsors them: a one-time code, and a card of their own.

The sponsor passes the study secret on to them as members do (`secret_relay`).

The centre sees neither the study secret nor a patient. It keeps a hash of the code: 128 random bits need no slow one.
Every refusal of a code is the same, whatever is wrong with it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, PolicyError
from trustcenter.messages.api import enrolment as api
from trustcenter.messages.rooms import ShutOut
from trustcenter.registrar.context import Context
from trustcenter.registrar.linking import outbox
from trustcenter.store import Connection

from . import secret_cards, studies

_MARK: Final = "tce1-"
KEPT_DAYS: Final = 30  # that an invitation which nobody followed is kept after its end, with the name of the practice
COLUMNS: Final = "id, study, sponsor, site, kind, title, deduplicated, created, expires, used, revoked"


@dataclass(frozen=True)
class Row:
    """An enrolment as stored, without the hash of its code."""

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


def digest(code: str) -> bytes:
    """What is kept of a code."""
    return hashlib.sha256(code.encode()).digest()


async def allow(context: Context, caller: Principal, request: str, name: str, body: api.Sponsor) -> api.Sponsor:
    """Let a site of a study enrol practices.

    Raises:
        NotFoundError: no such study, or the site does not take part.
    """

    def effect(conn: Connection) -> api.Sponsor:
        study = studies.find(conn, name)
        studies.require_member(conn, study, body.site)
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
        _require_name(conn, name, caller.name, body.site, stamp(now))
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
                *(digest(code), stamp(now), expires),
            ),
        )
        context.audit(
            conn, Event.ENROLMENT_CREATE, caller.name, request, study=name, site=body.site, enrolment=enrolment
        )
        return api.EnrolmentCode(enrolment=enrolment, site=body.site, code=code, expires=expires)

    return await context.db.write(effect)


def _require_name(conn: Connection, study: str, sponsor: str, site: str, now: str) -> None:
    known = conn.execute("SELECT 1 FROM site WHERE name = ?", (site,)).fetchone()
    waiting = conn.execute(
        "SELECT 1 FROM enrolment WHERE site = ? AND (sponsor <> ? OR study <> ?) AND used IS NULL AND revoked IS NULL"
        " AND expires > ?",
        (site, sponsor, study, now),
    ).fetchone()
    if (known and not enrolled(conn, study, sponsor, site)) or waiting:
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
            f"SELECT {COLUMNS} FROM enrolment WHERE study = ?{clause} ORDER BY created, id",  # noqa: S608 - constants
            (name, *values),
        ).fetchall()
        allowed = _allowed(conn, name, caller.name) if caller.is_site else 0
        now = stamp(context.clock())
        return api.Enrolments(enrolments=[_describe(conn, Row(*row), now) for row in rows], allowed=allowed)

    return await context.db.read(query)


def _describe(conn: Connection, row: Row, now: str) -> api.Enrolment:
    card, sealed = secret_cards.reached(conn, row.study, row.site) if row.used and not row.revoked else (None, False)
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


def _own(conn: Connection, study: str, caller: Principal, enrolment: str) -> Row:
    """An enrolment that the caller sponsors; an operator's are all.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    row = conn.execute(
        f"SELECT {COLUMNS} FROM enrolment WHERE study = ? AND id = ?",  # noqa: S608 - a constant
        (study, enrolment),
    ).fetchone()
    if row is None or (caller.is_site and row[2] != caller.name):
        raise NotFoundError("there is no such enrolment", code="unknown_enrolment")
    return Row(*row)


async def revoke(context: Context, caller: Principal, request: str, name: str, enrolment: str) -> None:
    """Make a code worthless; of a practice that used it, its tokens and certificates too, at once.

    Raises:
        NotFoundError: no such study or enrolment.
    """

    def effect(conn: Connection) -> None:
        studies.find(conn, name, caller)
        row = _own(conn, name, caller, enrolment)
        now = stamp(context.clock())
        conn.execute("UPDATE enrolment SET revoked = COALESCE(revoked, ?) WHERE id = ?", (now, row.id))
        if row.used and not row.revoked:
            shut_out(context, conn, name, row.site, codes=True)
        elif not row.revoked:
            outbox.put(conn, "shut_out", ShutOut(site=row.site, access=False, codes=True))
        context.audit(conn, Event.ENROLMENT_REVOKE, caller.name, request, study=name, site=row.site, enrolment=row.id)

    try:
        await context.db.write(effect)
    finally:
        context.directory.cache.clear()


async def forget_unused(context: Context) -> int:
    """Forget invitations that nobody followed, some time after they ended; returns how many."""
    until = stamp(context.clock() - timedelta(days=KEPT_DAYS))
    query = "SELECT id, study FROM enrolment WHERE used IS NULL AND (expires <= ? OR revoked <= ?) ORDER BY id"

    def look(conn: Connection) -> list[tuple[str, str]]:
        return [(enrolment, study) for enrolment, study in conn.execute(query, (until, until))]

    def effect(conn: Connection) -> int:
        found = look(conn)
        for enrolment, study in found:
            conn.execute("DELETE FROM enrolment WHERE id = ?", (enrolment,))
            context.audit(conn, Event.ENROLMENT_FORGET, "service", "", study=study, enrolment=enrolment)
        return len(found)

    return await context.db.write(effect) if await context.db.read(look) else 0


def shut_out(context: Context, conn: Connection, study: str, site: str, *, codes: bool) -> None:
    """Make every credential of a practice worthless, at the comparator too, and forget what was sealed to its card.

    Args:
        context: the registrar.
        conn: of the writing transaction.
        study: that it came into.
        site: the practice.
        codes: codes of the comparator's that it has not used are worthless as well.
    """
    context.directory.shut_out(conn, site)
    outbox.put(conn, "shut_out", ShutOut(site=site, codes=codes))
    secret_cards.forget_member(conn, study, site)


def tell_turned_out(conn: Connection) -> None:
    """Tell the comparator once more of practices that were turned out and are not in again: it was restored alone."""
    query = (
        "SELECT DISTINCT site FROM enrolment WHERE used IS NOT NULL AND revoked IS NOT NULL AND site NOT IN"
        " (SELECT site FROM enrolment WHERE used IS NOT NULL AND revoked IS NULL) ORDER BY site"
    )
    for (site,) in conn.execute(query).fetchall():
        outbox.put(conn, "shut_out", ShutOut(site=site, codes=True))


def enrolled(conn: Connection, study: str, sponsor: str, site: str) -> bool:
    """Whether a site is a practice that this sponsor enrolled in this study."""
    row = conn.execute(
        "SELECT 1 FROM enrolment WHERE site = ? AND study = ? AND sponsor = ? AND used IS NOT NULL",
        (site, study, sponsor),
    ).fetchone()
    return row is not None
