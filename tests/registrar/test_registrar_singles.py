"""Small requests together: each is answered as it would have been alone, with an entry of its own in the log."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests_support import make_instance

from trustcenter import config
from trustcenter.audit import merkle_root
from trustcenter.auth import Principal
from trustcenter.errors import NotFoundError, QuotaExceededError
from trustcenter.instance.opening import open_instance
from trustcenter.messages import api
from trustcenter.registrar import domains, operations, singles
from trustcenter.registrar.context import Context
from trustcenter.registrar.issue import row_id

NORTH = Principal("north", "site", "t")
SOUTH = Principal("south", "site", "t")
OPERATOR = Principal("olga", "operator", "t")
QUOTA = 40


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    make_instance(tmp_path / "instance")
    loaded = config.load(tmp_path / "instance")
    limits = msgspec.structs.replace(loaded.limits, new_per_day=QUOTA)
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    async with open_instance(msgspec.structs.replace(loaded, limits=limits), passphrase) as opened:
        made = opened.registrar

        def sites(conn: Any) -> None:
            made.directory.add_site(conn, "north", "diz", "North")
            made.directory.add_site(conn, "south", "diz", "South")

        await made.db.write(sites)
        for name, site in (("north", "north"), ("south", "south")):
            await domains.create(made, OPERATOR, "r", api.DomainCreate(name=name, site=site))
        await domains.create(made, OPERATOR, "r", api.DomainCreate(name="oneway", site="north", reversible=False))
        yield made


async def ask(context: Context, who: Principal, domain: str, request: str, *originals: str) -> Any:
    body = api.PseudonymRequest(originals=list(originals))
    return await operations.pseudonymize(context, who, request, domain, body)


async def issued(context: Context) -> list[dict[str, Any]]:
    leaves = await context.db.read(lambda conn: conn.execute("SELECT leaf FROM audit_entry ORDER BY seq").fetchall())
    entries = [json.loads(leaf) for (leaf,) in leaves]
    return [entry["data"] for entry in entries if entry["event"] == "site:pseudonym:issue"]


async def test_requests_that_meet_get_their_own_answers_and_entries(context: Context) -> None:
    await ask(context, NORTH, "north", "before", "known")
    writes = context.db.activity().operations
    answers = await asyncio.gather(
        ask(context, NORTH, "north", "r1", "known"),
        ask(context, NORTH, "north", "r2", "a", "known", "b", "a"),
        ask(context, SOUTH, "south", "r3", "a"),
        ask(context, NORTH, "north", "r4", "b", "bad\n", "c"),
        ask(context, NORTH, "north", "r5", "c"),
        ask(context, NORTH, "north", "r6"),
    )
    assert context.db.activity().operations - writes < len(answers)  # they did meet
    r1, r2, r3, r4, r5, r6 = answers
    assert [answer.created for answer in answers] == [0, 2, 1, 1, 0, 0]
    assert r2.pseudonyms[0] == r2.pseudonyms[3]
    assert r2.pseudonyms[1] == r1.pseudonyms[0]
    assert r4.pseudonyms == [r2.pseudonyms[2], None, r5.pseudonyms[0]]
    assert [(error.index, error.code) for error in r4.errors] == [(1, "invalid_original")]
    assert r6.pseudonyms == []
    strings = {r1.pseudonyms[0], *r2.pseudonyms, *r3.pseudonyms, *r5.pseudonyms}
    assert len(strings) == 5
    # A large request goes the other way and finds the same.
    large = await ask(context, NORTH, "north", "large", *["known", "a", "b", "c"] * (singles.SMALL // 4 + 1))
    assert large.created == 0
    assert large.pseudonyms[:4] == [r1.pseudonyms[0], r2.pseudonyms[0], r2.pseudonyms[2], r5.pseudonyms[0]]

    entries = [entry for entry in await issued(context) if entry["request"] != "before"]
    assert [(entry["request"], entry["domain"], entry["count"]) for entry in entries] == [
        ("r2", "north", 2), ("r4", "north", 1), ("r3", "south", 1),
    ]  # fmt: skip
    domain = await context.db.read(lambda conn: domains.find(conn, "north"))
    query = "SELECT serial, nonce, salt FROM entry WHERE domain = ? ORDER BY serial"
    rows = await context.db.read(lambda conn: conn.execute(query, (domain.id,)).fetchall())
    by_counter = {serial & (2**36 - 1): (serial, nonce, salt) for serial, nonce, salt in rows}
    for entry, texts in ((entries[0], {r2.pseudonyms[0], r2.pseudonyms[2]}), (entries[1], {r5.pseudonyms[0]})):
        roots = []
        for order in (sorted(texts), sorted(texts, reverse=True)):  # of equal length: the tags decide, unknown here
            leaves = []
            for offset, text in enumerate(order):
                serial, nonce, salt = by_counter[entry["first"] + offset]
                message = b"issue\0" + bytes.fromhex(domain.uuid) + b"\1" + row_id(serial, nonce) + text.encode()
                leaves.append(hmac.digest(salt, message, "sha256"))
            roots.append(merkle_root(leaves).hex())
        assert entry["root"] in roots


async def test_what_is_out_of_the_ordinary_does_not_disturb_the_others(context: Context) -> None:
    answers = await asyncio.gather(
        ask(context, NORTH, "south", "foreign", "x"),
        ask(context, NORTH, "north", "fine", "x"),
        ask(context, NORTH, "nowhere", "unknown", "x"),
        ask(context, NORTH, "oneway", "policy", "x"),
        return_exceptions=True,
    )
    assert isinstance(answers[0], NotFoundError)
    assert answers[1].created == 1
    assert isinstance(answers[2], NotFoundError)
    assert answers[3].created == 1


async def test_a_used_up_quota_refuses_only_what_is_new_and_too_much(context: Context) -> None:
    await ask(context, NORTH, "north", "fill", *[f"fill-{n}" for n in range(QUOTA - 2)])
    answers = await asyncio.gather(
        *(ask(context, NORTH, "north", f"n{n}", f"new-{n}") for n in range(5)),
        ask(context, NORTH, "north", "k", "fill-0"),
        ask(context, SOUTH, "south", "s", "x"),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, QuotaExceededError) for answer in answers) == 3
    assert answers[5].created == 0
    assert answers[6].created == 1
    counts = [entry["count"] for entry in await issued(context) if entry["domain"] == "north"]
    assert sum(counts) == QUOTA
