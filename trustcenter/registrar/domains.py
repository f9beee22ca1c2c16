"""Domains: namespaces in which pseudonyms are unique and unlinkable to every other."""

from __future__ import annotations

import json
import os
import uuid as uuids
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from keys import drawn
from keys.ids import KeyId, Purpose
from keys.states import KeyState
from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.auth.scopes import held, not_granted, unknown_domain
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, UsageError_
from trustcenter.messages import api
from trustcenter.messages.consent import code_system, codes
from trustcenter.store import Connection, IntegrityError

from . import policy as policies
from .context import Context
from .keyring import DOMAIN_PURPOSES, domain_scope
from .policy import Policy

SUITE = policies.COMPUTED


@dataclass(frozen=True)
class DomainRow:
    """A domain as stored, with its inner key H."""

    id: int
    name: str
    uuid: str
    kind: str
    site: str | None
    study: str | None
    recipient: str | None
    h: bytes
    created: str
    policy: Policy = policies.ORDINARY
    state: str = policies.OPEN
    closes: str | None = None
    strings: int = 0  # stored strings, drawn and imported
    lookup: tuple[int, ...] = (1,)  # versions of the lookup key that rows are found by, newest first (`tagging`)

    def __repr__(self) -> str:
        return f"DomainRow({self.name!r})"

    @property
    def scope(self) -> str:
        """Key scope of the domain."""
        return domain_scope(self.uuid)


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


_COLUMNS = (
    "id, name, uuid, kind, site, study, recipient, h, created,"
    " suite, format, multi, deletable, reversible, expiry_days, parent, state, closes, strings, consent, lookup"
)


def _row(row: tuple[Any, ...]) -> DomainRow:
    suite, format_, multi, deletable, reversible, days, parent = row[9:16]
    consent = tuple(json.loads(row[19] or "[]"))
    policy = Policy(suite, format_, bool(multi), bool(deletable), bool(reversible), days, parent, consent)
    state, closes, strings = row[16:19]
    lookup = tuple(int(version) for version in row[20].split())
    id_, name, uuid, kind, site, study, recipient, h, created = row[:9]
    return DomainRow(id_, name, uuid, kind, site, study, recipient, h, created, policy, state, closes, strings, lookup)


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


def find(conn: Connection, name: str, caller: Principal | None = None, operation: Operation | None = None) -> DomainRow:
    """A domain by name. For a site, a foreign domain is invisible rather than forbidden.

    Args:
        conn: transaction or snapshot.
        name: of the domain.
        caller: who asks; None for the service itself.
        operation: what a site wants to do with it; None: only see it.

    Raises:
        NotFoundError: there is none that the caller may see.
        ForbiddenError: it is visible, but the operation was not granted.
    """
    row = conn.execute(f"SELECT {_COLUMNS} FROM domain WHERE name = ?", (name,)).fetchone()  # noqa: S608
    domain = _row(row) if row else None
    if domain is None:
        raise unknown_domain()
    if caller is not None and caller.is_site:
        _require(conn, domain, caller, operation)
    return domain


def _require(conn: Connection, domain: DomainRow, caller: Principal, operation: Operation | None) -> None:
    if caller.scope.domains is not None and domain.name not in caller.scope.domains:
        raise unknown_domain()
    if domain.site != caller.name:
        granted = held(conn, domain.id, caller.name)
        if not granted:
            raise unknown_domain()
        if operation is not None and operation not in granted:
            raise not_granted()
    if operation is not None:
        caller.scope.require(operation)


def by_id(conn: Connection, row_id: int) -> DomainRow:
    """A domain by its row id, which comes from our own tables only."""
    return _row(conn.execute(f"SELECT {_COLUMNS} FROM domain WHERE id = ?", (row_id,)).fetchone())  # noqa: S608


def describe(context: Context, conn: Connection, domain: DomainRow) -> api.Domain:
    """What may be shown of a domain."""
    count = conn.execute("SELECT count(*) FROM entry WHERE domain = ? AND status = 0", (domain.id,)).fetchone()[0]
    active = [
        v.version for v in context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM) if v.state is KeyState.ACTIVE
    ]
    fields = domain.policy.format_fields()
    parent = conn.execute("SELECT name FROM domain WHERE id = ?", (domain.policy.parent,)).fetchone()
    return api.Domain(
        name=domain.name,
        uuid=domain.uuid,
        kind=domain.kind,
        site=domain.site,
        study=domain.study,
        recipient=domain.recipient,
        suite=domain.policy.suite,
        key_version=active[0] if active else 0,
        pseudonyms=count,
        created=domain.created,
        format=msgspec.convert(fields, api.DrawnFormat) if fields is not None else None,
        multi=domain.policy.multi,
        deletable=domain.policy.deletable,
        reversible=domain.policy.reversible,
        expiry_days=domain.policy.expiry_days,
        parent=parent[0] if parent else None,
        state=domain.state,
        closes=domain.closes,
        consent=codes(domain.policy.consent),
    )


def visible(conn: Connection, caller: Principal) -> list[DomainRow]:
    """The domains that the caller may see, by name: all for an operator, its own and granted ones for a site."""
    clause, values = "", tuple[str, ...]()
    if caller.is_site:
        clause = " WHERE site = ? OR id IN (SELECT domain FROM domain_grant WHERE site = ?)"
        values = (caller.name, caller.name)
    rows = conn.execute(f"SELECT {_COLUMNS} FROM domain{clause} ORDER BY name", values).fetchall()  # noqa: S608
    allowed = caller.scope.domains
    return [row for row in map(_row, rows) if allowed is None or row.name in allowed]


async def create(context: Context, caller: Principal, request: str, body: api.DomainCreate) -> api.Domain:
    """Create a site's domain with its own random keys.

    Raises:
        NotFoundError: no such site, or no such parent domain of that site.
        ConflictError: the name is taken, or the parent is closed.
        UsageError_: suite and format do not fit together.
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
        UsageError_, InvalidFormatError: suite and format do not fit together, or the format cannot be.
    """
    if (body.suite is api.Suite.DRAWN) != (body.format is not None):
        raise UsageError_(
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
        UsageError_: one is not in the code system.
    """
    found = [code_system().find(name) for name in names]
    if None in found:
        raise UsageError_(
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
