"""Rotation of the keys that sign both logs: signed by the old key, verified across, taken up after a crash."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rules_support import OPERATOR, Files, Opened, rotate_room

from keys.ids import KeyId, Purpose
from keys.personal import PersonalKey
from trustcenter.audit import Event, fingerprint, parse_vkey, verify_bundle
from trustcenter.errors import BundleError, LogForkedError, StaleDatabaseError, UnavailableError, VerificationError
from trustcenter.instance import places
from trustcenter.instance.backups import reopen
from trustcenter.instance.checking import checks
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance
from trustcenter.instance.room_opening import make_log
from trustcenter.instance.rotating import audit_key


def opened(files: Files):
    return open_instance(files.config, files.passphrase)


async def bundle(instance: Instance, room: str) -> bytes:
    context = getattr(instance, room)
    return await context.db.read(lambda conn: b"".join(context.log.export(conn)))


async def checkpoint(instance: Instance, room: str) -> str:
    context = getattr(instance, room)
    return await context.db.read(context.log.checkpoint)


@pytest.mark.parametrize("room", ["registrar", "comparator"])
async def test_the_log_verifies_across_and_goes_on_after_a_restart(files: Files, room: str) -> None:
    async with opened(files) as instance:
        center = Opened(instance.registrar)
        await center.issue("plain", ["a"])
        before = await checkpoint(instance, room)
        first = getattr(instance, room).log.vkey
        done = await rotate_room(instance, room)
        assert done.to_versions[0] == 2
        assert done.from_fingerprint != done.to_fingerprint
        await center.issue("plain", ["b"])
        context = getattr(instance, room)
        await context.db.read(lambda conn: context.log.check_extends(conn, before))
        report = verify_bundle(io.BytesIO(await bundle(instance, room)))
        assert report.room == room
        last = context.log.vkey
        assert last != first
    async with opened(files) as instance:
        context = getattr(instance, room)
        assert context.log.vkey == last
        await context.db.read(lambda conn: context.log.check_extends(conn, before))
        assert (await rotate_room(instance, room)).to_versions[0] == 3
        verify_bundle(io.BytesIO(await bundle(instance, room)))
    assert files.failures() == []
    assert [f.text for f in checks.run(files.config, lambda: files.passphrase) if f.state == "fail"] == []


async def test_the_outside_head_is_signed_with_the_new_key(files: Files) -> None:
    async with opened(files) as instance:
        await rotate_room(instance, "registrar")
        versions = instance.registrar.ring
        states = await instance.registrar.db.read(lambda conn: versions.versions(conn, "instance", Purpose.AUDIT))
        assert [(v.version, v.state.value) for v in states] == [(1, "deactivated"), (2, "active")]
    async with opened(files) as instance:
        assert await Opened(instance.registrar).issue("plain", ["a"])


@pytest.mark.parametrize("room", ["registrar", "comparator"])
async def test_a_key_that_a_crash_left_behind_is_taken_up(files: Files, room: str) -> None:
    async with opened(files) as instance:
        getattr(instance, room).keys.add([KeyId("instance", Purpose.AUDIT, 2)])
        assert await checkpoint(instance, room)
    async with opened(files) as instance:
        assert await checkpoint(instance, room)  # still the old one
        assert (await rotate_room(instance, room)).to_versions[0] == 2
        verify_bundle(io.BytesIO(await bundle(instance, room)))
    assert files.failures() == []


async def test_an_overdue_key_shows_in_doctor(files: Files) -> None:
    from trustcenter.messages import api
    from trustcenter.registrar.rotating import keycare

    async with files.open() as center:
        await keycare.schedule(center.context, OPERATOR, "req", "plain", api.KeySchedule(days=1))
        findings = checks.run(files.config, lambda: files.passphrase)
        assert [f.state for f in findings if f.name == "key schedule"] == ["ok"]
        await center.context.db.write(
            lambda conn: conn.execute("UPDATE key_schedule SET days = -1 WHERE purpose = 'pseudonym'")
        )
    (found,) = [f for f in checks.run(files.config, lambda: files.passphrase) if f.name == "key schedule"]
    assert (found.state, "plain" in found.text) == ("warn", True)


async def test_a_reopened_log_begins_with_the_newest_key_and_is_handed_over_again(files: Files, tmp_path: Path) -> None:
    async with opened(files) as instance:
        await rotate_room(instance, "registrar")
    shutil.copytree(files.database.parent, tmp_path / "old")
    async with opened(files) as instance:
        await Opened(instance.registrar).issue("plain", ["lost"])
    shutil.rmtree(files.database.parent)
    shutil.copytree(tmp_path / "old", files.database.parent)
    statement = reopen.propose(files.config, files.passphrase).statement
    for name in ("anna", "bernd"):
        person = PersonalKey.load(files.dir / f"{name}.key")
        done = reopen.sign(files.config, files.passphrase, name, person, statement)
    assert isinstance(done, reopen.Reopened)
    async with opened(files) as instance:
        assert audit_key.version_of(instance.registrar.keys, parse_vkey(instance.registrar.log.vkey).public) == 2
        assert fingerprint(instance.registrar.log.vkey) == done.fingerprint
        assert (await rotate_room(instance, "registrar")).to_versions[0] == 3
        verify_bundle(io.BytesIO(await bundle(instance, "registrar")))
    assert files.failures() == []


async def test_another_process_goes_on_with_the_key_that_was_handed_over_to(files: Files) -> None:
    async with opened(files) as instance:
        context = instance.registrar
        epoch = (await context.db.read(lambda conn: conn.execute("SELECT epoch FROM instance").fetchone()))[0]
        other = make_log(instance.id, "registrar", context.keys, epoch)  # as a second process on the same store has it
        await rotate_room(instance, "registrar")
        first = await context.db.write(lambda conn: other.append(conn, Event.LOG_CHECKPOINT, {"who": "clara"}))
        note = await context.db.read(other.checkpoint)
        assert int(note.split("\n")[1]) > first
        assert other.vkey == context.log.vkey
        for raw in (
            await context.db.read(lambda conn: b"".join(other.export(conn))),
            await bundle(instance, "registrar"),
        ):
            assert len(verify_bundle(io.BytesIO(raw)).keys) == 2
        # And the other way round: it hands over, and the first one follows.
        context.keys.add([KeyId("instance", Purpose.AUDIT, 3)])
        public, sign = context.keys.public_key("instance", Purpose.AUDIT, 3), audit_key.signer(context.keys, 3)
        await context.db.write(lambda conn: other.hand_over(conn, public, sign, {"who": "olga"}))
        assert len(verify_bundle(io.BytesIO(await bundle(instance, "registrar"))).keys) == 3
        assert parse_vkey(context.log.vkey).public == public


async def test_without_the_material_of_the_new_key_nothing_is_signed(files: Files) -> None:
    async with opened(files) as instance:
        context = instance.registrar
        stranger = Ed25519PrivateKey.generate()
        public = stranger.public_key().public_bytes_raw()
        await context.db.write(lambda conn: context.log.hand_over(conn, public, stranger.sign, {"who": "olga"}))
        await context.db.write(lambda conn: context.log.append(conn, Event.LOG_CHECKPOINT, {"who": "clara"}))
        with pytest.raises(UnavailableError) as caught:
            await checkpoint(instance, "registrar")
        assert caught.value.code == "log_key_missing"


@pytest.mark.parametrize("room", ["registrar", "comparator"])
async def test_a_backup_of_before_a_rotation_is_restored_and_goes_on(files: Files, tmp_path: Path, room: str) -> None:
    """The database goes back to before the handover, the key store does not: the log goes on with the key it names."""
    async with opened(files) as instance:
        await Opened(instance.registrar).issue("plain", ["kept"])
        before = await checkpoint(instance, room)
    folder = places.file(files.config, room).parent
    shutil.copytree(folder, tmp_path / "old")
    async with opened(files) as instance:
        await rotate_room(instance, room)
        after = await checkpoint(instance, room)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "old", folder)
    if room == "comparator":  # it has no head outside: sites and auditors who hold the later head notice
        async with opened(files) as instance:
            context = instance.comparator
            await context.db.read(lambda conn: context.log.check_extends(conn, before))
            with pytest.raises((VerificationError, LogForkedError)):
                await context.db.read(lambda conn: context.log.check_extends(conn, after))
            raw = await bundle(instance, room)
            with pytest.raises(BundleError):
                verify_bundle(io.BytesIO(raw), old_checkpoints=[after])
            verify_bundle(io.BytesIO(raw), old_checkpoints=[before])
            assert (await rotate_room(instance, room)).to_versions[0] == 2  # the material is taken up
        return
    with pytest.raises(StaleDatabaseError):  # the head outside was signed with the new key, and is still believed
        async with opened(files):
            pass
    statement = reopen.propose(files.config, files.passphrase).statement
    for name in ("anna", "bernd"):
        done = reopen.sign(files.config, files.passphrase, name, PersonalKey.load(files.dir / f"{name}.key"), statement)
    assert isinstance(done, reopen.Reopened)
    async with opened(files) as instance:
        assert await Opened(instance.registrar).issue("plain", ["kept", "new"])
        report = verify_bundle(io.BytesIO(await bundle(instance, room)))
        assert report.events["instance:service:reopen"] == 1
    assert files.failures() == []
