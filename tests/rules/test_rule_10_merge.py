"""Rule 10: what is merged or split are persons; no serial is ever re-pointed, and no pseudonym changes its owner."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import date, datetime, timedelta
from pathlib import Path

from joining_support import joining
from rules_support import FORMAT, NORTH, SOUTH, Files, Opened
from sources_support import Source

from trustcenter.clock import utc_now
from trustcenter.instance.opening import open_instance
from trustcenter.messages import api
from trustcenter.registrar.context import Context

ROOT = Path(__file__).parents[2]
GUARD = """
    CREATE TRIGGER never_repointed BEFORE UPDATE OF domain, serial ON entry
    BEGIN SELECT raise(ABORT, 'a serial was re-pointed'); END;
    CREATE TRIGGER never_renamed BEFORE UPDATE OF tag, idx ON entry WHEN NEW.tag IS NOT NULL
    BEGIN SELECT raise(ABORT, 'a row was given to another original'); END;
    CREATE TRIGGER never_removed BEFORE DELETE ON entry
    BEGIN SELECT raise(ABORT, 'a serial was given up'); END;
    CREATE TRIGGER string_never_repointed BEFORE UPDATE OF domain, tag, serial ON stored_string
    BEGIN SELECT raise(ABORT, 'a stored string was re-pointed'); END;
    CREATE TRIGGER string_never_removed BEFORE DELETE ON stored_string
    BEGIN SELECT raise(ABORT, 'a stored string was given up'); END;
    CREATE TRIGGER record_never_repointed BEFORE UPDATE OF domain, serial ON record
    BEGIN SELECT raise(ABORT, 'a record was re-pointed'); END;
"""


async def test_no_operation_moves_a_serial(files: Files) -> None:
    """Every operation that changes rows, in a store that refuses to re-point any."""
    conn = sqlite3.connect(files.database)
    conn.executescript(GUARD)
    conn.close()
    async with files.open() as center:
        await center.domain("several", multi=True, deletable=True)
        await center.domain("drawn", suite=api.Suite.DRAWN, format=FORMAT, deletable=True)
        for domain in ("plain", "several", "drawn"):
            one, two, three = await center.issue(domain, ["a", "b", "c"])
            if domain == "several":
                await center.additional(domain, "k", ["a", "b"], 2)
            before = {row[0]: row[:4] for row in await center.rows(domain)}
            await center.remove("anonymise", domain, [one])
            await center.remove("delete", domain, [two])
            (again,) = await center.issue(domain, ["a"])
            assert again != one
            after = {row[0]: row[:4] for row in await center.rows(domain)}
            changed = [serial for serial, row in before.items() if after[serial] != row]
            assert len(changed) == 1  # the deleted one, whose serial stays
            assert await center.verdicts(domain, [one, two, three, again]) == ["ok", "unknown_pseudonym", "ok", "ok"]
        await center.rotate("plain")


async def changes(registrar: Context) -> list[dict[str, int]]:
    """What the log says of the persons of every run."""
    leaves = await registrar.db.read(lambda conn: conn.execute("SELECT leaf FROM audit_entry ORDER BY seq").fetchall())
    entries = [json.loads(leaf) for (leaf,) in leaves]
    return [entry["data"]["changes"] for entry in entries if entry["event"] == "registrar:run:apply"]


async def test_persons_split_and_merged_by_linkage_move_no_serial(files: Files) -> None:
    """Real runs: all joined; then split, because consents are over; then merged again, by new ones."""
    conn = sqlite3.connect(files.database)
    conn.executescript(GUARD)
    conn.close()
    now = utc_now()

    def clock() -> datetime:
        return now

    sources = {NORTH: Source("heart", 1, 0, 60), SOUTH: Source("heart", 2, 20, 60)}
    async with open_instance(files.config, files.passphrase, clock) as instance, joining(instance) as study:
        center = Opened(instance.registrar)
        await study.create(("north", "south"), consent=["4"])

        async def consents(signed: date, until: date | None) -> None:
            for site, source in sources.items():
                last = None if until is None or site == SOUTH else str(until)
                policies = [api.ConsentProvision(code="4", last=last)]
                items = [api.ConsentItem(original=n, date=str(signed), policies=policies) for n in source.hex_numbers]
                answer = await study.linking.take_consents(site, "req", "heart", items)
                assert list(answer.results) == ["permitted"] * 60

        await consents(now.date() - timedelta(days=1), now.date() + timedelta(days=10))
        pseudonyms = {site: await study.register(site, source) for site, source in sources.items()}
        for site, source in sources.items():
            await study.upload(site, source)
        rows = {name: await center.rows(name) for name in ("heart.north", "heart.south")}

        await study.run()
        joined = await study.persons()
        assert (len(joined), len(set(joined.values()))) == (120, 80)
        now += timedelta(days=20)
        await study.run()
        split = await study.persons()
        assert (len(split), len(set(split.values()))) == (60, 60)
        await consents(now.date(), None)
        await study.run()
        merged = await study.persons()
        assert (len(merged), len(set(merged.values()))) == (120, 80)

        assert {person: joined[record] for record, person in split.items()} == {p: p for p in split.values()}
        assert await changes(instance.registrar) == [
            {"created": 80},
            {"ended": 20, "shrunk": 40},
            {"created": 20, "grown": 40},
        ]
        assert {name: await center.rows(name) for name in rows} == rows
        assert {site: await study.register(site, source) for site, source in sources.items()} == pseudonyms


def test_no_statement_of_ours_moves_one() -> None:
    """What is merged are persons. Were pseudonyms ever merged, there would be one way: a pointer to the successor."""
    moves = re.compile(
        r"UPDATE\s+(entry|record|stored_string)\s+SET\s+(?:(?!WHERE)[^;])*?\b(serial|domain|idx)\s*=", re.IGNORECASE
    )
    removes = re.compile(r"DELETE\s+FROM\s+(entry|stored_string)\b", re.IGNORECASE)
    seen = 0
    for path in sorted((ROOT / "trustcenter").rglob("*.py")):
        text = re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8"))  # statements over several lines
        seen += len(re.findall(r"UPDATE\s+(?:entry|record|stored_string)\s+SET", text))
        assert not moves.search(text), path.name
        assert not removes.search(text), path.name
    assert seen >= 4
