"""Rule 12: a study's pseudonyms are rows of the (study, site) domain, made for the record number."""

from __future__ import annotations

import os

import pytest
from joining_support import joining
from rules_support import NORTH, OPERATOR, SOUTH, Files, Opened
from sources_support import Source

from keys import hybrid
from trustcenter.errors import PolicyError
from trustcenter.instance.opening import open_instance
from trustcenter.messages import api
from trustcenter.registrar.domains import find
from trustcenter.registrar.pseudonyms import layout
from trustcenter.registrar.study import records, study_create
from trustcenter.store import Connection


async def study(center: Opened) -> tuple[str, str]:
    """A study of both sites; the names of their domains in it."""
    await study_create.create(
        center.context,
        OPERATOR,
        "req",
        api.StudyCreate(
            name="heart",
            purpose="test",
            permit="1",
            schema="de-person/1",
            participants=[api.Participant(site="north"), api.Participant(site="south")],
            recipients=[api.Recipient(name="dms", public_key=hybrid.RecipientKey.generate().public)],
        ),
    )
    rows = await center.sql("SELECT p.site, d.name FROM participant p JOIN domain d ON d.id = p.domain ORDER BY p.site")
    return rows[0][1], rows[1][1]


async def test_they_stand_for_the_record_number_in_the_domain_of_study_and_site(files: Files) -> None:
    async with files.open() as center:
        north, south = await study(center)
        numbers = sorted(os.urandom(16).hex() for _ in range(3))
        body = api.RegisterRequest(record_numbers=numbers)
        mine = (await records.register(center.context, NORTH, "req", "heart", body)).pseudonyms
        theirs = (await records.register(center.context, SOUTH, "req", "heart", body)).pseudonyms
        assert not set(mine) & set(theirs)  # the same numbers at two sites have nothing in common
        domain = await center.context.db.read(lambda conn: find(conn, north))
        assert (domain.kind, domain.site, domain.study) == ("study-site", "north", "heart")

        def rows(conn: Connection) -> list[tuple[int, bytes, bytes, bytes]]:
            return conn.execute(
                "SELECT serial, nonce, tag, sealed FROM entry WHERE domain = ? AND status = 0", (domain.id,)
            ).fetchall()

        found = await center.context.db.read(rows)
        originals = layout.unseal_rows(center.context, domain, found)
        assert sorted(originals) == sorted(bytes.fromhex(number) for number in numbers)  # and of nobody's surrogate
        made = {
            original.hex(): await center.forge(north, 1, serial, nonce)
            for original, (serial, nonce, _, _) in zip(originals, found, strict=True)
        }
        assert [made[number] for number in numbers] == mine
        assert len(await center.rows(south)) == 3


async def test_joining_records_to_one_person_changes_no_pseudonym(files: Files) -> None:
    """A real run joins them; a second one, with more records at one site, joins further ones."""
    people = {NORTH: (0, 120), SOUTH: (60, 60)}
    async with open_instance(files.config, files.passphrase) as instance, joining(instance) as made:
        center = Opened(instance.registrar)
        await made.create(("north", "south"))
        sources = {site: Source("heart", 1 + at, *people[site]) for at, site in enumerate(people)}
        before = {site: await made.register(site, source) for site, source in sources.items()}
        for site, source in sources.items():
            await made.upload(site, source)
        names = [f"heart.{site}" for site in ("north", "south")]
        rows = [await center.rows(name) for name in names]
        assert not await made.persons()

        run = await made.run()
        assert run.counts is not None
        assert run.counts.linked_persons == 60
        first = await made.persons()
        assert len(set(first.values())) == 120
        assert {site: await made.register(site, source) for site, source in sources.items()} == before
        assert [await center.rows(name) for name in names] == rows

        more = Source("heart", 2, 0, 60)
        added = await made.register(SOUTH, more)
        await made.upload(SOUTH, more)
        run = await made.run()
        assert run.counts is not None
        assert run.counts.linked_persons == 120
        assert {site: await made.register(site, source) for site, source in sources.items()} == before
        assert await made.register(SOUTH, more) == added
        assert [(await center.rows(name))[: len(old)] for name, old in zip(names, rows, strict=True)] == rows
        texts = [*before[NORTH], *before[SOUTH], *added]
        assert len(set(texts)) == len(texts) == 240


async def test_hospital_ids_never_enter_a_domain_of_a_study(files: Files) -> None:
    async with files.open() as center:
        north, _ = await study(center)
        with pytest.raises(PolicyError) as caught:
            await center.issue(north, ["hospital-id"])
        assert caught.value.code == "study_domain"
        assert await center.rows(north) == []
