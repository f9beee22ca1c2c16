"""The map of a rotated pseudonym key (R5): a pure function of rows and keys, whatever happens to the connection."""

from __future__ import annotations

import hashlib

import pytest
from rotation_support import begin, fetch, register_key
from rules_support import NORTH, Files, Opened

from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import translate
from trustcenter.registrar.rotating import rotation_map


async def test_r5_the_map_is_the_same_bytes_every_time_and_after_later_issue(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a", "b"])
        ident = (await begin(center)).rotation or ""
        key = await register_key(center, "north")
        info = rotation_map.seal_info(ident, "site:north")
        first = key.open(await fetch(center, ident), info)
        await center.issue("plain", ["c", "a"])
        assert key.open(await fetch(center, ident), info) == first
        assert first.count(b"\n") == 3


async def test_r5_a_map_that_was_cut_goes_on_where_it_was_and_is_the_same_bytes(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translate, "_CHUNK", 4)

    async def lines(center: Opened, after: int) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        async for part in translate.translation_map(center.context, NORTH, "req", "plain", 1, after):
            assert part
            found += part
        return found

    async with files.open() as center:
        await center.issue("plain", [f"p{i}" for i in range(10)])
        ident = (await begin(center)).rotation or ""
        whole = await lines(center, 0)
        for cut in (1, 4, 7, 9, 10, 11):
            assert whole[:cut] + await lines(center, cut) == whole
        said = hashlib.sha256("".join(f"{old},{new}\n" for old, new in whole).encode()).hexdigest()
        shown = await rotation_map.acknowledge(center.context, NORTH, "req", ident, api.MapAcknowledge(sha256=said))
        assert [(party.deliveries, party.acknowledged_by) for party in shown.parties] == [(1, "north")]
