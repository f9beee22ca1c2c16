"""What happens while a run is under way, or after one that was not applied, is not lost on the next window."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from joining_support import OPERATOR
from rules_support import rotate_room
from windows_support import BASE, REST, SITES, Study, instance, site, tables

from keys.personal import PersonalKey
from linkage.synth import SiteSpec, SynthConfig, generate
from linkage.tables import Table
from trustcenter.audit import fingerprint, letter
from trustcenter.auth import Principal
from trustcenter.errors import VerificationError
from trustcenter.instance.opened import Instance
from trustcenter.instance.running import Rooms
from trustcenter.messages import api
from trustcenter.registrar import letters
from trustcenter.registrar.doubts import clearing
from trustcenter.registrar.linking import applying, runs
from trustcenter.registrar.release import joinmap, releases
from trustcenter.registrar.release.release_statement import CONTEXT
from trustcenter.registrar.study import own_duplicates, records

__all__ = ["instance", "tables"]  # fixtures


@pytest.fixture(scope="module")
def others() -> dict[str, Table]:
    """As many people again, none of whom is known anywhere."""
    made = SynthConfig(seed="others", sites=tuple(SiteSpec(name, 450) for name in SITES), overlap=0, twins=0)
    return generate(made).sites


async def linked(at: tuple[Instance, Rooms], name: str, tables: dict[str, Table], others: dict[str, Table]) -> Study:
    """A study with a first run, in which a correction makes somebody else of a record."""
    study = Study(*at, name, tables)
    for key in SITES:
        changed = site(name, key, replace(tables[key], columns=others[key].columns)).encoded
        study.sites[key] = replace(study.sites[key], corrected=changed)
    await study.create(SITES, clearing="single")
    for key in SITES:
        await study.send(key, range(BASE))
    await study.link()
    return study


async def touched(study: Study) -> set[tuple[int, int]]:
    """What the next window is to look at."""
    rows = await study.instance.registrar.db.read(
        lambda conn: conn.execute("SELECT domain, serial FROM touched").fetchall()
    )
    return {(row[0], row[1]) for row in rows}


def while_it_runs(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Let something happen once a run is decided, before its edges are kept."""
    keep = applying.keep_edges

    async def late(*args: object) -> AsyncIterator[tuple[int, int]]:
        await meanwhile()
        async for done in keep(*args):  # type: ignore[arg-type]
            yield done

    monkeypatch.setattr(applying, "keep_edges", late)


async def test_what_changes_while_a_run_is_under_way_is_for_the_next(
    instance: tuple[Instance, Rooms],
    tables: dict[str, Table],
    others: dict[str, Table],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = await linked(instance, "heart", tables, others)
    newest = [study.sites["north"].encoded[1][n].tobytes() for n in REST]
    south = study.sites["south"]

    async def leave() -> None:
        await study.withdraw("south", range(0, BASE, 2))
        numbers = [south.encoded[1][n].tobytes().hex() for n in range(1, BASE, 2)]
        ones = [api.Duplicate(record_number=n, successor=numbers[-1]) for n in numbers[:-1:2]]
        body = api.DuplicateRequest(duplicates=ones)
        await own_duplicates.declare(study.instance.registrar, south.principal, "req", "heart", body)
        await study.linking.deliver()

    await study.send("north", REST)
    with monkeypatch.context() as patched:
        while_it_runs(patched, leave)
        await study.link()
    # New records had edges with those who left, and are decided without them.
    assert len(await touched(study) & set(await study.serials("north", newest))) > 30
    query = (
        "SELECT count(*) FROM pair p JOIN record r ON r.domain = p.domain_b AND r.serial = p.serial_b"
        " WHERE r.state = 'unlinked'"
    )
    assert await study.instance.registrar.db.read(lambda conn: conn.execute(query).fetchone()[0]) == 0
    assert await study.miscounted() == [], "withdrawals and duplicates that came meanwhile are counted, too"

    await study.send("south", REST)
    with monkeypatch.context() as patched:
        while_it_runs(patched, lambda: study.send("south", REST[:60], again=True))
        joined = await study.link()
    after = await study.link()
    assert after.linked_persons < joined.linked_persons - 10, "two thirds of the new ones are other people now"
    windows = await study.partition()
    await study.link("full")
    assert await study.partition() == windows


async def ask_again(study: Study) -> None:
    """Have two records joined by hand, and ask for the same pair again: its verdict holds no more."""
    alone = {key for members in await study.partition() if len(members) == 1 for key in members}
    chosen, texts = set(), []
    for key in SITES:
        numbers = [number.tobytes() for number in study.sites[key].encoded[1][:BASE]]
        found = zip(numbers, await study.serials(key, numbers), strict=True)
        number, serial = next((number, serial) for number, serial in found if serial in alone)
        chosen.add(serial)
        body = api.RegisterRequest(record_numbers=[number.hex()])
        one = study.sites[key].principal
        texts += (await records.register(study.instance.registrar, one, "req", "lungs", body)).pseudonyms
    dora, context = Principal("dora", "steward", ""), study.instance.registrar
    asked = api.ClearingAsk(sites=list(SITES), pseudonyms=texts)
    task = (await clearing.ask(context, dora, "req", "lungs", asked)).task
    await clearing.answer(context, dora, "req", "lungs", task, api.ClearingAnswer(answer="same", reason="letter"))
    await study.link()
    assert frozenset(chosen) in await study.partition()
    await clearing.ask(context, dora, "req", "lungs", asked)
    await study.link()
    assert {frozenset({key}) for key in chosen} <= await study.partition()


async def test_verdicts_asked_again_and_runs_that_kept_edges_and_were_not_applied_lead_the_next_one(
    instance: tuple[Instance, Rooms],
    tables: dict[str, Table],
    others: dict[str, Table],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = await linked(instance, "lungs", tables, others)
    asked = "SELECT margin FROM clearing_task WHERE origin = 'run'"
    margins = [row[0] for row in await study.instance.registrar.db.read(lambda conn: conn.execute(asked).fetchall())]
    assert margins
    assert all(0 <= margin <= 0.5 for margin in margins), "of two sources the cut is in the middle"
    await ask_again(study)
    corrected = range(0, BASE, 6)
    query = "SELECT domain_a, serial_a, domain_b, serial_b FROM pair"
    pairs = await study.instance.registrar.db.read(lambda conn: conn.execute(query).fetchall())
    changed = set(await study.serials("north", [study.sites["north"].encoded[1][n].tobytes() for n in corrected]))
    around = {end for a, s, b, t in pairs for end in ((a, s), (b, t)) if changed & {(a, s), (b, t)}} - changed
    await study.send("north", corrected, again=True)
    assert await touched(study) == changed

    apply = applying.apply

    async def cancelled(context: object, run: runs.RunRow, *args: object) -> None:
        await runs.request_cancel(study.instance.registrar, OPERATOR, "lungs", run.id)
        await apply(context, run, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(applying, "apply", cancelled)
        run = await study.linking.create(OPERATOR, "req", "lungs")
        while run.state in runs.OPEN:
            await asyncio.sleep(0.02)
            run = await study.linking.show("lungs", run.run)
    assert run.state == "cancelled"
    left = await study.instance.registrar.db.read(lambda conn: conn.execute(query).fetchall())
    lost = {end for a, s, b, t in set(pairs) - set(left) for end in ((a, s), (b, t))}
    assert len(lost & around) > 30
    assert lost <= await touched(study)
    await study.link()
    assert not await touched(study)
    windows = await study.partition()
    await study.link("full")
    assert await study.partition() == windows


async def test_a_duplicate_that_is_declared_while_the_map_of_a_release_is_built_is_told(
    instance: tuple[Instance, Rooms], tables: dict[str, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, registrar = Study(*instance, "heart", tables), instance[0].registrar
    await study.create(SITES)
    for key in SITES:
        await study.send(key, range(60))
    await study.link()
    north = study.sites["north"]
    numbers = [number.tobytes() for number in north.encoded[1][:60]]
    serials = await study.serials("north", numbers)
    persons = await study.persons()
    gone, stays = 7, next(n for n in range(60) if persons[serials[n]] != persons[serials[7]])

    approvers = {name: PersonalKey.generate() for name in ("anna", "bernd")}
    for name, key in approvers.items():
        await registrar.db.write(
            lambda conn, n=name, k=key: registrar.directory.add_staff(conn, n, "approver", k.public)  # type: ignore[misc]
        )
    build = joinmap.build

    async def late(*args: object) -> joinmap.Built:
        built = await build(*args)  # type: ignore[arg-type]
        said = api.Duplicate(record_number=numbers[gone].hex(), successor=numbers[stays].hex())
        body = api.DuplicateRequest(duplicates=[said])
        await own_duplicates.declare(registrar, north.principal, "req", "heart", body)
        return built

    monkeypatch.setattr(joinmap, "build", late)
    proposed = await releases.propose(registrar, OPERATOR, "req", "heart", api.ReleaseCreate(recipient="dms"))
    for name, key in approvers.items():
        signed = api.Approval(signature=key.sign(CONTEXT, proposed.statement.encode()))
        caller = Principal(name, "approver", "")
        release = await releases.approve(registrar, caller, "req", "heart", proposed.release, signed)
    assert release.state == "released"
    told, known = await registrar.db.read(
        lambda conn: (
            conn.execute("SELECT merged + moved, withdrawn FROM change_batch").fetchall(),
            conn.execute(
                "SELECT person FROM released_record WHERE domain = ? AND serial = ?", serials[gone]
            ).fetchone(),
        )
    )
    assert [tuple(row) for row in told] == [(1, 0)]
    assert bytes(known[0]) == persons[serials[stays]]

    # Map and changes were signed with the key of the log; so is what comes after that key was rotated.
    printed = [fingerprint(registrar.log.vkey)]
    await rotate_room(instance[0], "registrar")
    assert [fingerprint(registrar.log.vkey)] != printed
    monkeypatch.setattr(joinmap, "build", build)
    again = await releases.propose(registrar, OPERATOR, "req", "heart", api.ReleaseCreate(recipient="dms"))
    assert again.release == proposed.release
    signed_map = await releases.sealed_map(registrar, OPERATOR, "req", "heart", proposed.release)
    said, _, sealed = signed_map.partition(b"\n")
    first = letter.read(said)
    assert first is not None
    about = letter.Sealed("join-map", "heart", proposed.release, hashlib.sha256(sealed).hexdigest())
    letter.verify(first, printed, about)
    assert first.handovers == []
    later = letter.Sealed("changes", "heart", "9", "0" * 64)
    second = letter.read(await registrar.db.write(lambda conn: letters.sign(registrar, conn, later, "dms")))
    assert second is not None
    letter.verify(second, printed, later)
    assert len(second.handovers) == 1

    # Without its letter a file goes to nobody: another could lie in its place, and would be signed.
    await registrar.db.write(lambda conn: conn.execute("DELETE FROM letter WHERE kind = 'join-map'").rowcount)
    with pytest.raises(VerificationError) as refused:
        await releases.sealed_map(registrar, OPERATOR, "req", "heart", proposed.release)
    assert refused.value.code == "unsigned"
