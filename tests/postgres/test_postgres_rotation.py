"""Rotation of every key on PostgreSQL: the same statements, the same ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from postgres_support import PostgresServer
from rules_support import OPERATOR, Files, rotate_room
from tests_support import make_instance

from trustcenter.instance.opening import open_instance
from trustcenter.messages import api
from trustcenter.registrar import reindexing, rewriting, rotation, rotation_end, rotation_verify

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
