"""Small requests together: each is answered as it would have been alone, with an entry of its own in the log."""

from __future__ import annotations

import asyncio
import hmac
from typing import Any

from trustcenter.audit import merkle_root
from trustcenter.errors import NotFoundError, QuotaExceededError
from trustcenter.registrar import domains
from trustcenter.registrar.pseudonyms import singles
from trustcenter.registrar.pseudonyms.layout import row_id


async def test_requests_that_meet_get_their_own_answers_and_entries(house: Any) -> None:
    await house.ask(house.north, "north", "before", "known")
    writes = house.context.db.activity().operations
    answers = await asyncio.gather(
        house.ask(house.north, "north", "r1", "known"),
        house.ask(house.north, "north", "r2", "a", "known", "b", "a"),
        house.ask(house.south, "south", "r3", "a"),
        house.ask(house.north, "north", "r4", "b", "bad\n", "c"),
        house.ask(house.north, "north", "r5", "c"),
        house.ask(house.north, "north", "r6"),
    )
    assert house.context.db.activity().operations - writes < len(answers)  # they did meet
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
    large = await house.ask(house.north, "north", "large", *["known", "a", "b", "c"] * (singles.SMALL // 4 + 1))
    assert large.created == 0
    assert large.pseudonyms[:4] == [r1.pseudonyms[0], r2.pseudonyms[0], r2.pseudonyms[2], r5.pseudonyms[0]]

    entries = [entry for entry in await house.issued() if entry["request"] != "before"]
    assert [(entry["request"], entry["domain"], entry["count"]) for entry in entries] == [
        ("r2", "north", 2), ("r4", "north", 1), ("r3", "south", 1),
    ]  # fmt: skip
    domain = await house.context.db.read(lambda conn: domains.find(conn, "north"))
    query = "SELECT serial, nonce, salt FROM entry WHERE domain = ? ORDER BY serial"
    rows = await house.context.db.read(lambda conn: conn.execute(query, (domain.id,)).fetchall())
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


async def test_what_is_out_of_the_ordinary_does_not_disturb_the_others(house: Any) -> None:
    answers = await asyncio.gather(
        house.ask(house.north, "south", "foreign", "x"),
        house.ask(house.north, "north", "fine", "x"),
        house.ask(house.north, "nowhere", "unknown", "x"),
        house.ask(house.north, "oneway", "policy", "x"),
        return_exceptions=True,
    )
    assert isinstance(answers[0], NotFoundError)
    assert answers[1].created == 1
    assert isinstance(answers[2], NotFoundError)
    assert answers[3].created == 1


async def test_a_domain_with_a_policy_is_known_from_its_first_request_on(house: Any) -> None:
    def spent() -> int:
        return int(house.context.db.activity().operations)

    assert singles.of(house.context).serves("oneway")
    start = spent()
    await house.ask(house.north, "oneway", "first", "p")
    first, start = spent() - start, spent()
    await house.ask(house.north, "oneway", "second", "q")
    assert not singles.of(house.context).serves("oneway")
    assert spent() - start < first  # it went straight to the ordinary path
    assert singles.of(house.context).serves("north")


async def test_a_used_up_quota_refuses_only_what_is_new_and_too_much(house: Any) -> None:
    await house.ask(house.north, "north", "fill", *[f"fill-{n}" for n in range(house.quota - 2)])
    answers = await asyncio.gather(
        *(house.ask(house.north, "north", f"n{n}", f"new-{n}") for n in range(5)),
        house.ask(house.north, "north", "k", "fill-0"),
        house.ask(house.south, "south", "s", "x"),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, QuotaExceededError) for answer in answers) == 3
    assert answers[5].created == 0
    assert answers[6].created == 1
    counts = [entry["count"] for entry in await house.issued() if entry["domain"] == "north"]
    assert sum(counts) == house.quota
