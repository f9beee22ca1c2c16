"""Rotation of a room's own keys as a procedure: planned, begun, taken up from every stage, shown, on a schedule."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joining_support import joining
from rules_support import OPERATOR, Files, Opened, rotate_room

from keys.ids import KeyId, Purpose
from keys.kdf import CHEAP_FOR_TESTS
from keys.rotating import Stage
from keys.store import KeyStore
from trustcenter.errors import ConflictError, NotFoundError, VerificationError
from trustcenter.instance.checking import checks, checks_keys
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance
from trustcenter.instance.rotating import (
    rekey,
    room_key_compromise,
    room_key_plan,
    room_key_record,
    room_key_show,
    room_keys,
)
from trustcenter.messages import api
from trustcenter.messages.rooms import Step
from trustcenter.registrar.linking import receipt_keys
from trustcenter.store import Connection, IntegrityError
from trustcenter.store.steps import set_step, step

ROOMS = ("registrar", "comparator")
CUT = {"prepared": (room_keys, "cut_over"), "material": (room_keys.record, "step"), "changed": (room_keys, "verify")}
both = pytest.mark.parametrize("room", ROOMS)


def opened(files: Files, clock: Any = lambda: datetime.now(UTC)) -> Any:
    return open_instance(files.config, files.passphrase, clock)


async def cut(instance: Instance, monkeypatch: pytest.MonkeyPatch, room: str, stage: str) -> None:
    """Begin a rotation that ends before the step which would leave this stage."""

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    module, name = CUT[stage]
    with monkeypatch.context() as patched:
        patched.setattr(module, name, die)
        with pytest.raises(Killed):
            await rotate_room(instance, room)


async def listed(instance: Instance, room: str) -> list[room_key_record.RoomRotation]:
    return await getattr(instance, room).db.read(room_key_record.listed)


class Killed(Exception):
    """Where a process would have died."""


@both
async def test_a_plan_changes_nothing_and_the_rotation_runs_to_its_end(files: Files, room: str) -> None:
    async with opened(files) as instance:
        context = getattr(instance, room)
        before = await context.db.read(context.log.head), context.keys.generation, context.log.vkey
        plan = await room_keys.rotate(instance, OPERATOR, "req", room, api.RoomRotateRequest(dry_run=True))
        assert (plan.state, plan.from_versions, plan.to_versions, plan.rotation) == ("planned", [1, 1], [2, 2], None)
        assert plan.purposes == ["audit", room_key_plan.BESIDE[room].value]
        assert (await context.db.read(context.log.head), context.keys.generation, context.log.vkey) == before
        done = await rotate_room(instance, room)
        assert (done.state, done.to_versions) == ("done", [2, 2])
        (shown,) = await room_key_show.rotations(instance)
        assert (shown.rotation, shown.room, shown.domain, shown.stage) == (done.rotation, room, None, "finalized")
        states = {
            (key.room, key.purpose, key.version): key.state
            for key in (await room_key_show.list_keys(instance)).keys
            if key.domain is None
        }
        for purpose in plan.purposes:
            assert (states[room, purpose, 1], states[room, purpose, 2]) == ("deactivated", "active")
        assert states[room, "sealing", 1] == "active"
        again = api.RoomRotateRequest(expected_version=1)
        with pytest.raises(ConflictError) as stale:
            await room_keys.rotate(instance, OPERATOR, "req", room, again)
        assert stale.value.code == "rotation_plan_stale"
    assert files.failures() == []


@both
@pytest.mark.parametrize("stage", ["prepared", "material", "changed"])
async def test_a_rotation_that_was_cut_is_shown_refuses_a_second_and_is_taken_up(
    files: Files, monkeypatch: pytest.MonkeyPatch, room: str, stage: str
) -> None:
    async with opened(files) as instance:
        await cut(instance, monkeypatch, room, stage)
    (finding,) = _rotations(files)
    assert (finding.state, room in finding.text) == ("warn", True)
    async with opened(files) as instance:
        await Opened(instance.registrar).issue("plain", ["a"])
        context = getattr(instance, room)
        await context.db.read(context.log.checkpoint)
        (found,) = await listed(instance, room)
        assert found.stage.value == ("changed" if stage == "changed" else "prepared")
        assert context.keys.has(KeyId("instance", Purpose.AUDIT, 2)) is (stage != "prepared")
        with pytest.raises(ConflictError) as refused:
            await rotate_room(instance, room)
        assert (refused.value.code, refused.value.where) == ("rotation_under_way", found.id)
        for _ in range(2):  # repeating it changes nothing
            done = await room_keys.resume(instance, OPERATOR, "req", room, found.id)
            assert (done.stage, done.to_version, done.beside_to) == (Stage.FINALIZED, 2, 2)
        assert (await rotate_room(instance, room)).from_versions == [2, 2]
    assert [one.state for one in _rotations(files)] == ["ok"]
    assert files.failures() == []


@both
async def test_a_log_that_went_to_another_key_meanwhile_is_not_verified(
    files: Files, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    async with opened(files) as instance:
        await cut(instance, monkeypatch, room, "changed")
        context = getattr(instance, room)
        stranger = Ed25519PrivateKey.generate()
        public = stranger.public_key().public_bytes_raw()
        fields = {"who": "olga"} if room == "registrar" else {"window": 0}
        await context.db.write(lambda conn: context.log.hand_over(conn, public, stranger.sign, fields))
        (found,) = await listed(instance, room)
        with pytest.raises(VerificationError) as refused:
            await room_keys.verify(instance, OPERATOR, "req", room, found.id)
        assert refused.value.code == "rotation_broken"
        assert (await listed(instance, room))[0].stage is Stage.CHANGED


def _rotations(files: Files) -> list[Any]:
    stores = {room: KeyStore.open(files.dir / f"{room}-keys" / f"{room}.keys", files.passphrase) for room in ROOMS}
    return list(checks_keys.rotations(files.config, stores))


@both
async def test_the_database_itself_allows_one_rotation_of_a_room_at_a_time(files: Files, room: str) -> None:
    async with opened(files) as instance:

        def twice(conn: Connection) -> None:
            for _ in range(2):
                room_key_record.insert(conn, (1, 2, 1, 2), "operator", "2026-11-24T00:00:00.000000Z")

        with pytest.raises(IntegrityError):
            await getattr(instance, room).db.write(twice)
        assert await listed(instance, room) == []


async def test_an_unknown_room_or_rotation(files: Files) -> None:
    async with opened(files) as instance:
        with pytest.raises(NotFoundError) as refused:
            await rotate_room(instance, "cellar")
        assert refused.value.code == "unknown_room"
        assert await room_keys.room_of(instance, "ab" * 16) is None
        with pytest.raises(NotFoundError) as refused:
            await room_keys.resume(instance, OPERATOR, "req", "registrar", "ab" * 16)
        assert refused.value.code == "unknown_rotation"


@both
async def test_own_keys_and_passphrase_are_due_by_schedule_and_doctor_names_the_command(
    files: Files, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    late = datetime.now(UTC) + timedelta(days=11)
    async with opened(files) as instance:
        for purpose in ("audit", "sealing"):
            body = api.RoomKeySchedule(days=10, purpose=purpose)  # type: ignore[arg-type]
            shown = await room_key_show.schedule(instance, OPERATOR, "req", room, body)
        assert [(one.room, one.purpose, one.overdue) for one in shown.keys] == [
            (room, "audit", False),
            (room, "sealing", False),
        ]
        monkeypatch.setattr(checks_keys, "utc_now", lambda: late)
        found = {one.name: one for one in checks.run(files.config, lambda: files.passphrase)}["key schedule"]
        assert found.state == "warn"
        assert f"trustcenter keys rotate --room {room}" in found.hint
        assert "trustcenter keys rekey DIR" in found.hint
        await room_key_show.schedule(instance, OPERATOR, "req", room, api.RoomKeySchedule(days=0, purpose="sealing"))
        assert [one.purpose for one in await room_key_show.all_due(instance)] == ["audit"]
    async with opened(files, lambda: late) as instance:
        (one,) = await room_key_show.all_due(instance)
        assert one.overdue


async def test_another_passphrase_begins_the_days_of_the_seal_anew(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KeyStore.change_passphrase.__kwdefaults__, "kdf", CHEAP_FOR_TESTS)  # type: ignore[arg-type]
    start = datetime.now(UTC)
    now = [start]
    async with opened(files, lambda: now[0]) as instance:
        body = api.RoomKeySchedule(days=10, purpose="sealing")
        await room_key_show.schedule(instance, OPERATOR, "req", "comparator", body)
        now[0] = start + timedelta(days=11)
        assert [one.overdue for one in await room_key_show.all_due(instance)] == [True]
        rekey.rekey(files.config, files.passphrase, b"another good passphrase")  # while the service runs
        assert [(one.version, one.overdue) for one in await room_key_show.all_due(instance)] == [(2, False)]
    (files.dir / "passphrase").write_bytes(b"another good passphrase\n")
    async with opened(files, lambda: now[0]) as instance:
        now[0] += timedelta(days=11)
        assert [(one.version, one.overdue) for one in await room_key_show.all_due(instance)] == [(2, True)]


async def test_a_comparator_restored_to_before_its_rotation_is_rotated_again(files: Files) -> None:
    """The database alone: the next rotation takes the material up again."""
    async with opened(files):
        pass
    made = (files.dir / "comparator-keys" / "comparator.keys").read_bytes()
    old = {room: (files.dir / room / f"{room}.db").read_bytes() for room in ROOMS}
    async with opened(files) as instance:
        await rotate_room(instance, "comparator")
    (files.dir / "comparator" / "comparator.db").write_bytes(old["comparator"])
    keys = files.dir / "comparator-keys" / "comparator.keys"
    newer = keys.read_bytes()
    async with opened(files) as instance:
        assert (await rotate_room(instance, "comparator")).to_versions == [2, 2]
    # The key store as well: another key follows the first, and the registrar beside it forgets the one that did.
    (files.dir / "comparator" / "comparator.db").write_bytes(old["comparator"])
    keys.write_bytes(made)
    async with opened(files) as instance:
        assert (await rotate_room(instance, "comparator")).to_versions == [2, 2]
        told = await instance.registrar.db.read(lambda conn: receipt_keys.known(instance.registrar, conn))
        assert told[1][0] == instance.comparator.keys.public_key("instance", Purpose.RECEIPT, 2).hex()
    assert keys.read_bytes() != newer
    assert files.failures() == []


@both
async def test_leaked_keys_of_a_room_are_exchanged_at_once_and_marked(files: Files, room: str) -> None:
    body = api.RoomKeyCompromise(reason="backup disk stolen", since="2026-11-01", dry_run=True)
    async with opened(files) as instance:
        tried = await room_key_compromise.compromise(instance, OPERATOR, "req", room, body)
        assert (tried.rotation, await listed(instance, room)) == (None, [])
        said = msgspec.structs.replace(body, dry_run=False)
        report = await room_key_compromise.compromise(instance, OPERATOR, "req", room, said)
        assert (report.room, report.domain, report.version, report.replaced_by) == (room, None, 1, 2)
        assert (report.since, bool(report.cannot_heal)) == ("2026-11-01", True)
        (one,) = await listed(instance, room)
        assert (one.id, one.stage) == (report.rotation, Stage.FINALIZED)
        context = getattr(instance, room)
        leaves = await context.db.read(lambda conn: conn.execute("SELECT leaf FROM audit_entry").fetchall())
        marked = [entry["data"] for entry in map(json.loads, (leaf for (leaf,) in leaves)) if _compromise(entry)]
        assert {(data["purpose"], data["version"]) for data in marked} == {
            ("audit", 1),
            (room_key_plan.BESIDE[room], 1),
        }
        if room == "registrar":
            states = await context.db.read(lambda conn: context.ring.versions(conn, "instance"))
            assert {(v.version, v.state.value) for v in states} == {(1, "compromised"), (2, "active")}
    async with opened(files) as instance:
        assert await Opened(instance.registrar).issue("plain", ["a"])
    assert files.failures() == []


@both
async def test_a_rotation_that_was_under_way_when_keys_leaked_is_ended_and_both_its_versions_are_marked(
    files: Files, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    async with opened(files) as instance:
        await cut(instance, monkeypatch, room, "prepared")
        body = api.RoomKeyCompromise(reason="backup disk stolen")
        report = await room_key_compromise.compromise(instance, OPERATOR, "req", room, body)
        assert (report.version, report.replaced_by) == (2, 3)
        context = getattr(instance, room)
        leaves = await context.db.read(lambda conn: conn.execute("SELECT leaf FROM audit_entry").fetchall())
        marked = [entry["data"] for entry in map(json.loads, (leaf for (leaf,) in leaves)) if _compromise(entry)]
        beside = room_key_plan.BESIDE[room].value
        assert {(data["purpose"], data["version"]) for data in marked} == {
            (purpose, version) for purpose in ("audit", beside) for version in (1, 2)
        }
    assert files.failures() == []


async def test_rooms_of_one_process_that_were_reconciled_know_the_newest_receipt_key(files: Files) -> None:
    """And not the first one only, which may be the one that leaked."""
    async with opened(files) as instance, joining(instance) as study:
        await rotate_room(instance, "comparator")
        registrar, comparator = instance.registrar, instance.comparator

        async def known() -> list[str]:
            return [key for key, _ in await registrar.db.read(lambda conn: receipt_keys.known(registrar, conn))]

        before = await known()
        assert len(before) == 2
        await comparator.db.write(lambda conn: set_step(conn, Step(7, "07" * 32)))  # of another moment
        await study.create(["north", "south"])  # which is told to it
        assert await registrar.db.read(step) == await comparator.db.read(step)
        assert await known() == before


def _compromise(entry: dict[str, Any]) -> bool:
    return bool(entry["event"] == "operator:key:compromise")
