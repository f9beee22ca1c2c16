"""Whoever waits for a service that went away is told so once, and for how long it is tried."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp import web
from client_support import DOMAIN, problem

from trustcenter.cli import output
from trustcenter.client import RemoteError, TrustCenter
from trustcenter.client.settings import Settings

Rogue = Any  # the fixture's class lives in conftest.py, which is not importable
SETTINGS = Settings(backoff=0.01, backoff_max=0.02, silent_for=0.0)  # told before the next try


@pytest.mark.parametrize("lost", [True, False])
async def test_every_stretch_without_the_service_is_told_once(rogue: Rogue, lost: bool) -> None:
    said: list[float] = []
    told_before, tries = 0, 0

    async def away_until_told(request: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        if tries < 5 or len(said) == told_before:
            if lost and request.transport is not None:
                request.transport.abort()
            return problem(503, "stopping")
        return web.json_response(DOMAIN)

    async def there(_: web.Request) -> web.Response:
        return web.json_response(DOMAIN)

    async with TrustCenter(rogue.connection, SETTINGS, waiting=said.append) as center:
        for _ in range(2):
            rogue.handler, tries, told_before = there, 0, len(said)
            await center.domain("north")
            rogue.handler = away_until_told
            await center.domain("north")
    assert len(said) == 2
    assert all(0 < seconds <= SETTINGS.retry_for for seconds in said)


async def test_a_service_that_asks_to_wait_or_refuses_is_not_away(rogue: Rogue) -> None:
    said: list[float] = []

    async def busy(_: web.Request) -> web.Response:
        return problem(429, "rate") if len(rogue.asked) < 6 else problem(404, "not_found")

    rogue.handler = busy
    async with TrustCenter(rogue.connection, SETTINGS, waiting=said.append) as center:
        with pytest.raises(RemoteError):
            await center.domain("north")
    assert (len(rogue.asked), said) == (6, [])


def test_the_command_line_says_until_when(capsys: pytest.CaptureFixture[str]) -> None:
    output.waiting(57.0)
    told = capsys.readouterr()
    assert told.out == ""
    assert re.fullmatch(r"the service does not answer any more; trying again until \d\d:\d\d:\d\d\n", told.err)
