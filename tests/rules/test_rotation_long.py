"""What lasts minutes in a large domain: a verification that is asked after, and stages that hold nobody up."""

from __future__ import annotations

import asyncio

import pytest
from rules_support import OPERATOR, Files, Opened

from trustcenter.errors import VerificationError
from trustcenter.messages import api
from trustcenter.registrar.rotating import rewriting, rotation, rotation_verify


async def asked(center: Opened, ident: str) -> api.Rotation:
    """The end of a verification, asked for again and again."""
    for _ in range(5_000):
        found = await rotation_verify.ask(center.context, OPERATOR, "req", ident)
        if found.checked is None:
            return found
        await asyncio.sleep(0.001)
    raise AssertionError("it has no end")


async def test_a_verification_is_begun_once_however_often_it_is_asked_for(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_verify, "CHUNK", 2)
    monkeypatch.setattr(rotation_verify, "PATIENCE_SECONDS", 0.0)
    async with files.open() as center:
        await center.issue("plain", [f"p{i}" for i in range(60)])
        ident = (await rotation.rotate(center.context, OPERATOR, "req", "plain", api.RotateRequest())).rotation or ""
        first = await rotation_verify.ask(center.context, OPERATOR, "req", ident)
        assert (first.stage, first.checked) == ("changed", 0)
        found = await asked(center, ident)
        assert (found.stage, found.done) == ("verified", 60)
        assert len(await center.entries("operator:key:verify")) == 1
        assert center.context.checks == {}


async def test_what_a_verification_found_wrong_is_told_to_who_asks_next(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_verify, "PATIENCE_SECONDS", 0.0)
    body = api.RotateRequest(purpose="data")
    async with files.open() as center:
        await center.issue("plain", ["a", "b"])
        ident = (await rotation.rotate(center.context, OPERATOR, "req", "plain", body)).rotation or ""
        await rewriting.run(center.context, ident)
        await center.context.db.write(lambda conn: conn.execute("UPDATE entry SET sealed = x'00' WHERE idx = 0"))
        with pytest.raises(VerificationError) as told:
            await asked(center, ident)
        assert told.value.code == "rewriting_broken"
        with pytest.raises(VerificationError):
            await asked(center, ident)  # once more, and not what was found before


async def test_a_service_that_stops_ends_its_verifications(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation_verify, "PATIENCE_SECONDS", 0.0)
    async with files.open() as center:
        await center.issue("plain", ["a"])
        ident = (await rotation.rotate(center.context, OPERATOR, "req", "plain", api.RotateRequest())).rotation or ""
        await rotation_verify.ask(center.context, OPERATOR, "req", ident)
    async with files.open() as center:
        monkeypatch.undo()
        assert (await rotation_verify.ask(center.context, OPERATOR, "req", ident)).stage == "verified"
