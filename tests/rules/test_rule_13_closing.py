"""Rule 13: a closed domain loses pseudonym, lookup and data key of every version, and H. All of them or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rules_support import NORTH, OPERATOR, Files

from keys.errors import KeysError
from keys.ids import KeyId, Purpose
from keys.store import KeyStore
from trustcenter.errors import ConflictError
from trustcenter.messages import api
from trustcenter.registrar import closing, domains
from trustcenter.registrar.context import Context
from trustcenter.registrar.reversal import reidentify
from trustcenter.store import Connection


async def close(context: Context, name: str, days: int) -> api.Domain:
    """What two people's agreement leads to."""

    def effect(conn: Connection) -> api.Domain:
        closing.carry_out(context, conn, "operator", "req", name, days)
        return domains.describe(context, conn, domains.find(conn, name))

    return await context.db.write(effect)


async def test_all_four_are_destroyed_and_nothing_resolves(files: Files) -> None:
    async with files.open() as center:
        domain = await center.domain("doomed", multi=True)
        texts = await center.issue("doomed", ["a", "b"])
        await center.additional("doomed", "key", ["a"], 2)
        await center.rotate("doomed")
        texts += await center.issue("doomed", ["a", "b"])
        (kept,) = await center.issue("plain", ["a"])
        sealed = [row[5] for row in await center.rows("doomed")]
        h = (await center.domain("doomed")).h
        with pytest.raises(ConflictError):
            await closing.destroy(center.context, OPERATOR, "req", "doomed")  # it was never closed
        closed = await close(center.context, "doomed", 7)
        assert closed.state == "closing"
        with pytest.raises(ConflictError) as caught:
            await center.issue("doomed", ["a"])
        assert caught.value.code == "domain_closed"
        assert await center.verdicts("doomed", texts) == ["ok"] * 4  # the grace period
        with pytest.raises(ConflictError) as early:
            await closing.destroy(center.context, OPERATOR, "req", "doomed")
        assert early.value.code == "not_due"
    assert h in files.database.read_bytes()

    later = datetime.now(UTC) + timedelta(days=8)
    async with files.open(lambda: later) as center:  # a start finds what is due
        assert (await center.domain("doomed")).state == "closed"
        assert await center.sql("SELECT h FROM domain WHERE name = 'doomed'") == [(b"",)]
        states = await center.sql("SELECT purpose, version, state FROM key_version WHERE scope = ?", domain.scope)
        assert sorted(states) == [
            ("data", 1, "destroyed"),
            ("lookup", 1, "destroyed"),
            ("pseudonym", 1, "destroyed"),
            ("pseudonym", 2, "destroyed"),
        ]
        for purpose, version in (("pseudonym", 1), ("pseudonym", 2), ("lookup", 1), ("data", 1)):
            assert not center.context.keys.has(KeyId(domain.scope, Purpose(purpose), version))
        for call in (
            center.verdicts("doomed", texts),
            center.translate("doomed", texts),
            center.issue("doomed", ["a"]),
        ):
            with pytest.raises(ConflictError) as gone:
                await call
            assert gone.value.code == "domain_destroyed"
        with pytest.raises(ConflictError):
            await reidentify.create(
                center.context, NORTH, "req", "doomed",
                api.ReidentifyRequest(reason="a reason that is long enough", pseudonyms=texts[:1]),
            )  # fmt: skip
        with pytest.raises(KeysError):
            center.context.keys.unseal(domain.uuid, 1, [bytes(12)], sealed[:1], [b""])
        assert await center.sql("SELECT count(*) FROM idempotency WHERE domain = ?", domain.id) == [(0,)]
        destroyed = [e for e in await center.entries("operator:key:destroy") if e["domain"] == "doomed"]
        assert sorted((e["purpose"], e["version"]) for e in destroyed) == [s[:2] for s in sorted(states)]
        assert [e["domain"] for e in await center.entries("registrar:domain:destroy")] == ["doomed"]
        assert await center.verdicts("plain", [kept]) == ["ok"]
    assert h not in files.database.read_bytes()
    stored = KeyStore.open(files.dir / "registrar-keys" / "registrar.keys", files.passphrase)
    assert {e.id.purpose for e in stored.entries() if e.id.scope == domain.scope and e.destroyed is None} == set()
    assert files.failures() == []


async def test_keys_of_a_domain_are_independent_of_each_other_and_of_every_other(files: Files) -> None:
    """None is derived from anything that survives: the check values of one and the same position all differ."""
    async with files.open() as center:
        for name in ("one", "two", "three"):
            await center.domain(name)
        entries = center.context.keys.entries()
        assert len({entry.kcv for entry in entries}) == len(entries) >= 9
        values = [h for (h,) in await center.sql("SELECT h FROM domain")]
        assert len(set(values)) == len(values) == 4
        assert all(len(value) == 32 for value in values)
