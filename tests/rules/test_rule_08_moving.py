"""Rule 8: moved to PostgreSQL, serials and nonces are verbatim, the old files are fenced, the epoch is one higher."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from postgres_support import shared_server
from rules_support import FORMAT, Files, Opened

from trustcenter import config as configuration
from trustcenter.errors import ConflictError, VerificationError
from trustcenter.instance.backups import migrate
from trustcenter.instance.opening import REGISTRAR_MIGRATIONS
from trustcenter.messages import api
from trustcenter.store import Database, Postgres

NAMES = ("plain", "several", "drawn")
_BODY = "BEGIN IF NEW.serial = 30 THEN NEW.nonce := '\\x0000000000'; END IF; RETURN NEW; END"
SPOIL = (
    f"CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ {_BODY} $$",
    "CREATE TRIGGER spoils BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION spoil()",
)


async def fill(files: Files) -> dict[str, list[str]]:
    async with files.open() as center:
        await center.domain("several", multi=True, deletable=True)
        await center.domain("drawn", suite=api.Suite.DRAWN, format=FORMAT, deletable=True)
        texts = {}
        for name in NAMES:
            texts[name] = await center.issue(name, [f"o{n}" for n in range(60)])
            await center.remove("delete", name, texts[name][:5])
            await center.remove("anonymise", name, texts[name][5:8])
        await center.rotate("plain")
    return texts


async def held(center: Opened) -> dict[str, list[tuple[object, ...]]]:
    return {name: await center.rows(name) for name in NAMES}


async def test_every_row_and_pseudonym_is_the_same_under_the_next_epoch(files: Files, tmp_path: Path) -> None:
    server = shared_server()
    texts = await fill(files)
    async with files.open() as center:
        before = await held(center)
        now = {name: (await center.translate(name, texts[name][5:])).pseudonyms for name in NAMES}
    old = shutil.copytree(files.dir, tmp_path / "old")
    moved = await migrate.migrate(
        files.config, files.passphrase, configuration.Postgres(server.create(), server.create())
    )
    assert moved.epoch == 1
    assert moved.pseudonyms == 2 * 55  # each live one of the computed domains; drawn ones are rows
    assert moved.rows >= sum(map(len, before.values()))
    async with files.open() as center:
        assert await center.sql("SELECT epoch FROM instance") == [(1,)]
        assert center.context.head.epoch == files.head_facts()["epoch"] == 1
        assert await held(center) == before  # serial, nonce, salt, tag and sealed original, verbatim
        for name in NAMES:
            assert (await center.translate(name, texts[name][5:])).pseudonyms == now[name]
            assert set(await center.verdicts(name, texts[name][:5])) == {"unknown_pseudonym"}
            assert await center.issue(name, ["o20"]) == [now[name][15]]
            (new,) = await center.issue(name, ["after the move"])
            assert new not in texts[name]
            assert [row[0] >> 36 for row in await center.rows(name)] == [0] * 60 + [1]
        (entry,) = await center.entries("instance:service:move")
        assert (entry["from_epoch"], entry["to_epoch"]) == (0, 1)
    assert files.failures() == []

    # The old files are fenced, beside the new head and beside their own.
    text = (old / "config.toml").read_text()
    (files.dir / "config.toml").write_text(text)
    for head in (files.head.read_bytes(), (old / "registrar-keys" / "head.json").read_bytes()):
        files.head.write_bytes(head)
        with pytest.raises(ConflictError) as caught:
            async with files.open():
                pass
        assert caught.value.code == "instance_moved"


async def test_a_copy_that_differs_switches_nothing(files: Files) -> None:
    """A target that changes one nonce as it arrives: the comparison finds it, and the old files go on."""
    server = shared_server()
    texts = await fill(files)
    names = configuration.Postgres(server.create(), server.create())
    assert names.registrar is not None
    target = Database.open_sync(Postgres(names.registrar), REGISTRAR_MIGRATIONS, application="registrar")
    for statement in SPOIL:
        target.write_sync(lambda conn, statement=statement: conn.execute(statement).rowcount)  # type: ignore[misc]
    target.close_sync()
    with pytest.raises(VerificationError) as caught:
        await migrate.migrate(files.config, files.passphrase, names)
    assert caught.value.code == "copy_differs"
    assert caught.value.where.startswith("entry, row")
    assert "[postgres]" not in (files.dir / "config.toml").read_text()
    async with files.open() as center:
        assert center.context.head.epoch == 0
        assert set(await center.verdicts("plain", texts["plain"][5:])) == {"ok"}
    assert files.failures() == []
