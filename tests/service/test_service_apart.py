"""Registrar and comparator as processes of their own: the whole way, what each holds, kills, and restores of one."""

from __future__ import annotations

import http.client
import shutil
import sqlite3
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from apart_support import ROOMS, STUDY, Apart, running
from raw_support import Raw
from sources_support import SCHEMA, Source
from tests_support import ON_POSTGRES, everything, run_cli, stored

from keys.personal import PersonalKey
from trustcenter.client import RemoteError, TrustCenter
from trustcenter.client.connection import Connection
from trustcenter.errors import PolicyError, TrustCenterError, VerificationError
from trustcenter.instance import tls
from trustcenter.messages import api


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    yield from running(tmp_path_factory.mktemp("apart"))


def matched(run: dict) -> tuple[int, int]:
    """Records and matches of a run."""
    counts = run["counts"]
    return sum(source["records"] for source in counts["sources"]), sum(pair["matches"] for pair in counts["pairs"])


def joined(apart: Apart) -> tuple[int, int]:
    """Records that have refs, and persons of two of them, as the registrar has stored it."""
    with stored(apart.rooms["registrar"].dir, "registrar") as conn:
        (records,) = conn.execute("SELECT count(*) FROM (SELECT DISTINCT domain, serial FROM record_refs)").fetchone()
        (persons,) = conn.execute(
            "SELECT count(*) FROM (SELECT r.person FROM record r WHERE r.person IS NOT NULL AND EXISTS"
            " (SELECT 1 FROM record_refs f WHERE f.domain = r.domain AND f.serial = r.serial)"
            " GROUP BY r.person HAVING count(*) > 1)"
        ).fetchone()
    return records, persons


async def test_two_processes_do_the_whole_way(apart: Apart) -> None:
    for site, start in (("north", 0), ("south", 60)):
        done = await apart.upload(site, start, 120, require_separation="operator")
        assert (done.records, done.sent) == (120, 120)
    run = apart.link()
    assert run["state"] == "applied", run
    records, matches = matched(run)
    assert records == 240
    assert matches > 40
    async with TrustCenter(apart.sites["north"]) as center:
        lines = [line async for line in center.results(STUDY)]
        assert (await center.study(STUDY)).separation == "operator"
    assert len(lines) == 120
    assert (await apart.upload("north", 0, 120)).sent == 0


def test_neither_store_has_what_the_other_one_has(apart: Apart) -> None:
    north = Source(STUDY, 1, 0, 120)
    rows = north.encoded.rows
    texts, held = {}, {}  # what is text, and all bytes as hex digits
    for room in ROOMS:
        with stored(apart.rooms[room].dir, room) as conn:
            texts[room] = everything(conn)
        held[room] = texts[room].encode("latin-1", "replace").hex() if ON_POSTGRES else texts[room].lower()
    numbers = [number.tobytes().hex() for number in north.numbers]
    tokens = {bytes(token).hex() for token in rows["token"][:200]} - {"00" * 16}
    filters = {bytes(row).hex() for row in rows["filter"][:200]}
    refs = [bytes(ref).hex() for ref in rows["ref"][:200]]
    assert all(ref in held["registrar"] and ref in held["comparator"] for ref in refs)
    assert all(value in held["comparator"] for value in filters | tokens)
    assert not any(value in held["registrar"] for value in filters | tokens)
    assert not any(number in held["comparator"] for number in numbers)
    # Identifiers of clients: each room has its own.
    for room, other in (ROOMS, ROOMS[::-1]):
        ids = [value for value in apart.tokens[room] if not value.startswith("tc1_")]
        assert all(value in texts[room] for value in ids)
        assert not any(value in texts[other] for value in ids)
    with stored(apart.rooms["comparator"].dir, "comparator") as conn:
        names = (
            "SELECT tablename FROM pg_tables" if ON_POSTGRES else "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
        tables = {name for (name,) in conn.execute(names).fetchall()}
    assert not tables & {"domain", "entry", "record", "record_refs", "link", "person", "outbox", "study_secret"}


def test_only_the_paired_registrar_is_let_in(apart: Apart) -> None:
    own = Connection.load(apart.rooms["comparator"].operator)
    for caller in (Raw(own), Raw(own, None)):
        answer = caller("GET", "/v1/peer/state")
        assert (answer.status, answer.json["code"]) == (403, "not_the_peer")
    assert Raw(own)("POST", "/v1/domains", {"name": "north", "site": "north"}).status == 404
    registrar = apart.operator("registrar")
    assert registrar("GET", "/v1/peer/state").status == 404
    assert registrar("GET", "/v1/audit/comparator/checkpoint").json["code"] == "other_room"
    assert apart.operator("comparator")("GET", "/v1/audit/comparator/checkpoint").status == 200
    # A certificate of somebody else does not get past the handshake.
    made = apart.folder / "stranger"
    made.mkdir()
    tls.create_peer(made)
    context = ssl.create_default_context(cadata=own.ca)
    context.load_cert_chain(made / "peer.pem", made / "peer.key")
    parts = urlsplit(own.url)
    conn = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=20)

    def ask() -> None:
        conn.request("GET", "/v1/peer/state")
        conn.getresponse()

    with pytest.raises(OSError, match=r"(?i)alert|reset|closed|eof"):
        ask()


async def test_a_site_with_one_address_or_false_rooms_is_told(apart: Apart) -> None:
    both = apart.sites["north"]
    async with TrustCenter(both) as center:
        study = await center.study(STUDY)
        assert len(await center.require_rooms(study)) == 32
    async with TrustCenter(msgspec.structs.replace(both, comparator=None)) as center:
        with pytest.raises(TrustCenterError) as caught:
            await center.require_rooms(study)
        assert caught.value.code == "comparator_needed"
    async with TrustCenter(both) as center:
        with pytest.raises(VerificationError) as differs:  # as if the registrar showed the site another schema
            await center.require_rooms(msgspec.structs.replace(study, fingerprint="0" * 64))
        assert differs.value.code == "rooms_differ"
        with pytest.raises(PolicyError) as refused:
            await center.require_rooms(msgspec.structs.replace(study, separation="process"))
        assert refused.value.code == "separation_differs"
    same = msgspec.structs.replace(both.comparator, url=both.url, ca=both.ca, token=both.token)
    async with TrustCenter(msgspec.structs.replace(both, comparator=same)) as center:
        with pytest.raises(PolicyError) as refused:
            await center.require_rooms(study)
        assert refused.value.code == "rooms_not_apart"


async def test_either_room_killed_between_two_messages_loses_nothing(apart: Apart) -> None:
    """Rows at the comparator, then the map while it is down: the registrar takes the map, and delivers later."""
    north = Source(STUDY, 1, 200, 60)
    async with TrustCenter(apart.sites["north"]) as center:
        await center.register(STUDY, north.hex_numbers)
        wanted = api.UploadOpen(version=1, fingerprint=SCHEMA.fingerprint, rows=len(north.rows) // 65, chunks=1)
        left = (await center.open_upload(STUDY, wanted)).upload
        await center.put_chunk(STUDY, left, 0, north.rows)
        given_up = await center.complete_upload(STUDY, left)
        upload = (await center.open_upload(STUDY, wanted)).upload  # the site begins anew: the first is given up
        await center.put_chunk(STUDY, upload, 0, north.rows)
        receipt = await center.complete_upload(STUDY, upload)
        with pytest.raises(RemoteError) as caught:
            await center.send_map(STUDY, api.MapUpload(receipt=given_up, entries=north.entries()))
        assert caught.value.code == "receipt_over"
        apart.rooms["comparator"].kill()  # it holds rows with a receipt, and is told of the map later
        accepted = await center.send_map(STUDY, api.MapUpload(receipt=receipt, entries=north.entries()))
        assert accepted.mapped == 60
    apart.restart("registrar")  # with the acceptance in its outbox
    apart.rooms["comparator"].start()
    run = apart.link()
    assert run["state"] == "applied", run
    assert matched(run)[0] == 300
    assert [source["rows"] for source in run["counts"]["sources"]] == [180 * 15, 120 * 15]


@pytest.mark.soak
def test_a_run_outlives_kills_of_both_rooms(apart: Apart) -> None:
    before = joined(apart)
    run = apart.operator("registrar")("POST", f"/v1/studies/{STUDY}/runs").json
    apart.restart("comparator")
    time.sleep(0.5)
    apart.restart("registrar")
    run = apart.follow(run)
    assert run["state"] == "applied", run
    assert joined(apart) == before


@pytest.mark.files
@pytest.mark.skipif(ON_POSTGRES, reason="copies files")
@pytest.mark.parametrize("room", ["comparator", pytest.param("registrar", marks=pytest.mark.soak)])
async def test_a_room_restored_alone_is_reconciled_before_the_next_window(
    apart: Apart, tmp_path: Path, room: str
) -> None:
    live, database = apart.rooms[room], Path(room) / f"{room}.db"
    keys = live.dir / f"{room}-keys"
    if room == "registrar":
        live.stop()  # its head must be of the same moment; the room as a whole goes back
    with sqlite3.connect(live.dir / database) as source, sqlite3.connect(tmp_path / "old.db") as old:
        source.backup(old)
    shutil.copytree(keys, tmp_path / "keys")
    if room == "registrar":
        live.start()
    count = 180 if room == "comparator" else 240  # 60 more than there are
    first = await apart.upload("south", 60, count)
    assert apart.link()["state"] == "applied"
    expected = joined(apart)
    assert expected[0] == 180 + count
    live.kill()
    shutil.rmtree(keys)
    shutil.copytree(tmp_path / "keys", keys)
    for path in (live.dir / room).glob(f"{room}.db*"):
        path.unlink()
    shutil.copyfile(tmp_path / "old.db", live.dir / database)
    (live.dir / database).chmod(0o600)
    live.start()
    again = apart.link()
    assert again["state"] == "applied", again
    assert "rooms_reconciled" in apart.rooms["registrar"].log.read_text()
    assert joined(apart)[0] < expected[0]
    assert (await apart.upload("south", 60, count)).sent >= first.sent  # whole groups of records
    assert apart.link()["state"] == "applied"
    assert joined(apart) == expected
    assert (await apart.upload("south", 60, count)).sent == 0


async def test_a_comparator_of_its_own_gets_other_keys_which_the_registrar_learns_from_a_receipt(
    apart: Apart,
) -> None:
    own = ("--connect", apart.rooms["comparator"].operator)
    done = run_cli("keys", "rotate", "--room", "comparator", "--yes", "--json", *own)
    assert done.returncode == 0, done.stderr
    made = msgspec.json.decode(done.stdout)
    shown = run_cli("keys", "rotation", "show", made["rotation"], *own)
    assert "finalized" in shown.stdout
    listed = msgspec.json.decode(run_cli("keys", "list", "--json", *own).stdout)
    active = {key["purpose"]: key["version"] for key in listed if key["state"] == "active"}
    assert (active["audit"], active["receipt"]) == tuple(made["to_versions"])
    elsewhere = run_cli("keys", "rotate", "--room", "registrar", "--yes", *own)
    assert "[other_room]" in elsewhere.stderr
    early = run_cli("keys", "destroy", "--room", "comparator", "--version", "1", "--yes", *own)
    assert "[not_due]" in early.stderr
    assert run_cli("keys", "proposals", *own).returncode == 0
    (receipt,) = (await apart.upload("south", 500, 60)).receipts
    assert len(receipt.handovers) == 1
    with stored(apart.rooms["registrar"].dir, "registrar") as conn:
        assert conn.execute("SELECT before, after FROM receipt_key").fetchall() == [
            (receipt.handovers[0].before, receipt.handovers[0].after)
        ]


def test_doctor_names_the_separation(apart: Apart) -> None:
    checked = run_cli("doctor", apart.rooms["comparator"].dir)
    assert checked.returncode == 0, checked.stdout
    assert "operator declared, comparator only; paired with a registrar" in checked.stdout


def test_each_room_keeps_what_sites_cosigned_of_its_own_log(apart: Apart, tmp_path: Path) -> None:
    connect, key = tmp_path / "north.toml", tmp_path / "north.key"
    apart.sites["north"].save(connect)
    PersonalKey.generate().save(key)
    made = run_cli("audit", "cosign", "--key", key, "--connect", connect)
    assert made.returncode == 0, made.stderr
    for room in ROOMS:
        vkey = run_cli("audit", "witness-key", room, "--key", key, "--connect", connect).stdout.strip()
        shown = run_cli("audit", "cosigned", room, "--witness", vkey, "--connect", connect)
        assert shown.returncode == 0, shown.stderr
        assert "site/north" in shown.stdout
        with stored(apart.rooms[room].dir, room) as conn:
            kept = conn.execute("SELECT room, site, note FROM audit_cosignature").fetchall()
        assert [(kind, site) for kind, site, _ in kept] == [(room, "north")]
        assert "\nseparation operator\n\n" in kept[0][2]
