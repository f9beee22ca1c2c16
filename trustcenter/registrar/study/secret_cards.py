"""Cards of a study's members: the centre hands them out, and members compare them over another channel."""

from __future__ import annotations

from keys import cards
from keys.cards import Card
from keys.errors import KeysError
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import UsageError
from trustcenter.messages.api import secret_relay as api
from trustcenter.registrar.context import Context
from trustcenter.store import Connection

from . import studies, study_states
from .studies import StudyRow


def members(conn: Connection, study: str) -> list[str]:
    """The present members of a study, by name."""
    query = "SELECT site FROM participant WHERE study = ? AND left_with IS NULL ORDER BY site"
    rows = conn.execute(query, (study,))
    return [site for (site,) in rows]


def require_agreeing(conn: Connection, name: str, caller: Principal) -> StudyRow:
    """The study, if the caller is a member that may still agree on its secret.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError: the caller was removed, or the study is over.
    """
    study = studies.find(conn, name, caller)
    studies.require_member(conn, study, caller.name)
    study_states.require(study.state, study_states.Act.AGREE)
    return study


async def set_card(context: Context, caller: Principal, request: str, name: str, body: api.CardSet) -> api.MemberCard:
    """Keep the caller's card for a study, in place of an earlier one.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError: the caller was removed, or the study is over.
        UsageError: not a card that signs itself, or another member's.
    """
    try:
        card = cards.parse_card(body.card)
    except KeysError:
        raise UsageError("the card cannot be read", code="bad_card", where="card") from None
    if card.name != caller.name:
        raise UsageError("a site publishes a card of its own name only", code="bad_card", where="card")

    def effect(conn: Connection) -> api.MemberCard:
        require_agreeing(conn, name, caller)
        now = stamp(context.clock())
        keep_card(conn, name, card, now)
        context.audit(conn, Event.CARD_PUBLISH, caller.name, request, study=name, fingerprint=card.fingerprint)
        return api.MemberCard(site=caller.name, card=card.text, created=now)

    return await context.db.write(effect)


def keep_card(conn: Connection, study: str, card: Card, now: str) -> None:
    """Keep a member's card in place of an earlier one."""
    conn.execute(
        "INSERT INTO member_card VALUES (?,?,?,?) ON CONFLICT (study, site) DO UPDATE SET"
        " card = excluded.card, created = excluded.created",
        (study, card.name, card.text, now),
    )


def forget_member(conn: Connection, study: str, site: str) -> None:
    """Delete a member's card and what was sealed to it: a practice was turned out, or comes in anew."""
    conn.execute("DELETE FROM member_card WHERE study = ? AND site = ?", (study, site))
    conn.execute("DELETE FROM secret_envelope WHERE study = ? AND member = ?", (study, site))


def reached(conn: Connection, study: str, site: str) -> tuple[str | None, bool]:
    """The fingerprint of a member's card, and whether the secret of the present version is sealed to it."""
    row = conn.execute("SELECT card FROM member_card WHERE study = ? AND site = ?", (study, site)).fetchone()
    sealed = conn.execute(
        "SELECT 1 FROM secret_envelope e JOIN study s ON s.name = e.study AND s.version = e.version"
        " WHERE e.study = ? AND e.member = ?",
        (study, site),
    ).fetchone()
    return None if row is None else cards.parse_card(row[0]).fingerprint, sealed is not None


async def member_cards(context: Context, caller: Principal, name: str) -> api.MemberCards:
    """The cards of a study's members.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError: the caller was removed.
    """

    def query(conn: Connection) -> api.MemberCards:
        study = studies.find(conn, name, caller)
        studies.require_member(conn, study, caller.name)
        found = dict(published(conn, name))
        query = "SELECT site, sponsor FROM enrolment WHERE study = ? AND used IS NOT NULL"
        sponsors: dict[str, str] = dict(conn.execute(query, (name,)).fetchall())
        listed = []
        for site in members(conn, name):
            card, created = found.get(site, (None, None))
            listed.append(api.MemberCard(site=site, sponsor=sponsors.get(site), card=card, created=created))
        return api.MemberCards(study=name, version=study.version, cards=listed)

    return await context.db.read(query)


def published(conn: Connection, study: str) -> list[tuple[str, tuple[str, str]]]:
    """(member, (card, time)) of every present member that published one."""
    present = set(members(conn, study))
    rows = conn.execute("SELECT site, card, created FROM member_card WHERE study = ?", (study,)).fetchall()
    return [(site, (card, created)) for site, card, created in rows if site in present]
