"""Steps of a rotation as tests take them: begin, fetch a map, register a key, propose and approve."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from rules_support import NORTH, OPERATOR, Files, Opened

from keys import hybrid
from keys.ids import Purpose
from keys.personal import PersonalKey
from trustcenter.auth import Principal
from trustcenter.clock import utc_now
from trustcenter.instance.opened import Instance
from trustcenter.instance.rotating import room_key_proposals
from trustcenter.messages import api
from trustcenter.registrar import site_keys
from trustcenter.registrar.rotating import key_proposals, rotation, rotation_map

ANNA = Principal("anna", "approver", "")


def later(days: int) -> Callable[[], datetime]:
    return lambda: utc_now() + timedelta(days=days)


def key_store(files: Files) -> Path:
    return files.config.path(files.config.files.registrar_keys)


async def states(center: Opened, name: str = "plain") -> dict[int, str]:
    domain = await center.domain(name)
    versions = await center.context.db.read(
        lambda conn: center.context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM)
    )
    return {v.version: v.state.value for v in versions}


async def begin(center: Opened, **options: object) -> api.RotationPlan:
    body = api.RotateRequest(**options)  # type: ignore[arg-type]
    return await rotation.rotate(center.context, OPERATOR, "req", "plain", body)


async def fetch(center: Opened, ident: str, caller: Principal = NORTH, party: str = "site:north") -> bytes:
    parts: list[bytes] = []
    async for pieces in rotation_map.sealed(center.context, caller, "req", ident, party):
        parts += pieces
    return b"".join(parts)


async def register_key(center: Opened, site: str) -> hybrid.RecipientKey:
    key = hybrid.RecipientKey.generate()
    body = api.SiteKeySet(public_key=key.public, fingerprint=key.fingerprint)
    await site_keys.set_site_key(center.context, OPERATOR, "req", site, body)
    return key


def digest(opened: bytes) -> str:
    assert opened.startswith(b"old,new\n")
    return hashlib.sha256(opened.removeprefix(b"old,new\n")).hexdigest()


async def approve(center: Opened, files: Files, body: api.KeyPropose) -> api.KeyProposal:
    anna = PersonalKey.load(files.dir / "anna.key")
    made = await key_proposals.propose(center.context, OPERATOR, "req", body)
    signed = api.Approval(signature=anna.sign(key_proposals.CONTEXT, made.statement.encode()))
    return await key_proposals.approve(center.context, ANNA, "req", made.proposal, signed)


async def destroy_room_keys(instance: Instance, room: str, files: Files, version: int = 1) -> api.KeyProposal:
    """Propose as the operator and approve as anna that a version of a room's own keys is destroyed."""
    body = api.KeyPropose(kind="destroy", room=room, version=version)  # type: ignore[arg-type]
    made = await room_key_proposals.propose(instance, OPERATOR, "req", body)
    signed = PersonalKey.load(files.dir / "anna.key").sign(key_proposals.CONTEXT, made.statement.encode())
    return await room_key_proposals.approve(instance, ANNA, "req", made.proposal, api.Approval(signature=signed))
