"""kill -9 at random instants of each kind of rotation while requests come in; what is resumed ends like what was not.

Material is random, so both start from one prepared rotation: the keys are the same, and the ends are compared byte by
byte, the map included. `make soak` takes 200 instants of each kind; a run of the tests takes one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from rules_support import NORTH, OPERATOR, Files, fill

from trustcenter.messages import api
from trustcenter.registrar import rewriting, rotation, rotation_verify, translate

pytestmark = pytest.mark.faults

KINDS = ("pseudonym", "data", "lookup")
INSTANTS = int(os.environ.get("INSTANTS", "200"))
NAMED = [f"p{i}" for i in range(6, 60)]  # those that `fill` leaves

_VICTIM = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    sys.path[:0] = [{tests!r}]
    from rules_support import OPERATOR, Files
    from trustcenter.registrar import reindexing, rewriting, rotation, rotation_verify

    rewriting.CHUNK = rewriting.BESIDE_SMALL = 3
    reindexing.TOGETHER = reindexing.BESIDE_SMALL = 3
    reindexing.HELD = 25

    async def main():
        async with Files(Path(sys.argv[1])).open() as center:
            async def load():  # known originals only, so that the ends can be compared
                while True:
                    await center.issue("plain", {named!r}[:5])
                    await center.issue("plain", {named!r})
            loading = asyncio.create_task(load())
            print("ready", flush=True)
            await rotation.cut_over(center.context, "operator", "req", sys.argv[2])
            await rewriting.run(center.context, sys.argv[2])
            await rotation_verify.verify(center.context, OPERATOR, "req", sys.argv[2])
            print("done", flush=True)
            await asyncio.sleep(60)

    asyncio.run(main())
    """
)


async def prepared(files: Files, purpose: Any) -> str:
    async with files.open() as center:
        await fill(center)
        body = api.RotateRequest(purpose=purpose, prepare=True)
        return (await rotation.rotate(center.context, OPERATOR, "req", "plain", body)).rotation or ""


async def finish(files: Files, ident: str) -> tuple[Any, ...]:
    """Go on as an operator does after a crash; everything that a rotation leaves."""
    async with files.open() as center:
        context = center.context
        await rotation.cut_over(context, "operator", "req", ident)
        await rewriting.run(context, ident)
        shown = await rotation_verify.verify(context, OPERATOR, "req", ident)
        digest = hashlib.sha256()
        if shown.purpose == "pseudonym":
            async for part in translate.translation_map(context, NORTH, "req", "plain", shown.from_version):
                digest.update(repr(part).encode())
        entries = await center.sql("SELECT serial, nonce, idx, tag, sealed, status FROM entry ORDER BY domain, serial")
        strings = await center.sql("SELECT domain, serial, tag, sealed FROM stored_string ORDER BY domain, serial")
        lookup = await center.sql("SELECT name, lookup FROM domain ORDER BY name")
        index = await center.sql("SELECT * FROM tag_main UNION ALL SELECT * FROM tag_recent ORDER BY 1")
        states = await center.sql("SELECT scope, purpose, version, state FROM key_version ORDER BY 1, 2, 3")
        return (
            entries,
            strings,
            lookup,
            index,
            states,
            shown.map_mac,
            digest.digest(),
            await center.issue("plain", NAMED),
        )


def kill_at(files: Files, ident: str, wait: float | None) -> float:
    """Rotate in a process that is killed so long after its start; without a time, how long it takes."""
    code = _VICTIM.format(tests=str(Path(__file__).parents[1]), named=NAMED)
    victim = subprocess.Popen(
        [sys.executable, "-c", code, str(files.dir), ident], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert victim.stdout is not None
    try:
        assert victim.stdout.readline() == "ready\n"
        began = time.perf_counter()
        if wait is None:
            assert victim.stdout.readline() == "done\n"
            return time.perf_counter() - began
        time.sleep(wait)
        return wait
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.communicate(timeout=30)


def killed(template: Files, base: Path, purpose: str, instants: int, seed: int) -> None:
    start = template.copy(base / "start")
    ident = asyncio.run(prepared(start, purpose))
    expected = asyncio.run(finish(start.copy(base / "whole"), ident))
    takes = kill_at(start.copy(base / "timed"), ident, None)
    dice = random.Random(seed)
    for number in range(instants):
        wait = dice.uniform(0, takes)
        files = start.copy(base / f"killed-{number}")
        kill_at(files, ident, wait)
        assert asyncio.run(finish(files, ident)) == expected, wait
        assert files.failures() == [], wait
        subprocess.run(["rm", "-r", str(files.dir)], check=True)


@pytest.mark.parametrize("purpose", KINDS)
def test_killed_under_load_and_resumed_the_end_is_the_same_bytes(template: Files, tmp_path: Path, purpose: str) -> None:
    killed(template, tmp_path, purpose, 1, seed=3)


@pytest.mark.soak
@pytest.mark.parametrize("purpose", KINDS)
def test_killed_at_200_random_instants_under_load(template: Files, tmp_path: Path, purpose: str) -> None:
    killed(template, tmp_path, purpose, INSTANTS, seed=int(os.environ.get("SEED", "1")))
