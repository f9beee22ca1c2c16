"""Consent that ends by itself, on the day on which the policy's period ends: from then on nothing new is done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from joining_support import joining
from sources_support import Source
from tests_support import make_instance

from trustcenter import config
from trustcenter.auth import Principal
from trustcenter.clock import utc_now
from trustcenter.comparator import compare, pieces
from trustcenter.instance import places
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance
from trustcenter.messages import api
from trustcenter.messages.consent import code_system
from trustcenter.messages.rooms import EdgesHeader, WindowOrder
from trustcenter.registrar import domain_create
from trustcenter.registrar.consents import consent, consent_study
from trustcenter.registrar.consents.consent_days import last_day
from trustcenter.registrar.linking import applying, deciding, runs
from trustcenter.registrar.pseudonyms import operations
from trustcenter.registrar.study import studies

NORTH, SOUTH = Principal("north", "site", ""), Principal("south", "site", "")
OPERATOR = Principal("operator", "operator", "")
POLICY = min(number for number, policy in code_system().policies.items() if policy.years == 5)
SIGNED = utc_now().date() - timedelta(days=1)
LAST = last_day(SIGNED, 5)


class Clock:
    """Stands still where it is put."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now

    def noon(self, day: date) -> None:
        """Go to a day."""
        self.now = datetime.combine(day, time(12), UTC)


@asynccontextmanager
async def opened(base: Path, clock: Clock) -> AsyncIterator[Instance]:
    make_instance(base / "instance")
    loaded = config.load(base / "instance")
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    async with open_instance(loaded, passphrase, clock) as instance:
        directory = instance.registrar.directory

        def sites(conn: object) -> None:
            for name in ("north", "south"):
                directory.add_site(conn, name, "diz", name)  # type: ignore[arg-type]

        await instance.registrar.db.write(sites)
        yield instance


def document(original: str, day: date) -> api.ConsentItem:
    return api.ConsentItem(original=original, date=str(day), policies=[api.ConsentProvision(code=str(POLICY))])


async def test_issue_is_refused_from_the_day_after_the_period(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as instance:
        context = instance.registrar
        made = api.DomainCreate(name="asked", site="north", consent=[str(POLICY)], multi=True)
        await domain_create.create(context, OPERATOR, "req", made)

        async def told(*items: api.ConsentItem) -> list[str | None]:
            return list((await consent.record(context, NORTH, "req", "asked", list(items))).results)

        async def issue(mode: str, *originals: str) -> tuple[list[str | None], list[str]]:
            body = api.PseudonymRequest(originals=list(originals), mode=mode)  # type: ignore[arg-type]
            answer = await operations.pseudonymize(context, NORTH, "req", "asked", body)
            return list(answer.pseudonyms), [error.code for error in answer.errors]

        assert await told(document("a", SIGNED), document("b", SIGNED)) == ["permitted"] * 2
        (first,), refused = await issue("create", "a")
        assert (first is not None, refused) == (True, [])
        clock.noon(LAST)
        assert await issue("create", "a") == ([first], [])
        assert await issue("get", "a") == ([first], [])

        clock.noon(LAST + timedelta(days=1))
        for mode in ("create", "get"):
            assert await issue(mode, "a", "b") == ([None, None], ["consent_expired"] * 2)
        further = api.AdditionalRequest(originals=["a"], count=1)
        more = await operations.additional(context, NORTH, "req", "asked", "key-1", further)
        assert [error.code for error in more.errors] == ["consent_expired"]
        # What there is stays: the consent may be renewed. Sending the old document again does nothing.
        assert list((await operations.validate(context, NORTH, "req", "asked", [str(first)])).results) == ["ok"]
        assert await told(document("a", SIGNED)) == ["expired"]
        assert await told(document("a", LAST)) == ["permitted"]
        assert await issue("create", "a", "b") == ([first, None], ["consent_expired"])


@pytest.mark.parametrize("ends", ["before the run", "while it is decided"])
async def test_linkage_leaves_out_whose_period_is_over(tmp_path: Path, ends: str) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as instance, joining(instance) as study:
        context = instance.registrar
        await study.create(("north", "south"), consent=[str(POLICY)])
        sources = {NORTH: Source("heart", 1, 0, 60), SOUTH: Source("heart", 2, 20, 60)}
        for site, source in sources.items():
            renewed = source.hex_numbers[:50]  # the consent of the other ten ends a year earlier than theirs
            signed = [
                document(number, SIGNED if number in renewed else SIGNED - timedelta(days=366))
                for number in source.hex_numbers
            ]
            answer = await study.linking.take_consents(site, "req", "heart", signed)
            assert list(answer.results) == ["permitted"] * 60
            assert None not in await study.register(site, source)
            await study.upload(site, source)

        before = await study.run()
        assert before.counts is not None
        assert [source.left_out for source in before.counts.sources] == [0, 0]
        assert len(await study.persons()) == 120

        over = LAST - timedelta(days=30)
        if ends == "before the run":
            clock.noon(over)
            after = await study.run()
            assert after.counts is not None
            assert [(source.records, source.left_out) for source in after.counts.sources] == [(50, 10), (50, 10)]
        else:  # decided on the last day, applied on the day after it
            run = await runs.create(context, OPERATOR, "req", "heart")
            await runs.step(context, run, "comparing")
            await runs.step(context, run, "deciding")
            found = await context.db.read(lambda conn: studies.find(conn, "heart"))
            comparison = studies.parameters_hash(found)
            order = WindowOrder(study="heart", version=1, window=run.window, parameters_hash=comparison)
            frozen = await compare.freeze(instance.comparator, order)
            rows = places.database(instance.config, "comparator")
            edges = instance.config.path("edges")
            for piece in pieces.plan(rows, frozen):
                pieces.join_piece(rows, frozen, piece, edges.parent)
            pieces.merge(edges.parent, edges, [])
            place = places.database(instance.config, "registrar")
            changes = edges.with_suffix(".changes")
            changes.mkdir()
            decided = deciding.decide_study(place, deciding.Task("heart", edges, changes, comparison))
            clock.noon(over)
            header = EdgesHeader(
                study="heart", version=1, window=1, parameters_hash=comparison, edges=0, sha256="0" * 64
            )
            await applying.apply(context, run, decided, header)
            query = "SELECT domain_a, serial_a, domain_b, serial_b FROM link WHERE run = ?"
            links = await context.db.read(lambda conn: conn.execute(query, (run.id,)).fetchall())
            assert len(decided.links) > len(links) > 0
            assert not {tuple(link[at : at + 2]) for link in links for at in (0, 2)} - (await study.persons()).keys()
            touched = await context.db.read(lambda conn: conn.execute("SELECT domain, serial FROM touched").fetchall())
            assert len(touched) == 20, "the next run looks at those whom they were joined with"
        held = await study.persons()
        assert len(held) == 100
        left_out = await context.db.read(lambda conn: consent_study.left_out(context, conn, "heart"))
        assert len(left_out) == 20
        assert not left_out & held.keys()
        # Nobody can register them anew either, until there is a newer document.
        again = await study.register(NORTH, sources[NORTH])
        assert again.count(None) == 10
