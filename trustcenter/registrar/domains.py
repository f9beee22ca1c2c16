"""Domains: namespaces in which pseudonyms are unique and unlinkable to every other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from keys.ids import Purpose
from keys.states import KeyState
from trustcenter.auth import Operation, Principal
from trustcenter.auth.scopes import held, not_granted, unknown_domain
from trustcenter.messages import api
from trustcenter.messages.consent import codes
from trustcenter.registrar.rotating.keyring import domain_scope
from trustcenter.store import Connection

from . import policy as policies
from .context import Context
from .policy import Policy


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
