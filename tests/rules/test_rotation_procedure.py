"""The life of a key around its rotation: suspended, compromised, overdue."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from rotation_support import approve, begin, digest, fetch, later, register_key, states
from rules_support import NORTH, OPERATOR, Files

from trustcenter.errors import ConflictError, PolicyError
from trustcenter.messages import api
from trustcenter.registrar.rotating import (
    key_compromise,
    key_proposals,
    keycare,
    rotation,
    rotation_end,
    rotation_map,
    rotation_show,
    rotation_verify,
)


async def test_suspend_stops_issue_and_activate_takes_it_back(files: Files) -> None:
    async with files.open() as center:
        (old,) = await center.issue("plain", ["a"])
        await keycare.suspend(center.context, OPERATOR, "req", "plain", api.KeyAct())
        with pytest.raises(ConflictError) as raised:
            await center.issue("plain", ["b"])
        assert raised.value.code == "no_active_key"
        assert await center.verdicts("plain", [old]) == ["ok"]
        await keycare.activate(center.context, OPERATOR, "req", "plain", api.KeyAct())
        assert await center.issue("plain", ["a"]) == [old]
        (fresh,) = await center.issue("plain", ["c"])
        assert await center.verdicts("plain", [fresh]) == ["ok"]  # above the mark of the suspension
        await begin(center, prepare=True)
        with pytest.raises(ConflictError):
            await keycare.suspend(center.context, OPERATOR, "req", "plain", api.KeyAct())
        shown = await keycare.activate(center.context, OPERATOR, "req", "plain", api.KeyAct())
        assert (shown.version, shown.state) == (2, "active")
    assert files.failures() == []


async def test_a_compromise_stops_issue_opens_the_next_version_and_says_what_is_lost(files: Files) -> None:
    async with files.open() as center:
        old = await center.issue("plain", ["a", "b"])
        body = api.KeyCompromise(version=1, reason="a backup disk was stolen", since="2026-01-02")
        report = await key_compromise.compromise(center.context, OPERATOR, "req", "plain", body)
        assert (report.replaced_by, report.exposed_pseudonyms, report.since) == (2, 2, "2026-01-02")
        assert report.must_translate == ["site:north"]
        assert any("distributed" in line or "handed out" in line for line in report.cannot_heal)
        assert await states(center) == {1: "compromised", 2: "active"}
        new = await center.issue("plain", ["a", "b", "c"])
        assert await center.verdicts("plain", old) == ["unknown_pseudonym"] * 2  # not without dual control
        ident = report.rotation or ""
        key = await register_key(center, "north")
        with pytest.raises(PolicyError, match="dual control"):
            await fetch(center, ident)
        await approve(center, files, api.KeyPropose(kind="deliver", rotation=ident, party="site:north"))
        opened = key.open(await fetch(center, ident), rotation_map.seal_info(ident, "site:north"))
        assert set(opened.decode().split()[1:]) == set(map(",".join, zip(old, new, strict=False)))
        await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        told = api.MapAcknowledge(sha256=digest(opened))
        await rotation_map.acknowledge(center.context, NORTH, "req", ident, told)
        await rotation_end.finalize(center.context, OPERATOR, "req", ident)
    async with files.open(later(31)) as center:
        await approve(center, files, api.KeyPropose(kind="destroy", domain="plain", version=1))
        assert await states(center) == {1: "destroyed", 2: "active"}
    assert files.failures() == []


async def test_a_key_that_was_rotated_away_leaks_and_the_report_names_the_rotation(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a", "b"])
        ident = (await begin(center)).rotation or ""
        body = api.KeyCompromise(version=1, reason="a backup disk was stolen")
        report = await key_compromise.compromise(center.context, OPERATOR, "req", "plain", body)
        assert (report.replaced_by, report.rotation, report.exposed_pseudonyms) == (2, ident, 2)
        assert any(f"rotation verify {ident}" in step for step in report.next_steps)
        assert await states(center) == {1: "compromised", 2: "active"}


async def test_the_new_key_leaks_during_its_rotation(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        first = (await begin(center)).rotation or ""
        body = api.KeyCompromise(version=2, reason="typed into a chat")
        report = await key_compromise.compromise(center.context, OPERATOR, "req", "plain", body)
        assert await states(center) == {1: "suspended", 2: "compromised", 3: "active"}
        assert (await rotation_show.show(center.context, first)).stage == "superseded"
        assert (await rotation_show.show(center.context, report.rotation or "")).stage == "changed"
    assert files.failures() == []


async def test_overdue_keys_are_shown_and_nothing_rotates_by_itself(files: Files) -> None:
    async with files.open() as center:
        body = api.KeySchedule(days=365)
        (one,) = (await keycare.schedule(center.context, OPERATOR, "req", "plain", body)).keys
        assert (one.domain, one.version, one.overdue) == ("plain", 1, False)
    async with files.open(later(366)) as center:
        (one,) = await center.context.db.read(lambda conn: keycare.due(conn, center.context.clock()))
        assert one.overdue
        assert await states(center) == {1: "active"}
        await center.rotate("plain")
        (one,) = await center.context.db.read(lambda conn: keycare.due(conn, center.context.clock()))
        assert (one.version, one.overdue) == (2, False)


async def test_a_verification_that_nobody_waited_for_is_told_of_as_the_rotation_is_now(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a", "b"])
        ident = (await begin(center)).rotation or ""
        with monkeypatch.context() as patched:
            patched.setattr(rotation_verify, "PATIENCE_SECONDS", 0.0)
            shown = await rotation_verify.ask(center.context, OPERATOR, "req", ident)
        assert shown.stage == "changed"
        await asyncio.wait([center.context.checks[ident].job])
        await rotation_end.roll_back(center.context, OPERATOR, "req", ident)
        assert (await rotation_verify.ask(center.context, OPERATOR, "req", ident)).stage == "rolled-back"
    assert files.failures() == []


async def test_activate_after_a_rollback_takes_what_was_suspended_last(files: Files) -> None:
    async with files.open() as center:
        context = center.context
        (old,) = await center.issue("plain", ["a"])
        ident = (await begin(center)).rotation or ""
        await rotation_end.roll_back(context, OPERATOR, "req", ident)
        await keycare.suspend(context, OPERATOR, "req", "plain", api.KeyAct())
        tried = await keycare.activate(context, OPERATOR, "req", "plain", api.KeyAct(dry_run=True))
        assert (tried.version, await states(center)) == (1, {1: "suspended", 2: "suspended"})
        assert (await keycare.activate(context, OPERATOR, "req", "plain", api.KeyAct())).version == 1
        assert await center.issue("plain", ["a"]) == [old]


async def test_what_waits_for_a_second_person_is_listed_until_it_is_done_or_over(files: Files) -> None:
    async with files.open() as center:
        context = center.context
        await center.issue("plain", ["a"])
        ident = (await begin(center)).rotation or ""
        deliver = api.KeyPropose(kind="deliver", rotation=ident, party="site:north")
        with pytest.raises(ConflictError) as refused:  # it may be fetched as it is
            await key_proposals.propose(context, OPERATOR, "req", deliver)
        assert refused.value.code == "approval_not_needed"
        body = api.KeyCompromise(version=1, reason="stolen")
        await key_compromise.compromise(context, OPERATOR, "req", "plain", body)
        made = await key_proposals.propose(context, OPERATOR, "req", deliver)
        tried = await key_proposals.propose(context, OPERATOR, "req", msgspec.structs.replace(deliver, dry_run=True))
        assert tried.proposal != made.proposal
        (one,) = (await key_proposals.listed(context)).proposals
        assert (one.proposal, one.approved, one.over) == (made.proposal, None, False)
        leaked = api.KeyCompromise(version=2, reason="that one, too")
        await key_compromise.compromise(context, OPERATOR, "req", "plain", leaked)
        (one,) = (await key_proposals.listed(context)).proposals
        assert one.over


@pytest.mark.parametrize("at", ["prepare", "make_material", "_exchange"])
async def test_what_follows_a_leak_is_cut_and_the_same_command_ends_it(
    files: Files, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Also where the leaked key was the new one of a rotation: the version before it is suspended meanwhile."""

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    async with files.open() as center:
        old = await center.issue("plain", ["a", "b"])
        for version in (1, 2):
            body = api.KeyCompromise(version=version, reason="stolen")
            with monkeypatch.context() as patched:
                patched.setattr(rotation, at, die)
                with pytest.raises(Killed):
                    await key_compromise.compromise(center.context, OPERATOR, "req", "plain", body)
            with pytest.raises(ConflictError) as stopped:
                await center.issue("plain", ["a"])
            assert stopped.value.code == "no_active_key"
            assert await center.context.db.read(key_compromise.interrupted) == [("plain", version)]
            for _ in range(2):  # the second time it only reports
                report = await key_compromise.compromise(center.context, OPERATOR, "req", "plain", body)
                assert (report.version, report.replaced_by) == (version, version + 1)
                found = await rotation_show.show(center.context, report.rotation or "")
                assert (found.from_version, found.stage, found.approval_needed) == (version, "changed", True)
            assert await center.context.db.read(key_compromise.interrupted) == []
        assert await states(center) == {1: "compromised", 2: "compromised", 3: "active"}
        assert [entry["version"] for entry in await center.entries("operator:key:compromise")] == [1, 2]
        assert not set(await center.issue("plain", ["a", "b"])) & set(old)
    assert files.failures() == []


class Killed(Exception):
    """Where a process would have died."""


async def test_a_rotation_after_a_suspension_leads_away_from_what_was_suspended(files: Files) -> None:
    async with files.open() as center:
        old = await center.issue("plain", ["a", "b"])
        await keycare.suspend(center.context, OPERATOR, "req", "plain", api.KeyAct())
        planned = await begin(center, dry_run=True)
        assert (planned.from_version, planned.to_version) == (1, 2)
        done = await begin(center, expected_version=1)
        new = await center.issue("plain", ["a", "b"])
        assert (await center.translate("plain", old)).pseudonyms == new
        await center.finalize(done.rotation, "plain")  # with its map
        assert await states(center) == {1: "deactivated", 2: "active"}
    assert files.failures() == []
