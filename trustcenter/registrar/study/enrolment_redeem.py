"""A practice uses its code: it becomes a site of the study, with a domain, a token and a card."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from keys import cards
from keys.errors import KeysError
from trustcenter.audit import Event
from trustcenter.auth import Operation
from trustcenter.auth.scopes import Scope
from trustcenter.clock import stamp
from trustcenter.errors import PolicyError, UsageError
from trustcenter.messages.api import enrolment as api
from trustcenter.registrar import domain_create
from trustcenter.registrar import policy as policies
from trustcenter.registrar.context import Context
from trustcenter.store import Connection

from . import secret_cards, studies
from .enrolment import COLUMNS, Row, digest, enrolled, shut_out

_TOKEN_DAYS: Final = 365


async def redeem(context: Context, request: str, body: api.EnrolmentRedeem) -> api.Enrolled:
    """A practice comes in: it becomes a site of the study, and gets its token.

    Raises:
        PolicyError: no code that is valid now, or the study takes no data any more.
        UsageError: not a card, or another site's.
    """
    try:
        card = cards.parse_card(body.card)
    except KeysError:
        raise UsageError("the card cannot be read", code="bad_card", where="card") from None

    def check(conn: Connection) -> Row:
        row = conn.execute(
            f"SELECT {COLUMNS} FROM enrolment WHERE hash = ? AND used IS NULL AND revoked IS NULL AND expires > ?",  # noqa: S608 - a constant
            (digest(body.code), stamp(context.clock())),
        ).fetchone()
        if row is None:
            raise _invalid()
        found = Row(*row)
        if found.site != card.name:
            raise UsageError("a site publishes a card of its own name only", code="bad_card", where="card")
        studies.require_open(context, studies.find(conn, found.study))
        query = "SELECT 1 FROM participant WHERE study = ? AND site = ? AND left_with IS NULL"
        if conn.execute(query, (found.study, found.sponsor)).fetchone() is None:
            raise _invalid()  # its sponsor was removed
        return found

    first = await context.db.read(check)  # before keys are made: strangers must not fill the key store
    study = await context.db.read(lambda conn: studies.find(conn, first.study))
    new = domain_create.NewDomain(
        studies.site_domain(first.study, first.site),
        domain_create.new_uuid(),
        "study-site",
        first.site,
        first.study,
        policy=replace(policies.ORDINARY, consent=study.consent),
    )
    await context.make_keys(list(domain_create.key_ids(new.uuid)))

    def effect(conn: Connection) -> api.Enrolled:
        row = check(conn)  # again: two requests with one code may be under way
        now = stamp(context.clock())
        if conn.execute("SELECT 1 FROM site WHERE name = ?", (row.site,)).fetchone() is None:
            context.directory.add_site(conn, row.site, row.kind, row.title)
            domain = domain_create.insert(context, conn, new)
            conn.execute(
                "INSERT INTO participant (study, site, deduplicated, domain) VALUES (?,?,?,?)",
                (row.study, row.site, row.deduplicated, domain),
            )
            studies.announce(conn, studies.find(conn, row.study))
            context.ring.note_generation(conn)
        else:
            # When the code was made the name was free, or a practice's of this sponsor; it may be another site's now.
            if not enrolled(conn, row.study, row.sponsor, row.site):
                raise _invalid()
            shut_out(context, conn, row.study, row.site, codes=False)  # that of this invitation comes next
        conn.execute("UPDATE enrolment SET used = ? WHERE id = ?", (now, row.id))
        secret_cards.keep_card(conn, row.study, card, now)
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


def _invalid() -> PolicyError:
    return PolicyError(
        "this is no valid enrolment code",
        code="invalid_enrolment_code",
        hint="codes work once and expire; ask your sponsoring site for a new one",
    )
