"""Rotation of a data key: every sealed value under the new version, pseudonyms unchanged, killed anywhere or not."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rules_support import OPERATOR, Files, Opened, fill

from keys.errors import SealError
from keys.ids import KeyId, Purpose
from trustcenter.errors import ConflictError, VerificationError
from trustcenter.messages import api
from trustcenter.registrar.reversal import originals
from trustcenter.registrar.rotating import (
    resealing,
    rewriting,
    rotation,
    rotation_end,
    rotation_record,
    rotation_show,
    rotation_verify,
    stored_values,
)

ROTATE = api.RotateRequest(purpose="data")


async def read_back(center: Opened, name: str) -> list[str]:
    domain = await center.domain(name)
    serials = {row[0] for row in await center.rows(name) if row[5] is not None}
    found = await center.context.db.read(lambda conn: originals.unseal(center.context, conn, domain, serials))
    return sorted(found.values())


async def sealed(center: Opened) -> list[tuple[Any, ...]]:
    return await center.sql(
        "SELECT domain, serial, sealed, 'e', tag FROM entry UNION ALL"
        " SELECT domain, serial, sealed, 's', tag FROM stored_string ORDER BY 1, 2, 4"
    )


@pytest.mark.parametrize("name", ["plain", "short"])
async def test_everything_is_sealed_anew_and_nothing_else_changes(files: Files, name: str) -> None:
    async with files.open() as center:
        texts = await fill(center)
        before, originals_before = await sealed(center), await read_back(center, name)
        domain = await center.domain(name)
        done = await rotation.rotate(center.context, OPERATOR, "req", name, ROTATE)
        assert (done.purpose, done.to_version, done.sites) == ("data", 2, ["north"])
        ident = done.rotation or ""
        with pytest.raises(ConflictError):
            await rotation.rotate(center.context, OPERATOR, "req", name, ROTATE)
        assert await read_back(center, name) == originals_before  # while versions lie side by side
        changed = await rewriting.run(center.context, ident)
        assert changed.stage == "changed"
        after = await sealed(center)
        moved = {(a[1], a[3]) for a, b in zip(before, after, strict=True) if a[2] != b[2]}
        assert moved == {(a[1], a[3]) for a in before if a[0] == domain.id and a[2] is not None}
        assert await read_back(center, name) == originals_before
        assert await center.issue(name, [f"p{i}" for i in range(60)][6:]) == texts[name][6:]

        shown = await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        assert (shown.stage, shown.done) == ("verified", len(moved))
        await rotation_end.finalize(center.context, OPERATOR, "req", ident)
        center.context.keys.destroy([KeyId(domain.scope, Purpose.DATA, 1)])  # nothing needs it any more
        assert await read_back(center, name) == originals_before
        assert await center.issue(name, ["fresh"])
        (entry,) = await center.entries("registrar:key:rewrite")
        assert (entry["version"], entry["domain"]) == (2, name)


async def test_what_is_issued_deleted_and_anonymised_meanwhile_is_kept_so(files: Files) -> None:
    async with files.open() as center:
        texts = (await fill(center))["plain"]
        ident = (await rotation.rotate(center.context, OPERATOR, "req", "plain", ROTATE)).rotation or ""
        domain = await center.domain("plain")
        found = await center.context.db.read(lambda conn: rotation_record.find(conn, ident))
        # A chunk as it was read before the rows went, written after: what stands there is compared.
        chunk = await center.context.db.read(
            lambda conn: stored_values.read(center.context, conn, domain, 0, found.mark, 10_000)
        )
        await center.remove("delete", "plain", texts[10:12])
        await center.remove("anonymise", "plain", texts[12:14])
        (fresh,) = await center.issue("plain", ["issued-meanwhile"])
        made = [resealing.make(center.context, domain, found, part) for part in chunk.parts]
        await center.context.db.write(
            lambda conn: [resealing.write(center.context, conn, domain, part) for part in made]
        )
        await rewriting.run(center.context, ident)
        assert len([row for row in await center.rows("plain") if row[5] is None]) == 6 + 4
        await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        assert await center.verdicts("plain", [fresh, texts[10]]) == ["ok", "unknown_pseudonym"]
        assert "issued-meanwhile" in await read_back(center, "plain")
    assert files.failures() == []


async def test_a_changed_value_stops_the_job_and_is_never_sealed_anew(files: Files) -> None:
    async with files.open() as center:
        await fill(center)
        ident = (await rotation.rotate(center.context, OPERATOR, "req", "plain", ROTATE)).rotation or ""
        await center.context.db.write(
            lambda conn: conn.execute(
                "UPDATE entry SET sealed = zeroblob(40)"
                " WHERE serial = (SELECT max(serial) FROM entry WHERE sealed IS NOT NULL)"
            )
        )
        with pytest.raises(SealError):
            await rewriting.run(center.context, ident)
        assert (await rotation_show.show(center.context, ident)).stage == "rewriting"


async def test_verify_finds_a_value_that_was_left_behind(files: Files) -> None:
    async with files.open() as center:
        await fill(center)
        before = {row[0]: row[5] for row in await center.rows("plain")}
        ident = (await rotation.rotate(center.context, OPERATOR, "req", "plain", ROTATE)).rotation or ""
        await rewriting.run(center.context, ident)
        serial = max(serial for serial, box in before.items() if box is not None)
        await center.context.db.write(
            lambda conn: conn.execute("UPDATE entry SET sealed = ? WHERE serial = ?", (before[serial], serial))
        )
        with pytest.raises(VerificationError) as refused:
            await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        assert refused.value.code == "rewriting_broken"
        assert (await rotation_show.show(center.context, ident)).stage == "changed"


# -- killed anywhere -----------------------------------------------------------------------------------------

_VICTIM = textwrap.dedent(
    """
    import asyncio, os, signal, sys
    from pathlib import Path
    sys.path[:0] = [{tests!r}]
    from rules_support import OPERATOR, Files
    from trustcenter.messages import api
    from trustcenter.registrar.rotating import reindexing, rewriting, rotation, rotation_verify

    reindexing.TOGETHER = 16
    step, purpose = int(sys.argv[2]), sys.argv[3]
    rewriting.CHUNK = 16

    async def main():
        seen = 0

        def instant():
            nonlocal seen
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

        async with Files(Path(sys.argv[1])).open() as center:
            write, make = center.context.db.write, center.context.make_keys

            async def writing(fn):  # the real one, with an instant before its transaction, inside it and after it
                instant()

                def inside(conn):
                    done = fn(conn)
                    instant()
                    return done

                done = await write(inside)
                instant()
                return done

            async def making(ids):
                instant()
                await make(ids)
                instant()

            center.context.db.write, center.context.make_keys = writing, making
            body = api.RotateRequest(purpose=purpose)
            ident = (await rotation.rotate(center.context, OPERATOR, "req", "plain", body)).rotation
            await rewriting.run(center.context, ident)
            await rotation_verify.verify(center.context, OPERATOR, "req", ident)
            center.context.db.write = write
        print(seen)

    asyncio.run(main())
    """
)


def run_victim(files: Files, step: int, purpose: str) -> int:
    """Rotate in a process that is killed at an instant; its exit code, or the number of instants."""
    code = _VICTIM.format(tests=str(Path(__file__).parents[1]))
    done = subprocess.run(
        [sys.executable, "-c", code, str(files.dir), str(step), purpose], capture_output=True, text=True, timeout=120
    )
    if done.returncode == 0:
        return int(done.stdout)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return -1


async def finish(files: Files, purpose: str) -> tuple[list[tuple[Any, ...]], list[str], str]:
    """Go on after the kill as an operator would; the state that it ends in."""
    async with files.open() as center:
        context = center.context
        known = (await rotation_show.list_rotations(context, "plain")).rotations
        if known:
            (found,) = known
            ident = found.rotation
            await rotation.cut_over(context, "operator", "req", ident)
        else:
            body = api.RotateRequest(purpose=purpose)  # type: ignore[arg-type]
            ident = (await rotation.rotate(context, OPERATOR, "req", "plain", body)).rotation or ""
        await rewriting.run(context, ident)
        shown = await rotation_verify.verify(context, OPERATOR, "req", ident)
        rows = await sealed(center)
        texts = await center.issue("plain", [f"p{i}" for i in range(6, 60)])
        (active,) = await center.sql(
            "SELECT count(*) FROM key_version WHERE state = 'active' AND purpose = ? AND scope = ("
            "SELECT 'domain:' || uuid FROM domain WHERE name = 'plain')",
            purpose,
        )
        assert active == (1,)
        return rows, texts, str(shown.map_mac)


@pytest.fixture(scope="module")
def filled(template: Files, tmp_path_factory: pytest.TempPathFactory) -> Files:
    files = template.copy(tmp_path_factory.mktemp("filled") / "center")

    async def found() -> None:
        async with files.open() as center:
            await fill(center)

    asyncio.run(found())
    return files


def kill_at(filled: Files, tmp_path: Path, purpose: str, instants: Sequence[int] | None) -> None:
    """The end after a kill at each instant, compared with the end of a process that nobody killed."""
    whole = filled.copy(tmp_path / "whole")
    count = run_victim(whole, 0, purpose)
    expected = asyncio.run(finish(whole, purpose))
    for step in instants if instants is not None else range(1, count + 1):
        killed = filled.copy(tmp_path / f"killed-{step}")
        assert run_victim(killed, step, purpose) == -1, step
        rows, texts, mac = asyncio.run(finish(killed, purpose))
        if purpose != "pseudonym":
            # The new key is random: compared is what lies under it, byte for byte where nothing was to be sealed.
            assert [(r[0], r[1], r[2] is None) for r in rows] == [(r[0], r[1], r[2] is None) for r in expected[0]]
            assert texts == expected[1]
        else:
            assert rows == expected[0]
            assert len(texts) == len(expected[1])
            assert len(mac) == 64
        assert killed.failures() == [], step


@pytest.mark.parametrize("purpose", ["pseudonym", "data", "lookup"])
def test_kill_9_at_every_step_and_resume(filled: Files, tmp_path: Path, purpose: str) -> None:
    """A sample of the instants; `make soak` takes every one."""
    kill_at(filled, tmp_path, purpose, random.Random(7).sample(range(1, 12), 1))


@pytest.mark.soak
@pytest.mark.parametrize("purpose", ["pseudonym", "data", "lookup"])
def test_kill_9_at_each_single_instant_and_resume(filled: Files, tmp_path: Path, purpose: str) -> None:
    kill_at(filled, tmp_path, purpose, None)


@pytest.mark.parametrize("purpose", ["data", "lookup"])
async def test_killed_with_the_new_material_in_place_the_end_is_the_same_bytes(
    filled: Files, tmp_path: Path, purpose: Any
) -> None:
    """From one prepared state, so that the new key is the same: killed at every chunk, and never."""
    start = filled.copy(tmp_path / "start")
    async with start.open() as center:
        body = api.RotateRequest(purpose=purpose, prepare=True)
        ident = (await rotation.rotate(center.context, OPERATOR, "req", "plain", body)).rotation or ""
    ends: list[list[tuple[Any, ...]]] = []
    for number, pieces in enumerate((1, 5)):
        files = start.copy(tmp_path / f"way-{number}")
        async with files.open() as center:
            await rotation.cut_over(center.context, "operator", "req", ident)
        for _ in range(pieces - 1):
            code = _CHUNKS.format(tests=str(Path(__file__).parents[1]), ident=ident)
            command = [sys.executable, "-c", code, str(files.dir)]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)
            assert done.returncode == -signal.SIGKILL, done.stderr
        async with files.open() as center:
            shown = await rotation_show.show(center.context, ident)
            assert (shown.done > 0) == (pieces > 1)
            await rewriting.run(center.context, ident)
            ends.append(await sealed(center))
    assert ends[0] == ends[1]


_CHUNKS = textwrap.dedent(
    """
    import asyncio, os, signal, sys
    from pathlib import Path
    sys.path[:0] = [{tests!r}]
    from rules_support import Files
    from trustcenter.registrar.rotating import rewriting

    async def main():
        rewriting.CHUNK = 10
        async with Files(Path(sys.argv[1])).open() as center:
            write = center.context.db.write

            async def once(fn):
                await write(fn)
                os.kill(os.getpid(), signal.SIGKILL)

            center.context.db.write = once
            await rewriting.run(center.context, {ident!r})

    asyncio.run(main())
    """
)


async def test_r9_a_backup_taken_mid_rotation_restores_to_a_resumable_state(filled: Files, tmp_path: Path) -> None:
    from trustcenter.instance.backups import backup, restore

    files = filled.copy(tmp_path / "center")
    body = api.RotateRequest(purpose="lookup")  # it rewrites seals as well
    parts = []
    async with files.open() as center:
        ident = (await rotation.rotate(center.context, OPERATOR, "req", "plain", body)).rotation or ""
        rewriting_chunk, rewriting.CHUNK = rewriting.CHUNK, 10
        try:
            job = asyncio.create_task(rewriting.run(center.context, ident))
            while (await rotation_show.show(center.context, ident)).done == 0:  # noqa: ASYNC110 - the job tells nobody
                await asyncio.sleep(0)
            for room in ("registrar", "comparator"):
                for part in ("database", "keys"):
                    target = tmp_path / f"{room}-{part}.tc"
                    await asyncio.to_thread(backup.take, files.config, room, part, target, together=True)
                    parts.append(target)
            await job
        finally:
            rewriting.CHUNK = rewriting_chunk
    expected = None
    async with files.open() as center:
        expected = await sealed(center)
    back = Files(tmp_path / "back")
    (back.dir).mkdir()
    for name in ("config.toml", "passphrase"):
        (back.dir / name).write_bytes((files.dir / name).read_bytes())
        (back.dir / name).chmod(0o600)
    restore.install(parts, back.dir, files.passphrase)
    async with back.open() as center:
        shown = await rotation_show.show(center.context, ident)
        assert shown.stage in ("rewriting", "changed")
        await rewriting.run(center.context, ident)
        assert await sealed(center) == expected
        await rotation_verify.verify(center.context, OPERATOR, "req", ident)
