"""kill -9 at random instants of each kind of rotation while requests come in; what is resumed ends like what was not.

Material is random, so both start from one prepared rotation: the keys are the same, and the ends are compared byte by
byte, the map included. `make soak` takes 200 instants of each kind; a run of the tests takes one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import killed_victims
import pytest
from killed_support import kill_at
from rules_support import NORTH, OPERATOR, Files, fill

from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import translate
from trustcenter.registrar.rotating import rewriting, rotation, rotation_verify

pytestmark = pytest.mark.faults

KINDS = ("pseudonym", "data", "lookup")
INSTANTS = int(os.environ.get("INSTANTS", "200"))


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
            await center.issue("plain", killed_victims.NAMED),
        )


def killed(template: Files, base: Path, purpose: str, instants: int, seed: int) -> None:
    start = template.copy(base / "start")
    ident = asyncio.run(prepared(start, purpose))
    expected = asyncio.run(finish(start.copy(base / "whole"), ident))
    takes, _ = kill_at(killed_victims.of_domain, start.copy(base / "timed").dir, ident, wait=None)
    dice = random.Random(seed)
    for number in range(instants):
        wait = dice.uniform(0, takes)
        files = start.copy(base / f"killed-{number}")
        kill_at(killed_victims.of_domain, files.dir, ident, wait=wait)
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
