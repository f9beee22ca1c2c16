"""Creating a domain: what it shall promise, its keys, and its row with the entry in the log."""

from __future__ import annotations

import json
import os
import uuid as uuids
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from keys import drawn
from keys.ids import KeyId
from keys.states import KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, UsageError
from trustcenter.messages import api
from trustcenter.messages.consent import code_system
from trustcenter.registrar.rotating.keyring import DOMAIN_PURPOSES, domain_scope
from trustcenter.store import Connection, IntegrityError

from . import policy as policies
from .context import Context
from .domains import describe, find
from .policy import Policy


@dataclass(frozen=True)
class NewDomain:
    """A domain about to be created; its key material exists already."""

    name: str
    uuid: str
    kind: str
    site: str | None = None
    study: str | None = None
    recipient: str | None = None
    policy: Policy = policies.ORDINARY


async def create(context: Context, caller: Principal, request: str, body: api.DomainCreate) -> api.Domain:
    """Create a site's domain with its own random keys.

    Raises:
        NotFoundError: no such site, or no such parent domain of that site.
        ConflictError: the name is taken, or the parent is closed.
        UsageError: suite and format do not fit together.
    """
    chosen = _chosen(body)
    new = NewDomain(body.name, new_uuid(), "site", site=body.site, policy=chosen)
    await context.make_keys(key_ids(new.uuid))

    def effect(conn: Connection) -> api.Domain:
        context.directory.require_sites(conn, [body.site])
        extra = {}
        made = new
        if body.parent is not None:
            made = replace(new, policy=replace(chosen, parent=_parent(conn, body.parent, body.site)))
            extra["parent"] = body.parent
        insert(context, conn, made)
        if chosen.expiry_days is not None:
            extra["expiry_days"] = str(chosen.expiry_days)
        if chosen.consent:
            extra["consent"] = " ".join(map(str, chosen.consent))
        context.audit(
            conn,
            Event.DOMAIN_CREATE,
            caller.name,
            request,
            domain=new.name,
            site=body.site,
            suite=chosen.suite,
            multi=int(chosen.multi),
            deletable=int(chosen.deletable),
            reversible=int(chosen.reversible),
            **extra,
        )
        return describe(context, conn, find(conn, new.name))

    return await context.db.write(effect)


def _chosen(body: api.DomainCreate) -> Policy:
    """The policy that was asked for, the parent still missing.

    Raises:
        UsageError, InvalidFormatError: suite and format do not fit together, or the format cannot be.
    """
    if (body.suite is api.Suite.DRAWN) != (body.format is not None):
        raise UsageError(
            "suite drawn needs a format, and suite computed has its own",
            code="format_and_suite",
            hint="give suite drawn and a format, or neither",
            where="format",
        )
    text = None
    if body.format is not None:
        text = json.dumps(drawn.Format.parse(msgspec.structs.asdict(body.format)).to_json(), sort_keys=True)
    return Policy(
        suite=body.suite.value,
        format=text,
        multi=body.multi,
        deletable=body.deletable,
        reversible=body.reversible,
        expiry_days=body.expiry_days,
        consent=required_policies(body.consent),
    )


def required_policies(names: Sequence[str]) -> tuple[int, ...]:
    """Numbers of the consent policies that a domain or study shall require.

    Raises:
        UsageError: one is not in the code system.
    """
    found = [code_system().find(name) for name in names]
    if None in found:
        raise UsageError(
            "a required policy is not in the code system",
            code="unknown_policy",
            hint="trustcenter consent policies lists them",
            where="consent",
        )
    return tuple(sorted({policy.number for policy in found if policy is not None}))


def _parent(conn: Connection, name: str, site: str) -> int:
    row = conn.execute("SELECT id, kind, site FROM domain WHERE name = ?", (name,)).fetchone()
    if row is None or row[1:] != ("site", site):
        raise NotFoundError(
            "the site has no such domain to be the parent",
            code="unknown_parent",
            hint="trustcenter domain list shows the domains of each site",
        )
    policies.require_open(conn, row[0])
    return int(row[0])


def new_uuid() -> str:
    """A fresh domain uuid, 32 hex digits."""
    return uuids.uuid4().hex


def key_ids(uuid: str) -> list[KeyId]:
    """Version 1 of a domain's independent keys."""
    return [KeyId(domain_scope(uuid), purpose, 1) for purpose in DOMAIN_PURPOSES]


def insert(context: Context, conn: Connection, new: NewDomain) -> int:
    """Store a domain whose keys are in the key store; returns its row id.

    Raises:
        ConflictError: the name is taken.
    """
    try:
        (row_id,) = conn.execute(
            "INSERT INTO domain (name, uuid, kind, site, study, recipient, suite, h, created,"
            " format, multi, deletable, reversible, expiry_days, parent, consent)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) RETURNING id",
            (
                new.name,
                new.uuid,
                new.kind,
                new.site,
                new.study,
                new.recipient,
                new.policy.suite,
                os.urandom(32),
                stamp(context.clock()),
                new.policy.format,
                new.policy.multi,
                new.policy.deletable,
                new.policy.reversible,
                new.policy.expiry_days,
                new.policy.parent,
                json.dumps(new.policy.consent) if new.policy.consent else None,
            ),
        ).fetchone()
    except IntegrityError:
        raise ConflictError(
            "a domain of this name exists already",
            code="domain_exists",
            hint="trustcenter domain list shows the names",
        ) from None
    for key in key_ids(new.uuid):
        context.ring.add(conn, key, KeyState.ACTIVE)
    context.ring.note_generation(conn)
    return int(row_id)
