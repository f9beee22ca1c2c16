"""Heads of the log on the answers to sites, and the file in which a site keeps them."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests_support import run_cli

from keys.ids import Purpose
from keys.passphrase import read_passphrase
from keys.store import KeyStore
from trustcenter.audit import Key, open_checkpoint, parse_vkey
from trustcenter.audit.note import Checkpoint, parse_checkpoint, parse_note, sign_note
from trustcenter.client import Connection, TrustCenter
from trustcenter.client.errors import BadAnswerError
from trustcenter.client.logs.audit_heads import HeadWatch
from trustcenter.config import load
from trustcenter.errors import VerificationError

_names = iter(range(1000))


@pytest.fixture
def domain(world) -> str:
    name = f"heads-{next(_names)}"
    assert world["operator"]("POST", "/v1/domains", {"name": name, "site": "north"}).status == 201
    return name


def ask(world, domain: str, who: str = "north") -> Any:
    body = {"originals": [f"a-{time.monotonic_ns()}"]}
    return world[who]("POST", f"/v1/domains/{domain}/pseudonyms", body)


def export(world) -> list[bytes]:
    return world["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()


def connection(world, name: str = "north", **more: Any) -> Connection:
    operator = Connection.load(world.live.operator)
    return Connection(url=operator.url, ca=operator.ca, token=world[name]._token, site=name, **more)


def test_answers_to_sites_carry_a_head_and_the_place_of_their_entry(world, domain: str) -> None:
    places = []
    for _ in range(3):
        answer = ask(world, domain)
        places.append(int(answer.headers["trust-log-entry"]))
        note = base64.b64decode(answer.headers["trust-log-head"]).decode()
    lines = export(world)
    key = parse_vkey(json.loads(lines[0])["vkey"])
    assert open_checkpoint(note, key).origin == key.name
    for place in places:
        leaf = json.loads(lines[place + 1])["leaf"]
        assert (leaf["event"], leaf["who"], leaf["data"]["domain"]) == ("site:pseudonym:issue", "north", domain)
    assert places == sorted(set(places))
    # A refusal has no effect and names no entry; staff keep exports, not heads.
    refused = ask(world, domain, "south")
    assert refused.status == 404
    assert "trust-log-entry" not in refused.headers
    assert "trust-log-head" in refused.headers
    assert "trust-log-head" not in world["operator"]("GET", "/v1/sites").headers


def test_heads_follow_the_log(world, domain: str) -> None:
    def size() -> int:
        note = base64.b64decode(ask(world, domain).headers["trust-log-head"]).decode()
        return parse_checkpoint(parse_note(note).text).size

    place = int(ask(world, domain).headers["trust-log-entry"])
    deadline = time.monotonic() + 30
    while size() <= place:
        assert time.monotonic() < deadline, "the head stands still"
        time.sleep(0.1)


def test_the_program_keeps_the_head_and_notices_a_rewritten_log(world, domain: str, tmp_path: Path) -> None:
    connect = tmp_path / "north.toml"
    connection(world).save(connect)
    kept = tmp_path / "north.toml.heads"

    def run(code: int = 0) -> Any:
        ended = run_cli("domain", "show", domain, "--connect", connect)
        assert ended.returncode == code, ended.stderr
        return ended

    run()
    first = json.loads(kept.read_bytes())
    assert kept.stat().st_mode & 0o777 == 0o600
    ask(world, domain)
    run()
    second = json.loads(kept.read_bytes())
    assert first["fingerprint"] == second["fingerprint"] == world.live.fingerprints["registrar"]

    def entries(note: str) -> int:
        return parse_checkpoint(parse_note(note).text).size

    assert entries(second["checkpoint"]) > entries(first["checkpoint"])

    # The operator rewrites history: a head of this log, signed with its real key, that the log of now does not extend.
    settings = load(world.live.dir)
    passphrase = read_passphrase(settings.path(settings.files.passphrase), prompt=False)
    keys = KeyStore.open(settings.path(settings.files.registrar_keys), passphrase)
    point = parse_checkpoint(parse_note(second["checkpoint"]).text)
    key = Key(point.origin, keys.public_key("instance", Purpose.AUDIT, 1))
    other = sign_note(
        Checkpoint(point.origin, point.size, bytes(range(32))).text,
        key,
        lambda message: keys.sign("instance", Purpose.AUDIT, 1, message),
    )
    stronger = sign_note(
        Checkpoint(point.origin, point.size, point.root, ("separation operator",)).text,
        key,
        lambda message: keys.sign("instance", Purpose.AUDIT, 1, message),
    )
    assert point.separation == "none"
    kept.write_text(json.dumps({**second, "checkpoint": stronger}))
    assert "separation_weakened" in run(3).stderr
    kept.write_text(json.dumps({**second, "checkpoint": other}))
    assert "audit_log_forked" in run(3).stderr
    larger = sign_note(
        Checkpoint(point.origin, point.size + 10_000, bytes(range(32))).text,
        key,
        lambda message: keys.sign("instance", Purpose.AUDIT, 1, message),
    )
    kept.write_text(json.dumps({**second, "checkpoint": larger}))
    assert "head_not_extended" in run(3).stderr
    stranger = Ed25519PrivateKey.generate()
    foreign = sign_note(point.text, Key(point.origin, stranger.public_key().public_bytes_raw()), stranger.sign)
    kept.write_text(json.dumps({**second, "checkpoint": foreign}))
    run(3)
    kept.write_text(json.dumps({**second, "fingerprint": "0" * 32}))
    run(3)
    kept.write_text("{")
    assert "heads_unreadable" in run(1).stderr
    kept.write_text(json.dumps(second))
    run()


async def test_the_fingerprint_from_paper_decides(world, tmp_path: Path) -> None:
    good = connection(world, log_key=world.live.fingerprints["registrar"])
    bad = connection(world, log_key=world.live.fingerprints["comparator"])
    async with TrustCenter(good, heads=tmp_path / "good.heads") as center:
        await center.domains()
    assert (tmp_path / "good.heads").exists()
    with pytest.raises(VerificationError):
        async with TrustCenter(bad, heads=tmp_path / "bad.heads") as center:
            await center.domains()
    assert not (tmp_path / "bad.heads").exists()


async def test_an_entry_that_the_log_does_not_have(world, tmp_path: Path) -> None:
    async with TrustCenter(connection(world)) as center:
        watch = HeadWatch(tmp_path / "heads")
        watch.note(None, "999999999")
        with pytest.raises(VerificationError) as caught:
            await watch.settle(center)
        assert caught.value.code == "entry_missing"
        for head in ("", "x", "eA==", base64.b64encode(b"\xff").decode()):
            with pytest.raises(BadAnswerError):
                watch.note(head, None)
