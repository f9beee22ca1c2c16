"""Rule 3: a mark per version, fixed at cut-over, in key state and log; a valid decode above it raises the alarm."""

from __future__ import annotations

import sqlite3

import pytest
from rules_support import NORTH, Files

from keys.ids import Purpose
from trustcenter.errors import VerificationError
from trustcenter.messages import api
from trustcenter.registrar.head import COUNTER_BITS
from trustcenter.registrar.pseudonyms import operations
from trustcenter.registrar.reversal import originals
from trustcenter.registrar.reversal.tickets import TicketNeededError


async def test_the_mark_is_the_greatest_serial_at_cut_over_in_state_and_log(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a", "b", "c"])
        domain = await center.domain("plain")
        plan = await center.rotate("plain")
        (greatest,) = {max(row[0] for row in await center.rows("plain"))}
        await center.issue("plain", ["d"])
        versions = await center.context.db.read(
            lambda conn: center.context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM)
        )
        assert [(v.version, v.high_water) for v in versions] == [(1, greatest), (2, None)]
        assert plan.high_water_mark == greatest == (0 << COUNTER_BITS) | 3
        (entry,) = await center.entries("operator:key:rotate")
        assert entry["high_water"] == greatest
        await center.rotate("plain")
        versions = await center.context.db.read(
            lambda conn: center.context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM)
        )
        assert versions[0].high_water == greatest  # what came later does not move it
    with sqlite3.connect(files.database) as conn:
        conn.execute("UPDATE key_version SET high_water = high_water + 1 WHERE version = 1 AND purpose = 'pseudonym'")
    conn.close()
    with pytest.raises(VerificationError, match="changed outside"):
        async with files.open():
            pass


async def test_a_valid_decode_above_the_mark_is_refused_and_raises_the_alarm(files: Files, caplog) -> None:
    async with files.open() as center:
        (before,) = await center.issue("plain", ["a"])
        await center.rotate("plain")
        (after,) = await center.issue("plain", ["b"])
        (_, row) = await center.rows("plain")
        impossible = await center.forge("plain", 1, row[0], row[1])  # a live row, under a version that never saw it
        assert await center.verdicts("plain", [before, after]) == ["ok", "ok"]
        assert await center.entries("registrar:pseudonym:alarm") == []
        assert caplog.records == []

        assert await center.verdicts("plain", [before, impossible, impossible]) == ["ok", *["unknown_pseudonym"] * 2]
        assert (await center.translate("plain", [impossible])).pseudonyms == [None]
        assert (await center.remove("delete", "plain", [impossible])).rows == 0
        alarms = await center.entries("registrar:pseudonym:alarm")
        assert [(a["who"], a["domain"], a["count"]) for a in alarms] == [
            ("north", "plain", 2),
            *[("north", "plain", 1)] * 2,
        ]
        assert [record.levelname for record in caplog.records] == ["CRITICAL"] * 3
        assert impossible not in caplog.text
        with pytest.raises(TicketNeededError):
            await originals.release(center.context, NORTH, "req", "plain", "no-ticket", [impossible])
        assert await center.verdicts("plain", [after]) == ["ok"]

        # An original that is a pseudonym of the parent domain goes the same way.
        await center.domain("child", parent="plain")
        body = api.PseudonymRequest(originals=[impossible])
        answer = await operations.pseudonymize(center.context, NORTH, "req", "child", body)
        assert [e.code for e in answer.errors] == ["unknown_parent_pseudonym"]
        assert len(await center.entries("registrar:pseudonym:alarm")) == 4
