"""Rotation of every key on PostgreSQL: the same statements, the same ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from postgres_support import PostgresServer
from rotation_support import destroy_room_keys, later
from rules_support import OPERATOR, Files, Opened, rotate_room
from tests_support import make_instance

from keys.ids import Purpose
from keys.personal import PersonalKey
from trustcenter.comparator import receipt_keys
from trustcenter.instance.opening import open_instance
from trustcenter.instance.rotating import room_key_compromise, room_key_plan, room_key_record, room_key_show
from trustcenter.messages import api
from trustcenter.messages.receipts import Receipt
from trustcenter.registrar.linking import receipt_keys as learnt
from trustcenter.registrar.rotating import reindexing, rewriting, rotation, rotation_end, rotation_verify
from trustcenter.store import Connection, IntegrityError

NAMED = [f"p{i}" for i in range(60)]


@pytest.mark.faults
async def test_every_key_of_an_instance_is_rotated(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "CHUNK", 9)
    monkeypatch.setattr(reindexing, "TOGETHER", 7)
    monkeypatch.setattr(reindexing, "HELD", 30)
    files = Files(tmp_path / "instance")
    make_instance(files.dir, ["--postgres-registrar", server.create(), "--postgres-comparator", server.create()])
    async with files.open() as center:
        context = center.context
        await context.db.write(lambda conn: context.directory.add_site(conn, "north", "diz", "North"))
        await center.domain("plain", deletable=True)
        texts = await center.issue("plain", NAMED)
        for purpose in ("lookup", "data", "pseudonym"):
            body = api.RotateRequest(purpose=purpose)  # type: ignore[arg-type]
            ident = (await rotation.rotate(context, OPERATOR, "req", "plain", body)).rotation or ""
            if purpose == "lookup":
                await center.remove("delete", "plain", texts[:3])
            await rewriting.run(context, ident)
            shown = await rotation_verify.verify(context, OPERATOR, "req", ident)
            assert (shown.stage, shown.done) == ("verified", 57)
            if purpose != "pseudonym":
                await rotation_end.finalize(context, OPERATOR, "req", ident)
                assert await center.issue("plain", NAMED[3:]) == texts[3:]
    async with open_instance(files.config, files.passphrase) as instance:
        for room in ("registrar", "comparator"):
            assert (await rotate_room(instance, room)).to_versions[0] == 2
    async with files.open() as center:
        assert (await center.translate("plain", texts[3:])).pseudonyms == await center.issue("plain", NAMED[3:])
    assert files.failures() == []


@pytest.mark.faults
async def test_another_process_signs_with_the_next_keys_of_its_room_at_once(
    server: PostgresServer, tmp_path: Path
) -> None:
    files = Files(tmp_path / "instance")
    make_instance(files.dir, ["--postgres-registrar", server.create(), "--postgres-comparator", server.create()])

    def opened() -> Any:
        return open_instance(files.config, files.passphrase, exclusive=False)

    async with opened() as one, opened() as other:
        room = other.comparator
        first = room.keys.public_key("instance", Purpose.RECEIPT, 1)
        assert (await rotate_room(one, "comparator")).to_versions == [2, 2]
        blank = Receipt(
            study="heart", version=1, source="north", upload="ab" * 16, rows=9, root="cd" * 32, sequence=1, signature=""
        )
        receipt = await room.db.read(lambda conn: receipt_keys.sign(room.keys, conn, blank))
        receipt.verify(first)
        assert len(receipt.handovers) == 1
        assert await other.registrar.db.read(lambda conn: learnt.check(other.registrar, conn, receipt)) == []
        assert (await rotate_room(other, "comparator")).from_versions == [2, 2]
        assert (await rotate_room(other, "registrar")).to_versions == [2, 2]
        assert (await rotate_room(one, "registrar")).from_versions == [2, 2]
        for instance in (one, other):
            for context in (instance.registrar, instance.comparator):
                await context.db.read(context.log.checkpoint)
    assert files.failures() == []


@pytest.mark.faults
@pytest.mark.parametrize("room", ["registrar", "comparator"])
async def test_leaked_keys_of_a_room_are_marked_and_destroyed(
    server: PostgresServer, tmp_path: Path, room: str
) -> None:
    files = Files(tmp_path / "instance")
    make_instance(files.dir, ["--postgres-registrar", server.create(), "--postgres-comparator", server.create()])
    anna = PersonalKey.generate()
    anna.save(files.dir / "anna.key")
    async with open_instance(files.config, files.passphrase) as instance:
        people = instance.registrar.directory
        await instance.registrar.db.write(lambda conn: people.add_staff(conn, "anna", "approver", anna.public))
        body = api.RoomKeyCompromise(reason="backup disk stolen")
        report = await room_key_compromise.compromise(instance, OPERATOR, "req", room, body)
        again = await room_key_compromise.compromise(instance, OPERATOR, "req", room, body)
        assert (report.replaced_by, again.rotation) == (2, report.rotation)
    async with open_instance(files.config, files.passphrase, later(31)) as instance:
        await destroy_room_keys(instance, room, files)
    async with open_instance(files.config, files.passphrase, later(31)) as instance:
        states = {
            (key.purpose, key.version): key.state
            for key in (await room_key_show.list_keys(instance)).keys
            if key.room == room and key.purpose != "sealing"
        }
        beside = room_key_plan.BESIDE[room].value
        assert states == {
            ("audit", 1): "destroyed", ("audit", 2): "active", (beside, 1): "destroyed", (beside, 2): "active"
        }  # fmt: skip
    assert files.failures() == []


@pytest.mark.faults
async def test_r1_the_database_itself_allows_one_active_version_and_one_rotation(
    server: PostgresServer, tmp_path: Path
) -> None:
    files = Files(tmp_path / "instance")
    make_instance(files.dir, ["--postgres-registrar", server.create(), "--postgres-comparator", server.create()])
    async with open_instance(files.config, files.passphrase) as instance:
        context = instance.registrar
        await context.db.write(lambda conn: context.directory.add_site(conn, "north", "diz", "North"))
        await Opened(context).domain("plain")
        body = api.RotateRequest(prepare=True)
        await rotation.rotate(context, OPERATOR, "req", "plain", body)
        for sql in (
            "UPDATE key_version SET state = 'active' WHERE purpose = 'pseudonym'",
            "INSERT INTO rotation (id, scope, purpose, from_version, to_version, stage, mark, cursor, total, done,"  # noqa: ISC004
            " deadline, started_by, started, since) SELECT 'x', scope, purpose, 1, 3, stage, 0, 0, 0, 0, '', '', '', ''"
            " FROM rotation",
        ):
            with pytest.raises(IntegrityError):
                await context.db.write(lambda conn, sql=sql: conn.execute(sql))  # type: ignore[misc]
        for room in (instance.registrar, instance.comparator):

            def twice(conn: Connection) -> None:
                for _ in range(2):
                    room_key_record.insert(conn, (1, 2, 1, 2), "operator", "2026-11-24T00:00:00.000000Z")

            with pytest.raises(IntegrityError):
                await room.db.write(twice)
    assert files.failures() == []
