"""The last part of a lookup key's rotation: places in the tag index are exchanged while requests go on."""

from __future__ import annotations

import asyncio

import pytest
from rules_support import OPERATOR, Files, Opened

from trustcenter.messages import api
from trustcenter.registrar.rotating import reindexing, rewriting, rotation, rotation_verify

NAMED = [f"p{i}" for i in range(40)]


async def begin(center: Opened) -> str:
    body = api.RotateRequest(purpose="lookup")
    return (await rotation.rotate(center.context, OPERATOR, "req", "plain", body)).rotation or ""


async def end(center: Opened, ident: str) -> None:
    await rewriting.run(center.context, ident)
    await rotation_verify.verify(center.context, OPERATOR, "req", ident)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindexing, "PASSED", 20)
    monkeypatch.setattr(reindexing, "HELD", 25)


async def test_places_are_exchanged_in_small_steps_beside_a_larger_domain(files: Files) -> None:
    """No transaction looks at more places than a few, whosever they are, and other domains keep theirs."""
    async with files.open() as center:
        await center.domain("large")
        large = await center.issue("large", [f"l{i}" for i in range(200)])
        texts = await center.issue("plain", NAMED)
        ident = await begin(center)
        before = center.context.db.activity().commits
        await end(center, ident)
        assert center.context.db.activity().commits - before > 12
        assert await center.issue("plain", NAMED) == texts
        assert await center.issue("large", [f"l{i}" for i in range(200)]) == large
    assert files.failures() == []


async def test_what_is_deleted_asked_for_and_issued_between_two_steps_keeps_its_place(files: Files) -> None:
    async with files.open() as center:
        texts = await center.issue("plain", NAMED)
        ident = await begin(center)
        job = asyncio.create_task(end(center, ident))
        turn = 0
        while not job.done():
            turn += 1
            if turn <= 20:
                await center.remove("delete" if turn % 2 else "anonymise", "plain", [texts[turn]])
            assert (await center.issue("plain", [NAMED[30 + turn % 10]])) == [texts[30 + turn % 10]]
            await center.issue("plain", [f"new-{turn}"])
        await job
        assert turn > 5
        assert await center.sql("SELECT count(*) FROM tag_touched") == [(0,)]
        assert await center.issue("plain", NAMED[30:]) == texts[30:]
    assert files.failures() == []
