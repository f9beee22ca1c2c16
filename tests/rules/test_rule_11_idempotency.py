"""Rule 11: what is remembered of a request is (domain, serials, version) and keyed MACs; no original."""

from __future__ import annotations

import hashlib

import pytest
from rules_support import FORMAT, Files, Opened

from trustcenter.errors import ConflictError, UsageError
from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import lookup


async def test_the_record_holds_no_original_and_nothing_to_compare_one_with(files: Files) -> None:
    async with files.open() as center:
        await center.domain("several", multi=True)
        first = await center.additional("several", "the-key", ["Original-4711", "Original-4712"], 2)
        ((domain, key, body, version, serials, _),) = await center.sql("SELECT * FROM idempotency")
        assert domain == (await center.domain("several")).id
        assert [int.from_bytes(serials[at : at + 6], "big") for at in range(0, 24, 6)] == [
            serial for text in first.pseudonyms for serial in await owners(center, text)
        ]
        assert version == 1
        assert len(key) == len(body) == 32
        plain = {hashlib.sha256(text).digest() for text in (b"the-key", b"Original-4711", b"")}
        assert not {key, body} & plain
        await center.domain("another", multi=True)
        await center.additional("another", "the-key", ["Original-4711", "Original-4712"], 2)
        macs = await center.sql("SELECT key, body FROM idempotency")
        assert len({mac for row in macs for mac in row}) == 4  # the same request elsewhere has other MACs
    content = b"".join(path.read_bytes() for path in files.database.parent.iterdir())
    assert b"Original-471" not in content
    assert b"the-key" not in content


async def owners(center: Opened, texts: list[str]) -> list[int]:
    """The serials behind pseudonyms."""
    domain = await center.domain("several")
    question = lookup.read(center.context, domain, texts)
    found = await center.context.db.read(
        lambda conn: lookup.rows(center.context, conn, domain, question, center.context.clock())
    )
    return [row[0] for row in found]


@pytest.mark.parametrize("options", [{}, {"suite": api.Suite.DRAWN, "format": FORMAT}])
async def test_a_repetition_gives_what_was_recorded_and_makes_nothing(files: Files, options: dict) -> None:
    async with files.open() as center:
        await center.domain("several", multi=True, **options)
        first = await center.additional("several", "k", ["a", "b"], 3)
        again = await center.additional("several", "k", ["a", "b"], 3)
        assert again.pseudonyms == first.pseudonyms
        assert (first.repeated, again.repeated) == (False, True)
        assert len(await center.rows("several")) == 6
        other = await center.additional("several", "k2", ["a", "b"], 3)
        assert not {t for part in other.pseudonyms for t in part} & {t for part in first.pseudonyms for t in part}
    async with files.open() as center:  # a restart forgets nothing
        assert (await center.additional("several", "k", ["a", "b"], 3)).pseudonyms == first.pseudonyms


async def test_after_a_rotation_it_returns_what_was_recorded(files: Files) -> None:
    async with files.open() as center:
        await center.domain("several", multi=True)
        first = await center.additional("several", "k", ["a"], 2)
        await center.rotate("several")
        again = await center.additional("several", "k", ["a"], 2)
        assert (again.pseudonyms, again.key_version, again.repeated) == (first.pseudonyms, 1, True)
        new = await center.additional("several", "k2", ["a"], 2)
        assert new.key_version == 2
        moved = await center.translate("several", first.pseudonyms[0])
        assert not set(moved.pseudonyms) & set(first.pseudonyms[0])


@pytest.mark.parametrize(("originals", "count"), [(["a"], 3), (["b"], 2), (["a", "b"], 2), (["a", "a"], 2)])
async def test_the_same_key_with_another_body_is_a_conflict(files: Files, originals: list[str], count: int) -> None:
    async with files.open() as center:
        await center.domain("several", multi=True)
        await center.additional("several", "k", ["a"], 2)
        with pytest.raises(ConflictError) as caught:
            await center.additional("several", "k", originals, count)
        assert caught.value.code == "idempotency_key_reused"
        assert "a" not in caught.value.where
        assert len(await center.rows("several")) == 2
        with pytest.raises(UsageError):
            await center.additional("several", "", ["a"], 2)


async def test_the_record_and_what_it_tells_of_are_one_transaction(files: Files) -> None:
    async with files.open() as center:
        await center.domain("several", multi=True)
        await center.context.db.write(
            lambda conn: conn.execute(
                "CREATE TRIGGER fails BEFORE INSERT ON idempotency BEGIN SELECT raise(ABORT, 'no'); END"
            )
        )
        with pytest.raises(Exception, match="no"):
            await center.additional("several", "k", ["a"], 2)
        assert await center.rows("several") == []
        assert await center.entries("site:pseudonym:issue") == []
