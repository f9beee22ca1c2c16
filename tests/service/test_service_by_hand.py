"""Registrar and comparator without a connection: a whole study by files, and every file that is not the right one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import placed_support
import pytest
from apart_support import STUDY, Apart, running
from sources_support import SCHEMA, Source
from tests_support import run_cli, stored

from trustcenter import config
from trustcenter.client import RemoteError, TrustCenter
from trustcenter.client.connection import Connection
from trustcenter.client.study import room_files
from trustcenter.errors import TrustCenterError
from trustcenter.instance.between import cards
from trustcenter.messages import api
from trustcenter.registrar.study import refs


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    yield from running(tmp_path_factory.mktemp("by-hand"), by_hand=True)


def command(apart: Apart, room: str, *words: Any, refused: str = "") -> Any:
    """A `trustcenter rooms` command of the operator of a room; what it prints as JSON, or its refusal."""
    done = run_cli("rooms", *words, "--json", "--connect", apart.rooms[room].operator)
    if refused:
        assert done.returncode != 0
        assert refused in done.stderr, done.stderr
        return None
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def work(apart: Apart, room: str, what: str, *files: Path, refused: str = "") -> Any:
    """What a command does, without a process of its own: export, carry_out, bring."""
    async with TrustCenter(Connection.load(apart.rooms[room].operator)) as center:
        force = {} if what == "bring" else {"force": True}
        try:
            done = await getattr(room_files, what)(center, *files, **force)
            if what == "carry_out":
                room_files.require_carried_out(done)
        except TrustCenterError as error:
            if error.code != refused:
                raise
            return None
    assert not refused
    return done


async def carry(apart: Apart, name: str) -> None:
    """One round: export, carry out, import."""
    out, back = apart.folder / f"{name}.rooms", apart.folder / f"{name}.answer"
    await work(apart, "registrar", "export", out)
    await work(apart, "comparator", "carry_out", out, back)
    await work(apart, "registrar", "bring", back)


def waiting(apart: Apart) -> int:
    """Messages in the registrar's outbox."""
    with stored(apart.rooms["registrar"].dir, "registrar") as conn:
        return int(conn.execute("SELECT count(*) FROM outbox").fetchone()[0])


def start(apart: Apart) -> Any:
    run = apart.operator("registrar")("POST", f"/v1/studies/{STUDY}/runs").json
    assert run["state"] in ("queued", "comparing"), run
    return run


def step(apart: Apart, room: str) -> tuple[int, str]:
    with stored(apart.rooms[room].dir, room) as conn:
        return tuple(conn.execute("SELECT number, chain FROM ledger").fetchone())  # type: ignore[return-value]


async def test_a_whole_study_goes_by_hand(apart: Apart) -> None:
    card = cards.peer(config.load(apart.rooms["registrar"].dir))
    assert card is not None
    assert card.url == ""
    with pytest.raises(RemoteError) as early:  # the comparator was told nothing yet
        await apart.upload("north", 0, 120)
    assert early.value.code == "unknown_study"
    await carry(apart, "params")
    for site, first in (("north", 0), ("south", 60)):
        assert (await apart.upload(site, first, 120)).sent == 120
    assert (await apart.upload("north", 200, 60)).sent == 60  # before its first upload was told of
    run = start(apart)
    apart.restart("registrar")  # with messages and the order on their way
    out, back = apart.folder / "window.rooms", apart.folder / "window.answer"
    await work(apart, "registrar", "export", apart.folder / "lost.rooms")
    made = command(apart, "registrar", "export", "-o", out)
    assert (made["messages"], made["windows"]) == (3, 1)
    command(apart, "comparator", "carry-out", out, "-o", back)
    apart.restart("comparator")
    await work(apart, "comparator", "carry_out", out, back)  # again: the answer was lost
    assert command(apart, "registrar", "import", back)["windows"] == 1
    await work(apart, "registrar", "bring", back)
    run = apart.follow(run)
    assert run["state"] == "applied", run
    assert sum(source["records"] for source in run["counts"]["sources"]) == 300
    assert sum(pair["matches"] for pair in run["counts"]["pairs"]) > 40
    assert waiting(apart) == 0
    assert step(apart, "registrar") == step(apart, "comparator")
    async with TrustCenter(apart.sites["north"]) as center:
        assert len([line async for line in center.results(STUDY)]) == 180
    await carry(apart, "applied")
    assert not list((apart.rooms["comparator"].dir / "comparator" / "spool").glob("*.edges"))


async def test_other_files_are_refused_and_change_nothing(apart: Apart, tmp_path: Path) -> None:
    window, old = apart.folder / "window.rooms", apart.folder / "window.answer"
    before = step(apart, "registrar"), step(apart, "comparator")
    whole = bytearray(window.read_bytes())
    whole[-40] ^= 1
    (tmp_path / "damaged").write_bytes(whole)
    (tmp_path / "cut").write_bytes(window.read_bytes()[:-100])
    (tmp_path / "none").write_bytes(b"something else")
    answer = tmp_path / "answer"
    for name, code in (("damaged", "damaged_room_file"), ("cut", "damaged_room_file"), ("none", "not_a_room_file")):
        await work(apart, "comparator", "carry_out", tmp_path / name, answer, refused=code)
    await work(apart, "registrar", "bring", window, refused="foreign_room_file")
    await work(apart, "comparator", "carry_out", old, answer, refused="foreign_room_file")
    await work(apart, "registrar", "bring", old, refused="answer_over")
    # An older file: its messages were followed by others. The answer says so, and the registrar does not want it.
    command(apart, "comparator", "carry-out", apart.folder / "params.rooms", "-o", answer, refused="rooms_out_of_step")
    await work(apart, "registrar", "bring", answer, refused="answer_over")
    await work(apart, "comparator", "carry_out", window, answer, refused="room_file_over")  # its window is applied
    assert (step(apart, "registrar"), step(apart, "comparator")) == before


async def need_a_study(apart: Apart) -> None:
    """For a test that is run without those before it."""
    with stored(apart.rooms["comparator"].dir, "comparator") as conn:
        alone = conn.execute("SELECT 1 FROM study").fetchone() is None
    if alone:
        await test_a_whole_study_goes_by_hand(apart)


@pytest.mark.soak
async def test_a_window_that_was_followed_by_another_is_not_compared_again(apart: Apart, tmp_path: Path) -> None:
    await need_a_study(apart)
    run = start(apart)
    out = apart.folder / "second.rooms"
    await work(apart, "registrar", "export", out)
    assert apart.operator("registrar")("DELETE", f"/v1/studies/{STUDY}/runs/{run['run']}").status == 200
    apart.follow(run)
    run = start(apart)
    await carry(apart, "third")
    assert apart.follow(run)["state"] == "applied"
    await work(apart, "comparator", "carry_out", out, tmp_path / "answer", refused="room_file_over")


async def test_a_site_that_died_between_rows_and_map_begins_anew(apart: Apart) -> None:
    north = Source(STUDY, 1, 300, 60)
    async with TrustCenter(apart.sites["north"]) as center:
        await center.register(STUDY, north.hex_numbers)
        wanted = api.UploadOpen(version=1, fingerprint=SCHEMA.fingerprint, rows=len(north.rows) // 65, chunks=1)
        left = (await center.open_upload(STUDY, wanted)).upload
        await center.put_chunk(STUDY, left, 0, north.rows)
        given_up = await center.complete_upload(STUDY, left)
    assert (await apart.upload("north", 300, 60)).sent == 60  # the same rows once more
    async with TrustCenter(apart.sites["north"]) as center:
        with pytest.raises(RemoteError) as caught:
            await center.send_map(STUDY, api.MapUpload(receipt=given_up, entries=north.entries()))
        assert caught.value.code == "receipt_over"
    operator, plan = apart.operator("registrar"), f"/v1/studies/{STUDY}/run-plan"
    assert operator("GET", plan).json["code"] == "estimate_by_hand"
    await carry(apart, "asked")
    said = operator("GET", plan).json
    assert (said["rows"], said["fresh_rows"]) == (360 * len(SCHEMA.passes), 60 * len(SCHEMA.passes))
    assert said["comparisons"] > 0
    run = start(apart)
    await carry(apart, "died")
    run = apart.follow(run)
    assert run["state"] == "applied", run
    assert sum(source["records"] for source in run["counts"]["sources"]) == 360


def require_same_refs(apart: Apart) -> None:
    """Every ref that the registrar holds has one row at the comparator, and no other row is there."""
    with stored(apart.rooms["registrar"].dir, "registrar") as conn:
        held = refs.held(conn, refs.domains_of(conn, STUDY))
    with stored(apart.rooms["comparator"].dir, "comparator") as conn:
        assert placed_support.rows_of(conn, STUDY) == held


async def test_a_correction_that_is_undone_before_the_files_come_loses_no_row(apart: Apart) -> None:
    assert (await apart.upload("south", 500, 60)).sent == 60
    await carry(apart, "first")
    require_same_refs(apart)
    for street in ("Neue Allee", ""):
        assert (await apart.upload("south", 500, 60, street)).sent == 60
    # The rows have the refs they had at first. Live before the comparator hears that those go, they would go with them.
    with pytest.raises(RemoteError) as early:
        await apart.upload("south", 500, 120)
    assert early.value.code == "upload_waits_for_files"
    await carry(apart, "undone")
    assert (await apart.upload("south", 500, 120)).sent == 60
    await carry(apart, "later")
    require_same_refs(apart)


@pytest.mark.faults
async def test_either_room_killed_while_it_takes_a_file_loses_and_repeats_nothing(apart: Apart, tmp_path: Path) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    await need_a_study(apart)
    assert (await apart.upload("south", 400, 60)).sent == 60
    run = start(apart)
    await work(apart, "registrar", "export", out)
    for room, what, files in (("comparator", "carry_out", (out, back)), ("registrar", "bring", (back,))):
        live = apart.rooms[room]
        for pause in (0.02, 0.05, 0.1, 0.2, 0.4):
            task = asyncio.create_task(work(apart, room, what, *files))
            await asyncio.sleep(pause)
            live.kill()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            live.start()
        await work(apart, room, what, *files)
    run = apart.follow(run)
    assert run["state"] == "applied", run
    assert waiting(apart) == 0
    assert step(apart, "registrar") == step(apart, "comparator")
    assert (await apart.upload("south", 400, 60)).sent == 0


async def test_a_study_that_is_closed_is_purged_once_the_files_were_carried(apart: Apart) -> None:
    operator, study = apart.operator("registrar"), f"/v1/studies/{STUDY}"
    for state in ("frozen", "closed"):
        assert operator("POST", f"{study}/state", {"state": state}).status == 200
    assert operator("GET", study).json["purged"] is None
    out, back = apart.folder / "closed.rooms", apart.folder / "closed.answer"
    await work(apart, "registrar", "export", out)
    await work(apart, "comparator", "carry_out", out, back)
    await work(apart, "comparator", "carry_out", out, back)  # counted again
    with stored(apart.rooms["comparator"].dir, "comparator") as conn:
        assert placed_support.rows_of(conn, STUDY) == 0
    assert operator("GET", study).json["purged"] is None
    await work(apart, "registrar", "bring", back)
    assert operator("GET", study).json["purged"] is not None
    assert waiting(apart) == 0


@pytest.mark.soak
def test_doctor_says_that_files_are_carried(apart: Apart) -> None:
    checked = run_cli("doctor", apart.rooms["registrar"].dir)
    assert "to which files are carried by hand" in checked.stdout
