"""Rotations beside other long work: neither waits for the other, and both end as if they had been alone.

What takes place in the middle of what is decided by the transactions of the work, not by time.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from joining_support import joining
from rotation_support import begin, digest, fetch, register_key
from rules_support import NORTH, OPERATOR, SOUTH, Files, Opened, rotate_room
from sources_support import Source

from trustcenter.audit.verify import verify_bundle
from trustcenter.errors import StaleDatabaseError
from trustcenter.instance.backups import backup, restore
from trustcenter.instance.opening import Instance, open_instance
from trustcenter.messages import api
from trustcenter.registrar.linking import sweeping
from trustcenter.registrar.rotating import (
    rewriting,
    rotation,
    rotation_end,
    rotation_map,
    rotation_show,
    rotation_verify,
)
from trustcenter.registrar.study import study_moves

Act = Callable[[], Awaitable[Any]]
ROOMS = ("registrar", "comparator")


@contextmanager
def between(instance: Instance, acts: dict[int, Act], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Do something before these transactions of the registrar, counted from 1; all of it must come to pass."""
    db, seen, busy = instance.registrar.db, 0, False
    write = db.write

    async def writing(effect: Any, **options: Any) -> Any:
        nonlocal seen, busy
        if not busy:
            seen += 1
            if (act := acts.pop(seen, None)) is not None:
                busy = True
                await act()
                busy = False
        return await write(effect, **options)

    with monkeypatch.context() as patched:
        patched.setattr(db, "write", writing)
        yield
    assert not acts, f"only {seen} transactions"


async def rotate_domain(instance: Instance, name: str, purpose: Any) -> None:
    """All of a rotation up to its verification."""
    context = instance.registrar
    plan = await rotation.rotate(context, OPERATOR, "req", name, api.RotateRequest(purpose=purpose))
    await rewriting.run(context, plan.rotation or "")
    await rotation_verify.verify(context, OPERATOR, "req", plan.rotation or "")


def acts_of(instance: Instance, domain: str, *at: int) -> dict[int, Act]:
    """A rotation of each kind, each before one of these transactions."""
    rotations: tuple[Act, ...] = (
        lambda: rotate_room(instance, "comparator"),
        lambda: rotate_domain(instance, domain, "pseudonym"),
        lambda: rotate_domain(instance, domain, "data"),
        lambda: rotate_room(instance, "registrar"),
    )
    return dict(zip(at, rotations, strict=True))


@pytest.mark.faults
async def test_every_key_is_rotated_while_a_study_is_linked_and_while_it_is_purged(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "ROWS", 5)
    async with open_instance(files.config, files.passphrase) as instance, joining(instance) as study:
        await study.create(["north", "south"])
        for principal, source in ((NORTH, Source("heart", 1, 0, 60)), (SOUTH, Source("heart", 2, 10, 60))):
            await study.register(principal, source)
            await study.upload(principal, source)
        query = "SELECT d.name FROM domain d JOIN participant p ON p.domain = d.id WHERE p.site = 'north'"
        ((domain,),) = await instance.registrar.db.read(lambda conn: conn.execute(query).fetchall())
        with between(instance, acts_of(instance, domain, 1, 2, 3, 4), monkeypatch):
            await study.run()
        persons = Counter((await study.persons()).values())
        assert Counter(persons.values()) == {2: 50, 1: 20}  # of 60 people each, 50 are at both sites
        done = (await rotation_show.list_rotations(instance.registrar, domain)).rotations
        assert [(one.purpose, one.stage) for one in done] == [("pseudonym", "verified"), ("data", "verified")]
        for room in ROOMS:
            context = getattr(instance, room)
            await context.db.read(context.log.checkpoint)
        more: dict[int, Act] = {
            2: lambda: rotate_room(instance, "registrar"),
            3: lambda: rotate_room(instance, "comparator"),
        }
        with between(instance, more, monkeypatch):
            await study_moves.move(instance.registrar, OPERATOR, "req", "heart", api.StudyMove(state="closed"))
            await sweeping.carry_out(instance.registrar)
            await study.linking.deliver()
        assert await instance.registrar.db.read(sweeping.waiting) == []
    assert files.failures() == []


async def test_maps_and_exports_that_are_being_read_go_on_and_verify(files: Files) -> None:
    async with open_instance(files.config, files.passphrase) as instance:
        center = Opened(instance.registrar)
        await center.issue("plain", [f"p{i}" for i in range(50)])
        ident = (await begin(center)).rotation or ""
        await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        key = await register_key(center, "north")
        log = center.context.log
        export = center.context.db.stream(log.export, batch=1)
        exported = b"".join(await anext(export))
        delivery = rotation_map.sealed(center.context, NORTH, "req", ident, "site:north")
        sealed = b"".join(await anext(delivery))
        await rotate_room(instance, "registrar")  # the keys that sign the log, and mark what was delivered
        async for part in delivery:
            sealed += b"".join(part)
        async for part in export:
            exported += b"".join(part)
        assert len(verify_bundle(io.BytesIO(exported)).keys) == 1  # as it was when the export began
        assert sealed != await fetch(center, ident)
        opened = key.open(sealed, rotation_map.seal_info(ident, "site:north"))
        told = api.MapAcknowledge(sha256=digest(opened))
        await rotation_map.acknowledge(center.context, NORTH, "req", ident, told)
        await rotation_end.finalize(center.context, OPERATOR, "req", ident)
    assert files.failures() == []


@pytest.mark.parametrize("room", ROOMS)
async def test_a_backup_of_whose_parts_one_is_from_before_a_rotation(files: Files, tmp_path: Path, room: str) -> None:
    """The database is taken first. At the comparator the newer key store serves it; the registrar's head is newer."""
    parts = [tmp_path / f"{one}-{part}.tc" for one in ROOMS for part in ("database", "keys")]
    async with open_instance(files.config, files.passphrase) as instance:
        for target in parts:
            one, part = target.stem.split("-")
            await asyncio.to_thread(backup.take, files.config, one, part, target, together=True)
            if (one, part) == (room, "database"):
                await rotate_room(instance, room)
    back = Files(tmp_path / "back")
    back.dir.mkdir()
    for name in ("config.toml", "passphrase"):
        (back.dir / name).write_bytes((files.dir / name).read_bytes())
        (back.dir / name).chmod(0o600)
    restore.install(parts, back.dir, files.passphrase)
    if room == "registrar":
        with pytest.raises(StaleDatabaseError):
            async with open_instance(back.config, back.passphrase):
                pass
        return
    async with open_instance(back.config, back.passphrase) as instance:
        assert (await rotate_room(instance, room)).to_versions == [2, 2]  # the material that was made is taken up
    assert back.failures() == []
