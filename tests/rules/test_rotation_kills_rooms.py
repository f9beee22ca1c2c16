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
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rules_support import OPERATOR, Files, rotate_room

from keys.ids import KeyId, Purpose
from keys.kdf import CHEAP_FOR_TESTS
from keys.store import KeyStore
from trustcenter.instance import rekey, room_key_record, room_keys
from trustcenter.instance.opening import Instance, open_instance
from trustcenter.messages.receipts import Receipt

pytestmark = pytest.mark.faults

INSTANTS = int(os.environ.get("INSTANTS", "200"))
KINDS = {"audit": "registrar", "receipt": "comparator"}
NAMED = [f"p{i}" for i in range(20)]
OTHER = b"another good passphrase"

_VICTIM = textwrap.dedent(
    """
    import asyncio, hashlib, sys
    from pathlib import Path
    sys.path[:0] = {paths!r}
    from rules_support import OPERATOR, Files, Opened, rotate_room
    import msgspec
    from keys.kdf import CHEAP_FOR_TESTS
    from keys.store import KeyStore
    from test_service_study import SCHEMA, Source
    from trustcenter.comparator import instructions, uploads
    from trustcenter.instance import rekey
    from trustcenter.instance.opening import open_instance
    from trustcenter.messages import api
    from trustcenter.messages.rooms import Params, Settle

    files, kind = Files(Path(sys.argv[1])), sys.argv[2]
    data = Source("heart", 1, 0, 20).rows if kind == "receipt" else b""

    async def issuing(instance):
        center = Opened(instance.registrar)
        while True:
            await center.issue("plain", {named!r}[:5])
            await center.issue("plain", {named!r})

    async def uploading(instance):
        room, body = instance.comparator, api.UploadOpen(
            version=1, fingerprint=SCHEMA.fingerprint, rows=len(data) // 65, chunks=1)
        while True:
            await instructions.settle(room, Settle(study="heart", source="north", sequence=0))
            upload = (await uploads.open_upload(room, "north", "heart", body)).upload
            await uploads.put_chunk(room, "north", "heart", upload, 0, data, hashlib.sha256(data).digest())
            receipt = await uploads.complete(room, "north", "heart", upload)
            print(msgspec.json.encode(receipt).decode(), flush=True)

    async def rotating(room, load):
        async with open_instance(files.config, files.passphrase) as instance:
            if room == "comparator":
                told = Params(study="heart", version=1, fingerprint=SCHEMA.fingerprint, passes=len(SCHEMA.passes),
                    levels=[1, 2, 3, 4], caps=[100] * len(SCHEMA.passes), minimum_rows=1, sources=["north"])
                context = instance.comparator
                await context.db.write(lambda conn: instructions.put_params(context, conn, told))
            loading = asyncio.create_task(load(instance))
            print("ready", flush=True)
            await rotate_room(instance, room)
            print("done", flush=True)
            await asyncio.sleep(60)

    if kind == "rekey":
        KeyStore.change_passphrase.__kwdefaults__["kdf"] = CHEAP_FOR_TESTS
        print("ready", flush=True)
        rekey.rekey(files.config, files.passphrase, {other!r})
        print("done", flush=True)
    else:
        asyncio.run(rotating(*{{"audit": ("registrar", issuing), "receipt": ("comparator", uploading)}}[kind]))
    """
)


def kill_at(files: Files, kind: str, wait: float | None) -> tuple[float, list[Receipt]]:
    """Begin in a process that is killed so long after it is ready; without a time, how long it takes. Its receipts."""
    tests = Path(__file__).parents[1]
    code = _VICTIM.format(paths=[str(tests), str(tests / "service")], named=NAMED, other=OTHER)
    victim = subprocess.Popen([sys.executable, "-c", code, str(files.dir), kind], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    lines: list[str] = []
    try:
        while (line := victim.stdout.readline()) != "ready\n":
            assert line
            lines.append(line)
        began = time.perf_counter()
        if wait is None:
            while (line := victim.stdout.readline()) != "done\n":
                assert line
                lines.append(line)
        else:
            time.sleep(wait)
        return time.perf_counter() - began, _receipts(lines)
    finally:
        victim.send_signal(signal.SIGKILL)
        lines += victim.communicate(timeout=30)[0].splitlines(keepends=True)
        if wait is not None:
            _check(files, kind, _receipts(lines))


def _receipts(lines: list[str]) -> list[Receipt]:
    return [msgspec.json.decode(line, type=Receipt) for line in lines if line.startswith("{") and line.endswith("}\n")]


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
    keys.add([KeyId("instance", purpose, 2) for purpose in (Purpose.AUDIT, room_keys.BESIDE[KINDS[kind]])])
    return files


def killed(template: Files, base: Path, kind: str, instants: int, seed: int) -> None:
    start = prepared(template, base / "start", kind)
    expected = asyncio.run(finish(start.copy(base / "whole"), kind))
    takes, _ = kill_at(start.copy(base / "timed"), kind, None)
    dice = random.Random(seed)
    for number in range(instants):
        same, wait = number % 2 == 0, dice.uniform(0, takes)
        files = (start if same else template).copy(base / f"killed-{number}")
        kill_at(files, kind, wait)
        found = asyncio.run(finish(files, kind))
        assert found == expected if same else found[:6] == expected[:6], wait
        assert files.failures() == [], wait
        subprocess.run(["rm", "-r", str(files.dir)], check=True)


def rekey_killed(template: Files, base: Path, instants: int, seed: int) -> None:
    takes, _ = kill_at(template.copy(base / "timed"), "rekey", None)
    dice = random.Random(seed)
    for number in range(instants):
        files = template.copy(base / f"killed-{number}")
        wait = dice.uniform(0, takes)
        kill_at(files, "rekey", wait)
        # Each store opens under one of the two, whole; repeating it ends it.
        done = rekey.rekey(files.config, files.passphrase, OTHER)
        assert {one.state for one in done} <= {"sealed", "sealed before"}
        (files.dir / "passphrase").write_bytes(OTHER + b"\n")
        before = KeyStore.open(template.dir / "registrar-keys" / "registrar.keys", template.passphrase)
        after = KeyStore.open(files.dir / "registrar-keys" / "registrar.keys", OTHER)
        assert after.entries() == before.entries()
        assert files.failures() == [], wait
        subprocess.run(["rm", "-r", str(files.dir)], check=True)


@pytest.fixture
def cheap_rekey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KeyStore.change_passphrase.__kwdefaults__, "kdf", CHEAP_FOR_TESTS)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_a_room_gets_its_keys(template: Files, tmp_path: Path, kind: str) -> None:
    killed(template, tmp_path, kind, 2, seed=5)


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
