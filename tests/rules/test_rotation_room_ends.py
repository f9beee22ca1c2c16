"""The end of a room's own keys: destroyed by two people after their grace, marked when they leaked."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from killed_victims import LEAKED
from rotation_support import ANNA, begin, destroy_room_keys, digest, fetch, later, register_key
from rules_support import NORTH, OPERATOR, Files, Opened, rotate_room
from tests_support import make_instance

from keys.errors import KeyDestroyedError, SignatureError
from keys.ids import KeyId, Purpose
from keys.personal import PersonalKey
from trustcenter.audit.verify import verify_bundle
from trustcenter.auth import Principal
from trustcenter.clock import utc_now
from trustcenter.comparator import receipt_keys
from trustcenter.errors import ConflictError, NotFoundError, PolicyError, StaleDatabaseError, UsageError
from trustcenter.instance.checking import checks
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance
from trustcenter.instance.rotating import (
    room_key_compromise,
    room_key_leaks,
    room_key_plan,
    room_key_proposals,
    room_key_record,
    room_key_show,
)
from trustcenter.messages import api
from trustcenter.messages.receipts import Receipt
from trustcenter.registrar.rotating import key_proposals, rotation_end, rotation_map, rotation_verify

ROOMS = ("registrar", "comparator")
both = pytest.mark.parametrize("room", ROOMS)


def opened(files: Files, clock: Callable[[], datetime] = utc_now) -> Any:
    return open_instance(files.config, files.passphrase, clock)


def wanted(room: str, **options: Any) -> api.KeyPropose:
    return api.KeyPropose(**{"kind": "destroy", "room": room, "version": 1, **options})


async def refused(instance: Instance, room: str, **options: Any) -> str:
    """The code with which a proposal to destroy is refused, tried and really; each refusal has a hint."""
    codes = set()
    for dry_run in (True, False):
        with pytest.raises((ConflictError, NotFoundError)) as raised:
            await room_key_proposals.propose(instance, OPERATOR, "req", wanted(room, dry_run=dry_run, **options))
        assert raised.value.hint or raised.value.code == "key_destroyed"
        codes.add(raised.value.code)
    (code,) = codes
    return code


async def states(instance: Instance, room: str) -> dict[tuple[str, int], str]:
    found = (await room_key_show.list_keys(instance)).keys
    return {(key.purpose, key.version): key.state for key in found if key.room == room and key.purpose != "sealing"}


async def entries(instance: Instance, room: str, event: str) -> list[dict[str, Any]]:
    context = getattr(instance, room)
    leaves = await context.db.read(lambda conn: conn.execute("SELECT leaf FROM audit_entry ORDER BY seq").fetchall())
    found = [json.loads(leaf) for (leaf,) in leaves]
    return [{"who": entry["who"], **entry["data"]} for entry in found if entry["event"] == event]


@both
async def test_versions_are_destroyed_after_grace_by_two_people_and_no_sooner(files: Files, room: str) -> None:
    beside = room_key_plan.BESIDE[room].value
    async with opened(files) as instance:
        await Opened(instance.registrar).issue("plain", ["a"])
        assert await refused(instance, room) == "key_in_use"
        first = getattr(instance, room).log.vkey
        await rotate_room(instance, room)
        assert await refused(instance, room) == "not_due"
        assert await refused(instance, room, version=7) == "unknown_key_version"
    async with opened(files, later(31)) as instance:
        with pytest.raises(UsageError):
            await room_key_proposals.propose(instance, OPERATOR, "req", wanted(room, domain="plain"))
        tried = await room_key_proposals.propose(instance, OPERATOR, "req", wanted(room, dry_run=True))
        assert (tried.room, tried.domain, await room_key_proposals.listed(instance)) == (room, None, [])
        made = await room_key_proposals.propose(instance, OPERATOR, "req", wanted(room))
        assert f"key: {beside} version 1" in made.statement
        anna = PersonalKey.load(files.dir / "anna.key")
        good = api.Approval(signature=anna.sign(key_proposals.CONTEXT, made.statement.encode()))
        with pytest.raises(PolicyError):
            await room_key_proposals.approve(
                instance, Principal("operator", "approver", ""), "req", made.proposal, good
            )
        other = api.Approval(signature=PersonalKey.generate().sign(key_proposals.CONTEXT, made.statement.encode()))
        with pytest.raises(SignatureError):
            await room_key_proposals.approve(instance, ANNA, "req", made.proposal, other)
        assert await states(instance, room) == {
            ("audit", 1): "deactivated", ("audit", 2): "active", (beside, 1): "deactivated", (beside, 2): "active"
        }  # fmt: skip
        done = await room_key_proposals.approve(instance, ANNA, "req", made.proposal, good)
        assert (done.approved_by, done.over) == ("anna", False)
        with pytest.raises(ConflictError):
            await room_key_proposals.approve(instance, ANNA, "req", made.proposal, good)
        assert await refused(instance, room) == "key_destroyed"
        told = await entries(instance, room, "operator:key:destroy")
        assert {(entry["purpose"], entry["version"]) for entry in told} == {("audit", 1), (beside, 1)}
        assert {entry.get("approved_by") for entry in told} == ({"anna"} if room == "registrar" else {None})
    async with opened(files, later(31)) as instance:
        context = getattr(instance, room)
        assert await states(instance, room) == {
            ("audit", 1): "destroyed", ("audit", 2): "active", (beside, 1): "destroyed", (beside, 2): "active"
        }  # fmt: skip
        with pytest.raises(KeyDestroyedError):
            context.keys.sign("instance", Purpose.AUDIT, 1, b"x")
        assert await Opened(instance.registrar).issue("plain", ["a", "b"])
        exported = await context.db.read(lambda conn: b"".join(context.log.export(conn)))
        report = verify_bundle(io.BytesIO(exported))  # the log still verifies from its first key on
        assert (report.vkey, len(report.keys)) == (first, 2)
        assert (await rotate_room(instance, room)).from_versions == [2, 2]
    assert files.failures() == []
    found = {one.name: one.state for one in checks.run(files.config, lambda: files.passphrase)}
    assert [found[name] for name in ("registrar log", "comparator log", "key states", "receipt keys")] == ["ok"] * 4


async def test_receipts_still_lead_from_the_first_key_when_its_private_half_is_gone(files: Files) -> None:
    async with opened(files) as instance:
        first = instance.comparator.keys.public_key("instance", Purpose.RECEIPT, 1)
        await rotate_room(instance, "comparator")
    async with opened(files, later(31)) as instance:
        await destroy_room_keys(instance, "comparator", files)
    async with opened(files, later(31)) as instance:
        room = instance.comparator
        assert instance.registrar.comparator_key == first
        blank = Receipt(
            study="heart", version=1, source="north", upload="ab" * 16, rows=9, root="cd" * 32, sequence=1, signature=""
        )
        receipt = await room.db.read(lambda conn: receipt_keys.sign(room.keys, conn, blank))
        receipt.verify(first)


async def test_a_version_that_maps_are_marked_under_waits_for_them(files: Files) -> None:
    async with opened(files) as instance:
        center = Opened(instance.registrar)
        await center.issue("plain", ["a"])
        ident = (await begin(center)).rotation or ""
        await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        key = await register_key(center, "north")
        first = key.open(await fetch(center, ident), rotation_map.seal_info(ident, "site:north"))
        await rotate_room(instance, "registrar")
    async with opened(files, later(31)) as instance:
        center = Opened(instance.registrar)
        assert await refused(instance, "registrar") == "key_in_use"
        await fetch(center, ident)  # marked under the present version
        await destroy_room_keys(instance, "registrar", files)
        told = api.MapAcknowledge(sha256=digest(first))
        await rotation_map.acknowledge(center.context, NORTH, "req", ident, told)
        await rotation_end.finalize(center.context, OPERATOR, "req", ident)


@both
async def test_a_leak_that_was_cut_is_told_by_doctor_keeps_its_keys_and_is_ended_once(
    files: Files, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    async def die(*_: Any) -> None:
        raise Killed

    async with opened(files) as instance:
        with monkeypatch.context() as patched:
            patched.setattr(room_key_compromise, "finish", die)
            with pytest.raises(Killed):
                await room_key_compromise.compromise(instance, OPERATOR, "req", room, LEAKED)
        await rotate_room(instance, room)  # somebody who did not know
    found = {one.name: one for one in checks.run(files.config, lambda: files.passphrase)}
    assert (found["key leaks"].state, f"--room {room}" in found["key leaks"].hint) == ("warn", True)
    async with opened(files, later(31)) as instance:
        assert len(await entries(instance, room, "operator:key:leak")) == 2  # with what was written down
        assert await entries(instance, room, "operator:key:compromise") == []
        assert await refused(instance, room) == "leak_not_ended"
        for _ in range(2):  # once; then there is nothing left
            await room_key_compromise.finish(instance, OPERATOR, "req", room)
        context = getattr(instance, room)
        (only,) = await context.db.read(room_key_record.listed)
        assert {leak.rotation for leak in await context.db.read(room_key_leaks.listed)} == {only.id}
        beside = room_key_plan.BESIDE[room].value
        shown = await states(instance, room)
        assert {key for key, state in shown.items() if state == "compromised"} == {("audit", 1), (beside, 1)}
        assert len(await entries(instance, room, "operator:key:compromise")) == 2
        await destroy_room_keys(instance, room, files)
    found = {one.name: one for one in checks.run(files.config, lambda: files.passphrase)}
    assert found["key leaks"].state == "ok"
    assert files.failures() == []


class Killed(Exception):
    """Where a process would have died."""


async def test_a_comparator_of_its_own_destroys_its_keys_with_its_own_people(tmp_path: Path) -> None:
    files = Files(tmp_path / "alone")
    make_instance(files.dir, ("--room", "comparator", "--separation", "operator"))
    anna = PersonalKey.generate()
    anna.save(files.dir / "anna.key")
    async with opened(files) as instance:
        gate = instance.gate
        await gate.db.write(lambda conn: gate.directory.add_staff(conn, "anna", "approver", anna.public))
        await room_key_compromise.compromise(instance, OPERATOR, "req", "comparator", LEAKED)
        with pytest.raises(NotFoundError):
            await room_key_proposals.propose(instance, OPERATOR, "req", wanted("registrar"))
    async with opened(files, later(31)) as instance:
        assert (await destroy_room_keys(instance, "comparator", files)).approved_by == "anna"
        (approved,) = await entries(instance, "comparator", "approver:key:approve")
        assert (approved["who"], approved["version"]) == ("anna", 1)
    async with opened(files, later(31)) as instance:
        shown = await states(instance, "comparator")
        assert {key for key, state in shown.items() if state == "destroyed"} == {("audit", 1), ("receipt", 1)}
    assert files.failures() == []


@both
async def test_a_leak_said_twice_in_the_same_words_is_exchanged_once_and_in_others_again(
    files: Files, room: str
) -> None:
    async with opened(files) as instance:
        first = await room_key_compromise.compromise(instance, OPERATOR, "req", room, LEAKED)
        again = await room_key_compromise.compromise(instance, OPERATOR, "req", room, LEAKED)
        assert (again.rotation, again.replaced_by, again.in_use_until) == (first.rotation, 2, first.in_use_until)
        assert len(again.next_steps) == len(first.next_steps) + 1
        other = api.RoomKeyCompromise(reason="a second disk")
        assert (await room_key_compromise.compromise(instance, OPERATOR, "req", room, other)).replaced_by == 3


@both
async def test_a_database_from_before_the_exchange_is_refused_once_its_keys_are_destroyed(
    files: Files, room: str
) -> None:
    """With the key store of that time as well, the comparator goes on, and what was agreed since destroys nothing."""
    async with opened(files):
        pass
    database, store = files.dir / room / f"{room}.db", files.dir / f"{room}-keys" / f"{room}.keys"
    before = database.read_bytes(), store.read_bytes()
    async with opened(files) as instance:
        await rotate_room(instance, room)
    async with opened(files, later(31)) as instance:
        await destroy_room_keys(instance, room, files)
    database.write_bytes(before[0])
    with pytest.raises(StaleDatabaseError) as raised:
        async with opened(files, later(31)):
            pass
    assert raised.value.hint
    if room == "comparator":
        store.write_bytes(before[1])
        async with opened(files, later(31)) as instance:
            assert instance.comparator.keys.has(KeyId("instance", Purpose.AUDIT, 1))
            assert (await rotate_room(instance, room)).to_versions == [2, 2]
        async with opened(files, later(62)) as instance:  # agreed on was another rotation
            assert instance.comparator.keys.has(KeyId("instance", Purpose.AUDIT, 1))


@both
async def test_a_database_that_needs_a_destroyed_key_is_refused_though_an_older_key_is_there(
    files: Files, room: str
) -> None:
    """Not called a key store that is too old: there is none newer to be restored."""
    async with opened(files) as instance:
        await rotate_room(instance, room)
    database = files.dir / room / f"{room}.db"
    before = database.read_bytes()
    async with opened(files) as instance:
        await rotate_room(instance, room)
    async with opened(files, later(31)) as instance:
        await destroy_room_keys(instance, room, files, version=2)
    database.write_bytes(before)
    with pytest.raises(StaleDatabaseError):
        async with opened(files, later(31)):
            pass
