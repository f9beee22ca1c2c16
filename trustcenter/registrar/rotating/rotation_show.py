"""What is shown of rotations and key versions; and finding a key's domain and version."""

from __future__ import annotations

from keys.ids import KeyId, Purpose
from keys.rotating import Shape, shape_of
from keys.states import KeyState
from trustcenter.auth import Principal
from trustcenter.errors import NotFoundError
from trustcenter.messages import api
from trustcenter.registrar import domains
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection

from . import rotation_record
from .keyring import Version
from .rotation_record import Rotation


def version_of(context: Context, conn: Connection, key: KeyId) -> Version:
    """A version with its state.

    Raises:
        NotFoundError: there is none.
    """
    for version in context.ring.versions(conn, key.scope, key.purpose):
        if version.version == key.version:
            return version
    raise NotFoundError("there is no such key version", code="unknown_key_version", hint="trustcenter keys list")


def by_scope(conn: Connection, scope: str) -> DomainRow:
    """The domain of a key's scope."""
    (row_id,) = conn.execute("SELECT id FROM domain WHERE 'domain:' || uuid = ?", (scope,)).fetchone()
    return domains.by_id(conn, row_id)


def needs_approval(context: Context, conn: Connection, found: Rotation) -> bool:
    """Whether the maps of a rotation leave under dual control only: the key that it led away from is compromised."""
    if shape_of(found.purpose) is not Shape.FLIP or not found.from_version:
        return False
    key = KeyId(found.scope, found.purpose, found.from_version)
    return version_of(context, conn, key).state is KeyState.COMPROMISED


def describe(context: Context, conn: Connection, rotation: Rotation) -> api.Rotation:
    """What is shown of a rotation; the only place that says how far it is."""
    domain = by_scope(conn, rotation.scope)
    return api.Rotation(
        rotation=rotation.id,
        domain=domain.name,
        purpose=rotation.purpose.value,
        from_version=rotation.from_version,
        to_version=rotation.to_version,
        stage=rotation.stage.value,
        total=rotation.total,
        done=rotation.done,
        high_water_mark=rotation.mark,
        deadline=rotation.deadline,
        started_by=rotation.started_by,
        started=rotation.started,
        since=rotation.since,
        map_mac=rotation.map_mac,
        approval_needed=needs_approval(context, conn, rotation),
        old_key_needed=rotation.purpose is Purpose.LOOKUP and rotation.from_version in domain.lookup,
        parties=[
            api.RotationParty(
                party=party.name,
                deliveries=party.deliveries,
                acknowledged=party.acknowledged,
                acknowledged_by=party.told_by,
            )
            for party in rotation_record.party_list(conn, rotation.id)
        ],
    )


async def show(context: Context, ident: str, caller: Principal | None = None) -> api.Rotation:
    """One rotation. A site sees those of its domains.

    Raises:
        NotFoundError: no such rotation, or not the caller's.
    """

    def query(conn: Connection) -> api.Rotation:
        found = rotation_record.find(conn, ident)
        domains.find(conn, by_scope(conn, found.scope).name, caller)
        return describe(context, conn, found)

    return await context.db.read(query)


async def list_rotations(context: Context, name: str | None, caller: Principal | None = None) -> api.Rotations:
    """The rotations of a domain, or of all, oldest first."""

    def query(conn: Connection) -> list[api.Rotation]:
        scope = None if name is None else domains.find(conn, name, caller).scope
        return [describe(context, conn, found) for found in rotation_record.listed(conn, scope)]

    return api.Rotations(rotations=await context.db.read(query))


async def list_keys(context: Context) -> api.Keys:
    """Every key version with its state; material stays in the key store."""

    def query(conn: Connection) -> list[api.KeyVersion]:
        names = {f"domain:{uuid}": name for uuid, name in conn.execute("SELECT uuid, name FROM domain")}
        checks = {entry.id: entry.kcv for entry in context.keys.entries()}
        return [
            api.KeyVersion(
                scope=version.scope,
                domain=names.get(version.scope),
                purpose=version.purpose.value,
                version=version.version,
                state=version.state.value,
                since=version.since,
                kcv=checks.get(version.key_id(), ""),
            )
            for version in context.ring.versions(conn)
        ]

    return api.Keys(keys=await context.db.read(query))
