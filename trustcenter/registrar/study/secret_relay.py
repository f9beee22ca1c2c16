"""The relay of study secrets: the centre keeps cards and sealed shares, and hands them out. It can open none.

Members do not believe it: they compare cards over another channel and test signatures (docs/spec/secret-relay.md). What
is tested here only keeps honest mistakes out, so that they show where they are made.
"""

from __future__ import annotations

import base64
from typing import Final

from keys import cards, hybrid, shares
from keys.errors import KeysError
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, UsageError
from trustcenter.messages.api import secret_relay as api
from trustcenter.registrar.context import Context
from trustcenter.store import Connection

from . import secret_cards, studies, study_lead

_TABLES: Final = ("secret_envelope", "secret_share", "secret_confirmation")


async def put_share(
    context: Context, caller: Principal, request: str, name: str, body: api.SecretShare
) -> api.ShareState:
    """Keep a share in place of the caller's earlier one.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError: the caller was removed, or is not the one to share (`study_lead`), or the study is over.
        UsageError: not a share of the caller's for this study's members, or not signed with its published card.
        ConflictError: of another version, of another secret than the version has, or not newer than the one before.
    """
    try:
        share = shares.parse_share(body.statement.encode())
    except KeysError:
        raise UsageError("the share cannot be read", code="bad_share", where="statement") from None
    sealed = {envelope.member: _sealed(envelope) for envelope in body.envelopes}
    if (share.study, share.sender.name) != (name, caller.name) or len(sealed) != len(body.envelopes):
        raise UsageError("the share is not the caller's for this study", code="bad_share", where="statement")
    if sorted(sealed) != [party.name for party in share.members]:
        raise UsageError("the share and its sealed messages name different members", code="bad_share")

    def effect(conn: Connection) -> api.ShareState:
        study = secret_cards.require_agreeing(conn, name, caller)
        if share.version != study.version:
            raise ConflictError(
                "the share is for another version of the study",
                code="wrong_secret_version",
                hint="trustcenter study show names the version; a new version needs a new secret",
            )
        study_lead.require_may_share(conn, study, share)
        _check_members(conn, share, body)
        _check_before(conn, share)
        forget_before(conn, name, study.version)
        now = stamp(context.clock())
        key = (name, share.version, caller.name)
        conn.execute("DELETE FROM secret_envelope WHERE study = ? AND version = ? AND sender = ?", key)
        conn.execute("DELETE FROM secret_share WHERE study = ? AND version = ? AND sender = ?", key)
        conn.execute(
            "INSERT INTO secret_share VALUES (?,?,?,?,?,?,?,?)",
            (*key, share.issue, share.secret, body.statement, body.signature, now),
        )
        conn.executemany(
            "INSERT INTO secret_envelope VALUES (?,?,?,?,?)", [(*key, member, sealed[member]) for member in sealed]
        )
        members = [party.name for party in share.members]
        context.audit(
            conn,
            Event.SECRET_SHARE,
            caller.name,
            request,
            study=name,
            version=share.version,
            issue=share.issue,
            secret=share.secret,
            members=members,
        )
        return api.ShareState(sender=caller.name, issue=share.issue, secret=share.secret, created=now, members=members)

    return await context.db.write(effect)


def _sealed(envelope: api.Envelope) -> bytes:
    try:
        sealed = base64.b64decode(envelope.sealed, validate=True)
    except ValueError:
        sealed = b""
    if not sealed.startswith(hybrid.MAGIC):
        raise UsageError("this is not a sealed message", code="not_sealed", where="sealed")
    return sealed


def _check_members(conn: Connection, share: shares.Share, body: api.SecretShare) -> None:
    found = dict(secret_cards.published(conn, share.study))
    missing = [party for party in share.members if party.name not in found]
    if missing:
        raise ConflictError(
            "the share is sealed to somebody who is no member with a card",
            code="unknown_member",
            hint="trustcenter study secret status lists the members and their cards",
        )
    card = cards.parse_card(found[share.sender.name][0])
    try:
        shares.verify_share(body.statement.encode(), body.signature, card)
    except KeysError:
        raise UsageError(
            "the share is not signed with the key of the published card",
            code="bad_share",
            hint="publish the card of this key: trustcenter study secret card",
            where="signature",
        ) from None


def _check_before(conn: Connection, share: shares.Share) -> None:
    rows = conn.execute(
        "SELECT sender, issue, secret FROM secret_share WHERE study = ? AND version = ?", (share.study, share.version)
    ).fetchall()
    if any(secret != share.secret for _, _, secret in rows):
        raise ConflictError(
            "the members of this study version have another secret already",
            code="another_secret",
            hint="share that one, or let an operator make a new version of the study",
        )
    if any(sender == share.sender.name and issue >= share.issue for sender, issue, _ in rows):
        raise ConflictError("a share as new as this one is here already", code="share_exists", hint="share again")


def forget_before(conn: Connection, study: str, version: int) -> None:
    """Delete what belongs to earlier versions of a study: their sealed secrets serve for nothing any more."""
    for table in _TABLES:
        conn.execute(f"DELETE FROM {table} WHERE study = ? AND version < ?", (study, version))  # noqa: S608 - constants


def forget_study(conn: Connection, study: str) -> None:
    """Delete everything about a study that is deleted."""
    for table in (*_TABLES, "member_card"):
        conn.execute(f"DELETE FROM {table} WHERE study = ?", (study,))  # noqa: S608 - constants


async def own_shares(context: Context, caller: Principal, name: str) -> api.OwnShares:
    """The shares of the study's present version that are sealed to the caller.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError: the caller was removed.
    """

    def query(conn: Connection) -> api.OwnShares:
        study = studies.find(conn, name, caller)
        studies.require_member(conn, study, caller.name)
        rows = conn.execute(
            "SELECT s.sender, s.statement, s.signature, e.sealed, c.card FROM secret_envelope e"
            " JOIN secret_share s ON s.study = e.study AND s.version = e.version AND s.sender = e.sender"
            " LEFT JOIN member_card c ON c.study = s.study AND c.site = s.sender"
            " WHERE e.study = ? AND e.version = ? AND e.member = ? ORDER BY s.sender",
            (name, study.version, caller.name),
        ).fetchall()
        found = [
            api.OwnShare(
                sender=sender,
                statement=statement,
                signature=signature,
                sealed=base64.b64encode(sealed).decode(),
                card=card,
            )
            for sender, statement, signature, sealed, card in rows
        ]
        return api.OwnShares(study=name, version=study.version, shares=found)

    return await context.db.read(query)


async def confirm(context: Context, caller: Principal, request: str, name: str, body: api.Confirmation) -> None:
    """Keep the caller's proof that it holds the secret.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError: the caller was removed, or the study is over.
        ConflictError: of another version than the study's.
    """

    def effect(conn: Connection) -> None:
        study = secret_cards.require_agreeing(conn, name, caller)
        if body.version != study.version:
            raise ConflictError("the confirmation is for another version of the study", code="wrong_secret_version")
        conn.execute(
            "INSERT INTO secret_confirmation VALUES (?,?,?,?,?) ON CONFLICT (study, version, member) DO UPDATE SET"
            " confirmation = excluded.confirmation, created = excluded.created",
            (name, body.version, caller.name, body.confirmation, stamp(context.clock())),
        )
        context.audit(conn, Event.SECRET_CONFIRM, caller.name, request, study=name, version=body.version)

    await context.db.write(effect)


async def state(context: Context, caller: Principal, name: str) -> api.SecretState:
    """Shares and confirmations of the study's present version.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError: the caller was removed.
    """

    def query(conn: Connection) -> api.SecretState:
        study = studies.find(conn, name, caller)
        studies.require_member(conn, study, caller.name)
        key = (name, study.version)
        sealed: dict[str, list[str]] = {}
        for sender, member in conn.execute(
            "SELECT sender, member FROM secret_envelope WHERE study = ? AND version = ? ORDER BY sender, member", key
        ):
            sealed.setdefault(sender, []).append(member)
        rows = conn.execute(
            "SELECT sender, issue, secret, created FROM secret_share WHERE study = ? AND version = ? ORDER BY created,"
            " sender",
            key,
        ).fetchall()
        confirmed = conn.execute(
            "SELECT member, confirmation, created FROM secret_confirmation WHERE study = ? AND version = ?"
            " ORDER BY member",
            key,
        ).fetchall()
        return api.SecretState(
            study=name,
            version=study.version,
            members=secret_cards.members(conn, name),
            shares=[
                api.ShareState(sender=s, issue=issue, secret=secret, created=created, members=sealed.get(s, []))
                for s, issue, secret, created in rows
            ],
            confirmations=[
                api.MemberConfirmation(site=site, confirmation=value, created=created)
                for site, value, created in confirmed
            ],
        )

    return await context.db.read(query)
