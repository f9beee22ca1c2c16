"""Rotation of the key that vouches for key states: the new one for every state, the old one for what it had marked."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from rules_support import NORTH, OPERATOR, Files, Opened, rotate_room

from keys.ids import KeyId, Purpose
from trustcenter.errors import ConflictError, VerificationError
from trustcenter.instance.opening import open_instance
from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import translate
from trustcenter.registrar.rotating import rotation, rotation_map, rotation_verify
from trustcenter.registrar.rotating.keyring import _message
from trustcenter.store import Connection


async def rotate(files: Files) -> None:
    async with open_instance(files.config, files.passphrase) as instance:
        await rotate_room(instance, "registrar")


async def states(center: Opened) -> dict[int, str]:
    context = center.context
    found = await context.db.read(lambda conn: context.ring.versions(conn, "instance", Purpose.STATE))
    return {version.version: version.state.value for version in found}


async def test_every_state_is_vouched_for_by_the_new_key_and_the_log_says_so(files: Files) -> None:
    async with files.open() as center:
        before = await center.sql(
            "SELECT scope, purpose, version, state, mac FROM key_version WHERE purpose <> 'audit'"
        )
        texts = await center.issue("plain", ["a"])
    await rotate(files)
    async with files.open() as center:
        assert await states(center) == {1: "deactivated", 2: "active"}
        after = {
            row[:3]: row[3:] for row in await center.sql("SELECT scope, purpose, version, state, mac FROM key_version")
        }
        for *key, state, mac in before:
            now = after[tuple(key)]
            assert now[1] != mac
            assert now[0] == ("deactivated" if key[1] == "state" else state)
        assert await center.issue("plain", ["a"]) == texts
        told = [entry for entry in await center.entries("operator:key:rotate") if entry["purpose"] == "state"]
        assert [(entry["from_version"], entry["to_version"]) for entry in told] == [(1, 2)]
    await rotate(files)
    async with files.open() as center:
        assert await states(center) == {1: "deactivated", 2: "deactivated", 3: "active"}
    assert files.failures() == []


async def test_a_state_that_the_old_key_vouches_for_is_refused(files: Files) -> None:
    """Whoever has the old state key alone can forge no state any more."""
    await rotate(files)
    async with files.open() as center:
        context = center.context
        (row,) = await center.sql(
            "SELECT scope, purpose, version, state, since, high_water FROM key_version WHERE purpose = 'pseudonym'"
        )
        forged = (*row[:3], "suspended", *row[4:])
        mac = context.keys.mac("instance", Purpose.STATE, 1, _message(forged))
        await context.db.write(
            lambda conn: conn.execute(
                "UPDATE key_version SET state = 'suspended', mac = ? WHERE purpose = 'pseudonym'", (mac,)
            )
        )
        with pytest.raises(VerificationError) as refused:
            await center.issue("plain", ["a"] * 20)
        assert refused.value.code == "key_state_forged"


async def rewrite(center: Opened) -> None:
    """What somebody with the old state key and the database does: the old version vouches for everything again."""
    keys = center.context.keys

    def effect(conn: Connection) -> None:
        conn.execute("DELETE FROM key_version WHERE purpose = 'state' AND version > 1")
        conn.execute("UPDATE key_version SET state = 'active' WHERE purpose = 'state'")
        for row in conn.execute("SELECT scope, purpose, version, state, since, high_water FROM key_version").fetchall():
            mac = keys.mac("instance", Purpose.STATE, 1, _message(row))
            conn.execute(
                "UPDATE key_version SET mac = ? WHERE scope = ? AND purpose = ? AND version = ?", (mac, *row[:3])
            )

    await center.context.db.write(effect)


async def test_a_database_does_not_let_the_old_key_vouch_again(files: Files) -> None:
    await rotate(files)
    async with files.open() as center:
        await rewrite(center)
        with pytest.raises(VerificationError) as refused:  # while the service runs
            await center.issue("plain", ["a"] * 20)
        assert refused.value.code == "key_state_forged"
    with pytest.raises(VerificationError) as refused:  # and at its next start
        async with files.open():
            pass
    assert refused.value.code == "key_state_forged"


async def test_a_head_from_before_there_were_versions_of_the_state_key_still_opens(files: Files) -> None:
    async with files.open() as center:
        facts = files.head_facts()
        assert facts.pop("state_key") == 1
        body = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
        signature = center.context.keys.sign("instance", Purpose.AUDIT, 1, body)
    files.head.write_bytes(body + b"\n" + base64.b64encode(signature) + b"\n")
    async with files.open() as center:
        await center.issue("plain", ["a"])


async def test_a_repeated_request_is_recognised_across_a_rotation(files: Files) -> None:
    async with files.open() as center:
        await center.domain("multi", multi=True)
        first = await center.additional("multi", "once", ["a", "b"])
    await rotate(files)
    async with files.open() as center:
        again = await center.additional("multi", "once", ["a", "b"])
        assert (again.repeated, again.pseudonyms) == (True, first.pseudonyms)
        with pytest.raises(ConflictError) as refused:
            await center.additional("multi", "once", ["c"])
        assert refused.value.code == "idempotency_key_reused"
        later = await center.additional("multi", "twice", ["a"])
        assert not later.repeated
    await rotate(files)
    async with files.open() as center:
        assert (await center.additional("multi", "once", ["a", "b"])).pseudonyms == first.pseudonyms
        assert (await center.additional("multi", "twice", ["a"])).pseudonyms == later.pseudonyms


async def test_a_map_that_was_delivered_before_is_acknowledged_after(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a", "b"])
        ident = (await rotation.rotate(center.context, OPERATOR, "req", "plain", api.RotateRequest())).rotation or ""
        await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        digest = hashlib.sha256()
        async for part in translate.translation_map(center.context, NORTH, "req", "plain", 1):
            digest.update("".join(f"{old},{new}\n" for old, new in part).encode())
    await rotate(files)
    async with files.open() as center:
        told = api.MapAcknowledge(sha256=digest.hexdigest())
        shown = await rotation_map.acknowledge(center.context, NORTH, "req", ident, told)
        assert [party.acknowledged_by for party in shown.parties] == ["north"]


async def test_a_state_key_that_a_crash_left_behind_is_taken_up(files: Files) -> None:
    async with files.open() as center:
        center.context.keys.add([KeyId("instance", Purpose.STATE, 2)])
        await center.issue("plain", ["a"])
        assert await states(center) == {1: "active"}
    await rotate(files)
    async with files.open() as center:
        assert await states(center) == {1: "deactivated", 2: "active"}
    assert files.failures() == []
