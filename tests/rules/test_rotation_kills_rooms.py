"""kill -9 at random instants of the rotation of a room's own keys, under load, and of `keys rekey`.

Half of the kills begin with the material of the new keys in the key store, so that the ends can be compared byte by
byte; the others make it, and are compared in everything but the keys. `make soak` takes 200 instants of each kind.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import killed_victims
import msgspec
import pytest
from killed_support import kill_at, run
from rotation_support import destroy_room_keys, later
from rules_support import OPERATOR, Files, rotate_room

from keys.ids import KeyId, Purpose
from keys.kdf import CHEAP_FOR_TESTS
from keys.rotating import Stage
from keys.store import KeyStore
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance
from trustcenter.instance.rotating import (
    rekey,
    room_key_compromise,
    room_key_leaks,
    room_key_plan,
    room_key_proposals,
    room_key_record,
    room_key_show,
    room_keys,
)
from trustcenter.messages.receipts import Receipt

pytestmark = pytest.mark.faults

INSTANTS = int(os.environ.get("INSTANTS", "200"))
KINDS = {"audit": "registrar", "receipt": "comparator"}


def kill(files: Files, kind: str, wait: float | None) -> float:
    """Rotate in a process that is killed so long after its start, and look at the receipts that it gave meanwhile."""
    seconds, said = kill_at(killed_victims.of_room, files.dir, KINDS[kind], wait=wait)
    _check(files, kind, [msgspec.json.decode(word, type=Receipt) for word in said])
    return seconds


def _check(files: Files, kind: str, receipts: list[Receipt]) -> None:
    """Every receipt leads from the first key, and none is under the old key after one under the new one."""
    if kind != "receipt":
        return
    keys = KeyStore.open(files.dir / "comparator-keys" / "comparator.keys", files.passphrase)
    for receipt in receipts:
        receipt.verify(keys.public_key("instance", Purpose.RECEIPT, 1))
    turns = [len(receipt.handovers) for receipt in receipts]
    assert turns == sorted(turns)


async def finish(files: Files, kind: str) -> tuple[Any, ...]:
    """Go on as an operator does after a crash; everything that a rotation leaves, keys last."""
    room = KINDS[kind]
    async with open_instance(files.config, files.passphrase) as instance:
        context = getattr(instance, room)
        found = await context.db.read(room_key_record.listed)
        if not found:
            await rotate_room(instance, room)
        for one in found:
            await room_keys.resume(instance, OPERATOR, "req", room, one.id)
        (done,) = await context.db.read(room_key_record.listed)
        left = (done.stage, done.from_version, done.to_version, done.beside_from, done.beside_to)
        return (*left, *await _left(instance, kind))


async def _left(instance: Instance, kind: str) -> list[Any]:
    context = getattr(instance, KINDS[kind])

    def sql(query: str) -> Any:
        return context.db.read(lambda conn: conn.execute(query).fetchall())

    await context.db.read(context.log.checkpoint)
    if kind == "audit":
        states = await sql("SELECT scope, purpose, version, state FROM key_version ORDER BY 1, 2, 3")
        return [states, context.log.vkey]
    rows = await sql("SELECT version, handover FROM receipt_handover ORDER BY version")
    told = await instance.registrar.db.read(lambda c: c.execute("SELECT before, after FROM receipt_key").fetchall())
    return [[row[0] for row in rows], context.log.vkey, [bytes(row[1]) for row in rows], told]


def prepared(template: Files, target: Path, kind: str) -> Files:
    """A copy with the material of the next keys."""
    files = template.copy(target)
    keys = KeyStore.open(files.dir / f"{KINDS[kind]}-keys" / f"{KINDS[kind]}.keys", files.passphrase)
    keys.add([KeyId("instance", purpose, 2) for purpose in (Purpose.AUDIT, room_key_plan.BESIDE[KINDS[kind]])])
    return files


def killed(template: Files, base: Path, kind: str, instants: int, seed: int) -> None:
    start = prepared(template, base / "start", kind)
    expected = asyncio.run(finish(start.copy(base / "whole"), kind))
    takes = kill(start.copy(base / "timed"), kind, None)
    dice = random.Random(seed)
    for number in range(instants):
        same, wait = number % 2 == 0, dice.uniform(0, takes)
        files = (start if same else template).copy(base / f"killed-{number}")
        kill(files, kind, wait)
        found = asyncio.run(finish(files, kind))
        assert found == expected if same else found[:6] == expected[:6], wait
        assert files.failures() == [], wait
        subprocess.run(["rm", "-r", str(files.dir)], check=True)


def rekey_killed(template: Files, base: Path, instants: int, seed: int) -> None:
    takes, _ = kill_at(killed_victims.of_seal, template.copy(base / "timed").dir, wait=None)
    dice = random.Random(seed)
    for number in range(instants):
        files = template.copy(base / f"killed-{number}")
        wait = dice.uniform(0, takes)
        kill_at(killed_victims.of_seal, files.dir, wait=wait)
        # Each store opens under one of the two, whole; repeating it ends it.
        done = rekey.rekey(files.config, files.passphrase, killed_victims.PASSPHRASE)
        assert {one.state for one in done} <= {"sealed", "sealed before"}
        (files.dir / "passphrase").write_bytes(killed_victims.PASSPHRASE + b"\n")
        before = KeyStore.open(template.dir / "registrar-keys" / "registrar.keys", template.passphrase)
        after = KeyStore.open(files.dir / "registrar-keys" / "registrar.keys", killed_victims.PASSPHRASE)
        assert after.entries() == before.entries()
        assert files.failures() == [], wait
        subprocess.run(["rm", "-r", str(files.dir)], check=True)


@pytest.fixture
def cheap_rekey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KeyStore.change_passphrase.__kwdefaults__, "kdf", CHEAP_FOR_TESTS)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_a_room_gets_its_keys(template: Files, tmp_path: Path, kind: str) -> None:
    killed(template, tmp_path, kind, 2, seed=5)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_each_single_instant_of_a_room_s_rotation(template: Files, tmp_path: Path, kind: str) -> None:
    start = prepared(template, tmp_path / "start", kind)
    expected = asyncio.run(finish(start.copy(tmp_path / "whole"), kind))
    counted = start.copy(tmp_path / "counted")
    _, (count,) = run(killed_victims.of_room_at, counted.dir, KINDS[kind], 0)
    assert asyncio.run(finish(counted, kind)) == expected
    for step in range(1, count + 1):
        files = start.copy(tmp_path / f"killed-{step}")
        code, said = run(killed_victims.of_room_at, files.dir, KINDS[kind], step)
        assert (code, said) == (-signal.SIGKILL, []), step
        assert asyncio.run(finish(files, kind)) == expected, step
        assert files.failures() == [], step


async def marked(files: Files, kind: str) -> tuple[Any, ...]:
    """Say again that the keys leaked; what that leaves: rotations, leaks, states, and entries of the leak."""
    room = KINDS[kind]
    async with open_instance(files.config, files.passphrase) as instance:
        report = await room_key_compromise.compromise(instance, OPERATOR, "req", room, killed_victims.LEAKED)
        context = getattr(instance, room)
        leaks = [(one.purpose, one.version, one.reason) for one in await context.db.read(room_key_leaks.listed)]
        done = await context.db.read(room_key_record.listed)
        rotations = [(one.stage, one.from_version, one.to_version) for one in done]
        states = {
            (key.purpose, key.version): key.state
            for key in (await room_key_show.list_keys(instance)).keys
            if key.room == room
        }
        leaves = await context.db.read(lambda conn: conn.execute("SELECT leaf FROM audit_entry").fetchall())
        events = (b"operator:key:leak", b"operator:key:compromise")
        told = [sum(event in leaf for (leaf,) in leaves) for event in events]
        return report.replaced_by, leaks, rotations, states, told


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_each_single_instant_of_what_follows_a_leak(template: Files, tmp_path: Path, kind: str) -> None:
    """The same command goes on, ends it once, and rotates no more than once."""
    expected = asyncio.run(marked(template.copy(tmp_path / "whole"), kind))
    assert expected[2] == [(Stage.FINALIZED, 1, 2)]
    counted = template.copy(tmp_path / "counted")
    _, (count,) = run(killed_victims.of_room_at, counted.dir, KINDS[kind], 0, "leak")
    assert asyncio.run(marked(counted, kind)) == expected
    for step in range(1, count + 1):
        files = template.copy(tmp_path / f"killed-{step}")
        code, said = run(killed_victims.of_room_at, files.dir, KINDS[kind], step, "leak")
        assert (code, said) == (-signal.SIGKILL, []), step
        assert asyncio.run(marked(files, kind)) == expected, step
        assert files.failures() == [], step


async def destroyed(files: Files, kind: str) -> set[tuple[str, int, str]]:
    """Start 31 days later; propose and approve again unless that was done already. The states of the room's keys."""
    room = KINDS[kind]
    async with open_instance(files.config, files.passphrase, later(31)) as instance:
        if not any(one.approved for one in await room_key_proposals.listed(instance)):
            await destroy_room_keys(instance, room, files)
        context = getattr(instance, room)
        purposes = (Purpose.AUDIT, room_key_plan.BESIDE[room])
        assert not any(context.keys.has(KeyId("instance", purpose, 1)) for purpose in purposes)
        await context.db.read(context.log.checkpoint)
        found = (await room_key_show.list_keys(instance)).keys
        return {(key.purpose, key.version, key.state) for key in found if key.room == room}


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_each_single_instant_of_destroying_a_room_s_keys(template: Files, tmp_path: Path, kind: str) -> None:
    start = template.copy(tmp_path / "start")
    asyncio.run(finish(start, kind))
    expected = asyncio.run(destroyed(start.copy(tmp_path / "whole"), kind))
    counted = start.copy(tmp_path / "counted")
    _, (count,) = run(killed_victims.of_room_at, counted.dir, KINDS[kind], 0, "destroy")
    assert asyncio.run(destroyed(counted, kind)) == expected
    for step in range(1, count + 1):
        files = start.copy(tmp_path / f"killed-{step}")
        code, said = run(killed_victims.of_room_at, files.dir, KINDS[kind], step, "destroy")
        assert (code, said) == (-signal.SIGKILL, []), step
        assert asyncio.run(destroyed(files, kind)) == expected, step
        assert files.failures() == [], step


@pytest.mark.usefixtures("cheap_rekey")
def test_killed_while_the_key_stores_get_another_passphrase(template: Files, tmp_path: Path) -> None:
    rekey_killed(template, tmp_path, 1, seed=5)


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_200_random_instants_of_a_room_s_rotation(template: Files, tmp_path: Path, kind: str) -> None:
    killed(template, tmp_path, kind, INSTANTS, seed=int(os.environ.get("SEED", "1")))


@pytest.mark.soak
@pytest.mark.usefixtures("cheap_rekey")
def test_rekey_killed_at_200_random_instants(template: Files, tmp_path: Path) -> None:
    rekey_killed(template, tmp_path, INSTANTS, seed=int(os.environ.get("SEED", "1")))
