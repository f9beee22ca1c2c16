"""Domains: namespaces in which pseudonyms are unique and unlinkable to every other."""

from __future__ import annotations

import os
import sqlite3
import uuid as uuids
from dataclasses import dataclass

from keys.ids import KeyId, Purpose
from keys.states import KeyState
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.messages import api

from .context import Context
from .keyring import DOMAIN_PURPOSES, domain_scope

SUITE = "computed"


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


_COLUMNS = "id, name, uuid, kind, site, study, recipient, h, created"


def new_uuid() -> str:
    """A fresh domain uuid, 32 hex digits."""
    return uuids.uuid4().hex


def key_ids(uuid: str) -> list[KeyId]:
    """Version 1 of a domain's independent keys."""
    return [KeyId(domain_scope(uuid), purpose, 1) for purpose in DOMAIN_PURPOSES]


def insert(context: Context, conn: sqlite3.Connection, new: NewDomain) -> int:
    """Store a domain whose keys are in the key store; returns its row id.

    Raises:
        ConflictError: the name is taken.
    """
    try:
        cursor = conn.execute(
            "INSERT INTO domain (name, uuid, kind, site, study, recipient, suite, h, created)"
            " VALUES (?,?,?,?,?,?,?,?,?)",
            (
                new.name,
                new.uuid,
                new.kind,
                new.site,
                new.study,
                new.recipient,
                SUITE,
                os.urandom(32),
                stamp(context.clock()),
            ),
        )
    except sqlite3.IntegrityError:
        raise ConflictError(
            "a domain of this name exists already",
            code="domain_exists",
            hint="trustcenter domain list shows the names",
        ) from None
    for key in key_ids(new.uuid):
        context.ring.add(conn, key, KeyState.ACTIVE)
    context.ring.note_generation(conn)
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def find(conn: sqlite3.Connection, name: str, caller: Principal | None = None) -> DomainRow:
    """A domain by name. For a site, a foreign domain is invisible rather than forbidden.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    row = conn.execute(f"SELECT {_COLUMNS} FROM domain WHERE name = ?", (name,)).fetchone()  # noqa: S608
    domain = DomainRow(*row) if row else None
    if domain is None or (caller is not None and caller.is_site and domain.site != caller.name):
        raise NotFoundError(
            "there is no such domain, or it is not yours",
            code="unknown_domain",
            hint="trustcenter domain list shows the domains that you may use",
        )
    return domain


def by_id(conn: sqlite3.Connection, row_id: int) -> DomainRow:
    """A domain by its row id, which comes from our own tables only."""
    return DomainRow(*conn.execute(f"SELECT {_COLUMNS} FROM domain WHERE id = ?", (row_id,)).fetchone())  # noqa: S608


def describe(context: Context, conn: sqlite3.Connection, domain: DomainRow) -> api.Domain:
    """What may be shown of a domain."""
    count = conn.execute("SELECT count(*) FROM entry WHERE domain = ? AND status = 0", (domain.id,)).fetchone()[0]
    active = [
        v.version for v in context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM) if v.state is KeyState.ACTIVE
    ]
    return api.Domain(
        name=domain.name,
        uuid=domain.uuid,
        kind=domain.kind,
        site=domain.site,
        study=domain.study,
        recipient=domain.recipient,
        suite=SUITE,
        key_version=active[0] if active else 0,
        pseudonyms=count,
        created=domain.created,
    )


def visible(conn: sqlite3.Connection, caller: Principal) -> list[DomainRow]:
    """The domains that the caller may see, by name: all for an operator, its own for a site."""
    clause, values = (" WHERE site = ?", (caller.name,)) if caller.is_site else ("", ())
    rows = conn.execute(f"SELECT {_COLUMNS} FROM domain{clause} ORDER BY name", values).fetchall()  # noqa: S608
    return [DomainRow(*row) for row in rows]


async def create(context: Context, caller: Principal, request: str, body: api.DomainCreate) -> api.Domain:
    """Create a site's domain with its own random keys.

    Raises:
        NotFoundError: no such site.
        ConflictError: the name is taken.
    """
    new = NewDomain(body.name, new_uuid(), "site", site=body.site)
    await context.make_keys(key_ids(new.uuid))

    def effect(conn: sqlite3.Connection) -> api.Domain:
        context.directory.require_sites(conn, [body.site])
        insert(context, conn, new)
        context.audit(conn, Event.DOMAIN_CREATE, caller.name, request, domain=new.name, site=body.site, suite=SUITE)
        return describe(context, conn, find(conn, new.name))

    return await context.db.write(effect)
