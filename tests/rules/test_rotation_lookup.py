"""Rotation of a lookup key: new tags, pseudonyms unchanged, and never a second one for an original."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from rules_support import FORMAT, NORTH, OPERATOR, Files, Opened

from keys.ids import KeyId, Purpose
from trustcenter.clock import utc_now
from trustcenter.errors import ConflictError, PolicyError, VerificationError
from trustcenter.messages import api
from trustcenter.messages.consent import code_system
from trustcenter.registrar import domains
from trustcenter.registrar.consents import consent
from trustcenter.registrar.pseudonyms import imports, operations, removal, rows
from trustcenter.registrar.rotating import (
    key_compromise,
    key_due,
    retagging,
    rewriting,
    rotation,
    rotation_end,
    rotation_record,
    rotation_show,
    rotation_verify,
)

ROTATE = api.RotateRequest(purpose="lookup")
NAMED = [f"p{i}" for i in range(40)]
POLICY = str(min(code_system().policies))
TODAY = utc_now().date() - timedelta(days=1)


async def begin(center: Opened, name: str) -> str:
    return (await rotation.rotate(center.context, OPERATOR, "req", name, ROTATE)).rotation or ""


async def tags(center: Opened, name: str) -> list[bytes]:
    return [row[4] for row in await center.rows(name) if row[4] is not None]


async def versions(center: Opened, name: str) -> tuple[int, ...]:
    return (await center.domain(name)).lookup


async def count(center: Opened, name: str) -> int:
    return len([row for row in await center.rows(name) if row[6] == 0])


async def existing(center: Opened, name: str, originals: list[str]) -> list[str | None]:
    """As a caller that creates nothing: the way over a snapshot."""
    body = api.PseudonymRequest(originals=originals, mode="get")
    return list((await operations.pseudonymize(center.context, NORTH, "req", name, body)).pseudonyms)


async def end(center: Opened, name: str, ident: str) -> api.Rotation:
    await rewriting.run(center.context, ident)
    shown = await rotation_verify.verify(center.context, OPERATOR, "req", ident)
    await rotation_end.finalize(center.context, OPERATOR, "req", ident)
    assert shown.old_key_needed == (len(await versions(center, name)) > 1)
    return shown


async def test_every_tag_is_new_and_every_pseudonym_the_same(files: Files) -> None:
    async with files.open() as center:
        await center.domain("short", suite=api.Suite.DRAWN, format=FORMAT)
        for name in ("plain", "short"):
            texts, before = await center.issue(name, NAMED), await tags(center, name)
            domain = await center.domain(name)
            ident = await begin(center, name)
            assert await versions(center, name) == (2, 1)
            shown = await end(center, name, ident)
            assert shown.stage == "verified"
            assert await versions(center, name) == (2,)
            assert not set(await tags(center, name)) & set(before)
            # Nothing needs the old lookup key, nor the data key that went with it.
            for purpose in (Purpose.LOOKUP, Purpose.DATA):
                center.context.keys.destroy([KeyId(domain.scope, purpose, 1)])
            assert await center.issue(name, NAMED) == texts
            assert await existing(center, name, NAMED) == texts
            assert await center.verdicts(name, texts) == ["ok"] * len(texts)
            assert await count(center, name) == len(NAMED)
    assert files.failures() == []


async def test_while_it_is_under_way_no_original_gets_a_second_pseudonym(files: Files) -> None:
    """Asked between any two chunks, by every way: singly, in a batch, looked up only, removed by original."""
    async with files.open() as center:
        texts = await center.issue("plain", NAMED)
        many = [f"n{i}" for i in range(60)]  # more than are collected together
        known = await center.issue("plain", many)
        ident = await begin(center, "plain")
        found = await center.context.db.read(lambda conn: rotation_record.find(conn, ident))
        domain = await center.domain("plain")
        while found.stage.value == "rewriting":
            assert await existing(center, "plain", NAMED) == texts
            assert await center.issue("plain", NAMED[:2]) == texts[:2]
            found = await rewriting.step(center.context, domain, found, 30)
        assert await center.issue("plain", many) == known
        assert await count(center, "plain") == len(NAMED) + len(many)
        await rotation_verify.verify(center.context, OPERATOR, "req", ident)
    assert files.failures() == []


async def test_a_request_that_began_before_the_cut_over_finds_its_rows(files: Files) -> None:
    """R4: its tags were made under the old key, its transaction comes after the cut-over, and after the job."""
    async with files.open() as center:
        texts = await center.issue("plain", NAMED)
        stale = await center.domain("plain")
        await end(center, "plain", await begin(center, "plain"))
        find = domains.find
        domains.find = lambda *args: stale  # type: ignore[assignment] - read before, used after
        try:
            assert await center.issue("plain", NAMED) == texts
            assert await existing(center, "plain", NAMED) == texts
        finally:
            domains.find = find
        assert await count(center, "plain") == len(NAMED)


async def test_all_pseudonyms_of_an_original_move_together(files: Files) -> None:
    async with files.open() as center:
        await center.domain("multi", multi=True)
        first = (await center.additional("multi", "key-1", NAMED, 3)).pseudonyms
        ident = await begin(center, "multi")
        found = await center.context.db.read(lambda conn: rotation_record.find(conn, ident))
        found = await rewriting.step(center.context, await center.domain("multi"), found, 7)
        more = (await center.additional("multi", "key-2", NAMED[:5], 1)).pseudonyms
        assert await existing(center, "multi", NAMED) == [part[0] if part else None for part in first]
        await end(center, "multi", ident)
        found_rows = await center.rows("multi")
        assert len({row[4] for row in found_rows}) == len(NAMED)
        assert sorted(row[3] for row in found_rows) == sorted([0, 1, 2] * len(NAMED) + [3] * 5)
        assert all(part and part[0] not in (first[at] or []) for at, part in enumerate(more))
    assert files.failures() == []


async def test_what_has_no_original_here_stays_under_the_old_key_until_it_is_seen(files: Files) -> None:
    async with files.open() as center:
        await center.domain("oneway", reversible=False)
        texts, domain = await center.issue("oneway", NAMED), await center.domain("oneway")
        before = set(await tags(center, "oneway"))
        await end(center, "oneway", await begin(center, "oneway"))
        assert set(await tags(center, "oneway")) == before
        assert await versions(center, "oneway") == (2, 1)
        assert await existing(center, "oneway", NAMED) == texts
        assert await center.issue("oneway", NAMED[:3]) == texts[:3]  # now their originals were seen
        assert len(before - set(await tags(center, "oneway"))) == 3
        assert await center.issue("oneway", NAMED) == texts
        assert await count(center, "oneway") == len(NAMED)
        old = rotation_show.version_of
        version = await center.context.db.read(
            lambda conn: old(center.context, conn, KeyId(domain.scope, Purpose.LOOKUP, 1))
        )
        with pytest.raises(ConflictError) as refused:
            await center.context.db.read(lambda conn: key_due.require_destroyable(center.context, conn, version))
        assert refused.value.code == "key_in_use"
    assert files.failures() == []


async def test_strings_of_deleted_rows_are_never_drawn_or_imported_again(files: Files) -> None:
    async with files.open() as center:
        pairs = [api.ImportPair(original=f"i{i}", pseudonym=f"LEGACY-{i}") for i in range(4)]
        await center.domain("taken", deletable=True)
        await imports.import_pairs(center.context, NORTH, "req", "taken", pairs)
        await center.remove("delete", "taken", ["LEGACY-0"])
        await end(center, "taken", await begin(center, "taken"))
        assert await versions(center, "taken") == (2, 1)
        again = [api.ImportPair(original="other", pseudonym="LEGACY-0"), pairs[1]]
        answer = await imports.import_pairs(center.context, NORTH, "req", "taken", again)
        assert [error.code for error in answer.errors] == ["pseudonym_taken"]
        assert answer.results[1] == "present"
        assert await center.verdicts("taken", ["LEGACY-1", "LEGACY-0"]) == ["ok", "unknown_pseudonym"]
    assert files.failures() == []


async def test_a_row_that_is_deleted_while_the_last_chunk_is_written_keeps_its_string_taken(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with files.open() as center:
        await center.domain("short", suite=api.Suite.DRAWN, format=FORMAT, deletable=True)
        texts = await center.issue("short", ["anna", "bert"])
        look = retagging.left_behind
        asked: list[bool] = []

        def delete() -> None:
            serial = center.context.db.read_sync(lambda conn: conn.execute("SELECT max(serial) FROM entry").fetchone())
            center.context.db.write_sync(
                lambda conn: removal.erase(center.context, conn, domain.id, [serial[0]], rows.DELETED)
            )

        def left_behind(context: Any, conn: Any, of: Any) -> bool:
            asked.append(look(context, conn, of))
            if len(asked) == 1:
                delete()
            return asked[-1]

        domain = await center.domain("short")
        monkeypatch.setattr(retagging, "left_behind", left_behind)
        await rewriting.run(center.context, await begin(center, "short"))
        monkeypatch.undo()
        gone = [
            text
            for text, now in zip(texts, await existing(center, "short", ["anna", "bert"]), strict=True)
            if now is None
        ]
        assert len(gone) == 1
        pair = api.ImportPair(original="carl", pseudonym=gone[0] or "")
        answer = await imports.import_pairs(center.context, NORTH, "req", "short", [pair])
        assert [error.code for error in answer.errors] == ["pseudonym_taken"]


def said(original: str, **more: Any) -> api.ConsentItem:
    return api.ConsentItem(original=original, date=str(TODAY), **more)


async def test_consent_goes_with_its_person_and_a_withdrawal_of_a_stranger_still_blocks(files: Files) -> None:
    async with files.open() as center:
        await center.domain("asked", consent=[POLICY])
        permit = [api.ConsentProvision(code=POLICY)]
        items = [said("anna", policies=permit), said("bert", policies=permit), said("stranger", withdraw=True)]
        await consent.record(center.context, NORTH, "req", "asked", items)
        texts = await center.issue("asked", ["anna"])
        await end(center, "asked", await begin(center, "asked"))
        assert await versions(center, "asked") == (2, 1)  # of two persons no original is kept
        before = await center.sql("SELECT tag FROM consent")
        assert await center.issue("asked", ["anna", "bert"]) != texts
        assert len(set(before) - set(await center.sql("SELECT tag FROM consent"))) == 1  # that of bert, who was seen
        body = api.PseudonymRequest(originals=["anna", "stranger", "nobody"])
        answer = await operations.pseudonymize(center.context, NORTH, "req", "asked", body)
        assert answer.pseudonyms[:1] == texts
        assert [error.code for error in answer.errors] == ["consent_withdrawn", "consent_missing"]
        later = await consent.record(center.context, NORTH, "req", "asked", [said("bert", withdraw=True)])
        assert (later.results, later.removed) == (["withdrawn"], 1)
    assert files.failures() == []


async def test_tags_of_a_study_and_of_a_domain_with_a_parent_are_refused_with_a_reason(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", NAMED)
        await center.domain("child", parent="plain")
        with pytest.raises(PolicyError) as raised:
            await begin(center, "child")
        assert raised.value.code == "lookup_not_rotated"


async def test_verify_finds_a_row_that_is_not_found_by_its_tag(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", NAMED)
        ident = await begin(center, "plain")
        await rewriting.run(center.context, ident)
        await center.context.db.write(
            lambda conn: conn.execute("DELETE FROM tag_main WHERE key = (SELECT min(key) FROM tag_main)")
        )
        with pytest.raises(VerificationError) as refused:
            await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        assert refused.value.code == "rewriting_broken"


async def test_a_leaked_new_key_is_rotated_away_from_the_middle_of_the_job(files: Files) -> None:
    """Rows under three versions: each is found, and all end under the third."""
    async with files.open() as center:
        texts, domain = await center.issue("plain", NAMED), await center.domain("plain")
        ident = await begin(center, "plain")
        found = await center.context.db.read(lambda conn: rotation_record.find(conn, ident))
        await rewriting.step(center.context, domain, found, 15)
        with pytest.raises(PolicyError):  # in use: rotate first
            await key_compromise.compromise(
                center.context, OPERATOR, "req", "plain", api.KeyCompromise(version=2, purpose="lookup", reason="lost")
            )
        with pytest.raises(ConflictError):
            await begin(center, "plain")
        await end(center, "plain", ident)
        await end(center, "plain", await begin(center, "plain"))
        assert await versions(center, "plain") == (3,)
        assert await center.issue("plain", NAMED) == texts
        assert await count(center, "plain") == len(NAMED)
    assert files.failures() == []


async def test_concurrent_requests_during_the_whole_job(files: Files) -> None:
    async with files.open() as center:
        texts = await center.issue("plain", NAMED)
        ident = await begin(center, "plain")
        size, rewriting.CHUNK = rewriting.CHUNK, 5
        try:
            job = asyncio.create_task(rewriting.run(center.context, ident))
            while not job.done():
                answers = await asyncio.gather(
                    *(center.issue("plain", NAMED[at : at + 4]) for at in range(0, 40, 4)),
                    existing(center, "plain", NAMED),
                )
                assert [text for part in answers[:-1] for text in part] == texts == answers[-1]
            await job
        finally:
            rewriting.CHUNK = size
        assert await count(center, "plain") == len(NAMED)
    assert files.failures() == []
