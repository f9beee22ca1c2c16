"""A store of before lists of neighbours and beginnings of refs: its next run comes to the same pairs and persons."""

from __future__ import annotations

from pathlib import Path

from joining_support import joining
from sources_support import Source
from tests_support import make_instance

from trustcenter import config
from trustcenter.auth import Principal
from trustcenter.instance.checking import fsck_rows
from trustcenter.instance.opening import open_instance
from trustcenter.store import Connection

SITES = (("north", 0), ("south", 30))
# What migrations 690 and 695 changed, taken back.
BEFORE = (
    "DROP TABLE neighbours",
    "CREATE INDEX pair_other ON pair (domain_b, serial_b)",
    "DROP TABLE ref_heads",
    "DELETE FROM schema_migration WHERE number IN (690, 695)",
)


def _held(conn: Connection) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """All pairs with their edges, and all records with their persons."""
    pairs = conn.execute("SELECT domain_a, serial_a, domain_b, serial_b, packed FROM pair ORDER BY 1, 2, 3, 4")
    records = conn.execute("SELECT domain, serial, person FROM record ORDER BY domain, serial")
    return pairs.fetchall(), records.fetchall()


async def test_a_store_of_before_asks_for_all_edges_again_and_keeps_its_persons(tmp_path: Path) -> None:
    make_instance(tmp_path / "instance")
    loaded = config.load(tmp_path / "instance")
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    async with open_instance(loaded, passphrase) as instance, joining(instance) as study:
        db = instance.registrar.db
        for name, _ in SITES:
            await db.write(lambda conn, name=name: instance.registrar.directory.add_site(conn, name, "diz", name))  # type: ignore[misc]
        await study.create([name for name, _ in SITES])
        for key, (name, start) in enumerate(SITES, 1):
            site, source = Principal(name, "site", ""), Source("heart", key, start, 60)
            await study.register(site, source)
            await study.upload(site, source)
        assert (await study.run()).counts is not None
        before = await db.read(_held)
        assert len(before[0]) >= 30

        def back(conn: Connection) -> None:
            for statement in BEFORE:
                conn.execute(statement)

        await db.write(back)

    async with open_instance(loaded, passphrase) as instance, joining(instance) as study:
        db = instance.registrar.db
        assert (await db.read(_held)) == ([], before[1]), "edges are told again"
        assert (await study.run()).counts is not None
        assert await db.read(_held) == before
        assert [f.state for f in await db.read(lambda conn: list(fsck_rows.records(conn)))] == ["ok"]
