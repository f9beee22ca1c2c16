"""Pseudonyms that lose their original, are deleted, or expire, over HTTPS."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from operations_support import FORMAT, ask, codes, entries, later, make, post

from trustcenter.messages import api


@pytest.mark.parametrize("by", ["pseudonyms", "originals"])
@pytest.mark.parametrize("options", [{}, {"suite": "drawn", "format": FORMAT}])
def test_anonymise_keeps_the_pseudonym_and_loses_the_original(world, by: str, options: dict[str, Any]) -> None:
    domain = make(world, **options)
    first, second = ask(world, domain, ["a", "b"])["pseudonyms"]
    named = [first, "unknown"] if by == "pseudonyms" else ["a", "unknown"]
    done = post(world, domain, "anonymise", {by: named})
    assert done["results"] == ["anonymised", None]
    assert codes(done) == [(1, f"unknown_{by[:-1]}")]
    assert done["rows"] == 1
    assert post(world, domain, "validate", {"pseudonyms": [first, second]})["results"] == ["ok", "ok"]
    assert codes(ask(world, domain, ["a"], mode="get")) == [(0, "unknown_original")]
    again, same = ask(world, domain, ["a", "b"])["pseudonyms"]
    assert again != first
    assert same == second
    (entry,) = entries(world, "site:pseudonym:anonymise", domain)
    assert entry["count"] == len(entry["serials"]) == 1


@pytest.mark.parametrize("by", ["pseudonyms", "originals"])
@pytest.mark.parametrize("options", [{}, {"suite": "drawn", "format": FORMAT}])
def test_delete_makes_unknown(world, by: str, options: dict[str, Any]) -> None:
    domain = make(world, deletable=True, **options)
    first, second = ask(world, domain, ["a", "b"])["pseudonyms"]
    done = post(world, domain, "delete", {by: [first, first] if by == "pseudonyms" else ["a", "a"]})
    assert done["results"] == ["deleted", "deleted"]
    assert done["rows"] == 1
    translated = post(world, domain, "translate", {"pseudonyms": [first, second]})
    assert translated["pseudonyms"] == [None, second]
    assert codes(translated) == [(0, "unknown_pseudonym")]
    assert post(world, domain, "validate", {"pseudonyms": [first, second]})["results"] == ["unknown_pseudonym", "ok"]
    assert codes(post(world, domain, "delete", {by: [first if by == "pseudonyms" else "a"]})) == [
        (0, f"unknown_{by[:-1]}")
    ]
    assert ask(world, domain, ["a"])["pseudonyms"] != [first]
    assert world["north"]("GET", f"/v1/domains/{domain}").json["pseudonyms"] == 2


def test_delete_by_original_takes_all_of_its_pseudonyms_and_by_pseudonym_one(world) -> None:
    domain = make(world, multi=True, deletable=True)
    made = post(world, domain, "additional", {"originals": ["a", "b"], "count": 3}, **{"Idempotency-Key": "k"})
    of_a, of_b = made["pseudonyms"]
    assert post(world, domain, "delete", {"originals": ["a"]})["rows"] == 3
    assert post(world, domain, "delete", {"pseudonyms": [of_b[1]]})["rows"] == 1
    verdicts = post(world, domain, "validate", {"pseudonyms": of_a + of_b})["results"]
    assert verdicts == [*["unknown_pseudonym"] * 3, "ok", "unknown_pseudonym", "ok"]
    repeated = post(world, domain, "additional", {"originals": ["a", "b"], "count": 3}, **{"Idempotency-Key": "k"})
    assert repeated["pseudonyms"] == [None, None]
    assert {code for _, code in codes(repeated)} == {"unknown_pseudonym"}


def test_what_may_not_be_deleted_or_is_not_selected(world) -> None:
    assert post(world, "north", "delete", {"originals": ["a"]}, status=403)["code"] == "not_deletable"
    assert post(world, "north", "anonymise", {}, status=400)["code"] == "one_selection"
    both = {"originals": ["a"], "pseudonyms": ["b"]}
    assert post(world, "north", "anonymise", both, status=400)["code"] == "one_selection"


def found_in(content: bytes, secrets: Iterable[bytes]) -> set[bytes]:
    """The secrets whose first 8 bytes occur in `content`; thousands of them in one pass over it."""
    words = np.lib.stride_tricks.sliding_window_view(np.frombuffer(content, np.uint8), 8)
    starts = np.concatenate([words[at::8].copy().view("<u8")[:, 0] for at in range(8)])
    by_start: dict[int, set[bytes]] = {}
    for secret in secrets:
        by_start.setdefault(int.from_bytes(secret[:8], "little"), set()).add(secret)
    wanted = np.array(sorted(by_start), "<u8")
    there = wanted[np.isin(wanted, starts, kind="sort")]
    return {secret for start in there.tolist() for secret in by_start[start]}


@pytest.mark.parametrize("options", [{}, {"suite": "drawn", "format": FORMAT}, {"multi": True}])
@pytest.mark.files
def test_deletion_leaves_nothing_in_the_file(world, options: dict[str, Any]) -> None:
    """The bytes of tag, sealed original, nonce and salt are gone from database and write-ahead log."""
    domain = make(world, deletable=True, **options)
    other = make(world)
    originals = [f"secret-{number}" for number in range(3000)]
    made = []
    for start in range(0, 3000, 500):  # two domains in turn, so that pages are split in the middle
        made += ask(world, domain, originals[start : start + 500])["pseudonyms"]
        ask(world, other, originals[start : start + 500])
    database = world.live.dir / "registrar" / "registrar.db"
    conn = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    (row_id,) = conn.execute("SELECT id FROM domain WHERE name = ?", (domain,)).fetchone()
    rows = conn.execute("SELECT nonce, salt, tag, sealed FROM entry WHERE domain = ?", (row_id,)).fetchall()
    boxes = [box for (box,) in conn.execute("SELECT sealed FROM stored_string WHERE domain = ?", (row_id,))]
    conn.close()
    assert len(rows) == 3000
    content = database.read_bytes() + database.with_name("registrar.db-wal").read_bytes()
    secrets = {salt for _, salt, _, _ in rows} | {sealed for _, _, _, sealed in rows}
    assert found_in(content, secrets) == secrets

    assert post(world, domain, "delete", {"pseudonyms": made[:2000]})["rows"] == 2000
    assert post(world, domain, "delete", {"originals": originals[2000:]})["rows"] == 1000
    assert world.live.stop() == 0  # copies the write-ahead log back
    content = b"".join(path.read_bytes() for path in database.parent.iterdir())
    left = found_in(content, {secret for row in rows for secret in (row[0] + row[1], *row[1:])} | set(boxes))
    world.live.start()
    assert not left, f"{len(left)} are still there"
    shown = world["north"]("GET", f"/v1/domains/{domain}").json
    assert shown["pseudonyms"] == 0
    assert sum(entry["count"] for entry in entries(world, "site:pseudonym:delete", domain)) == 3000


@pytest.mark.parametrize("options", [{}, {"suite": "drawn", "format": FORMAT}])
async def test_expired_pseudonyms_are_unknown_and_their_originals_get_new_ones(world, options: dict[str, Any]) -> None:
    from trustcenter.auth import Principal
    from trustcenter.registrar.pseudonyms import operations, removal, translate

    domain = make(world, expiry_days=3, **options)
    first, second = ask(world, domain, ["a", "b"])["pseudonyms"]
    assert post(world, domain, "translate", {"pseudonyms": [first]})["pseudonyms"] == [first]
    assert world.live.stop() == 0

    async def job(context: Any) -> None:
        # Put back what the start erased only by its clock: here nothing has expired yet.
        now = context.clock()
        context.clock = lambda: now + timedelta(days=2)
        site = Principal("north", "site", "")
        found = await translate.translate(context, site, "r", domain, [first])
        assert found.pseudonyms == [None]
        checked = await operations.validate(context, site, "r", domain, [first])
        assert checked.results == ["unknown_pseudonym"]
        got = await operations.pseudonymize(
            context, site, "r", domain, api.PseudonymRequest(originals=["a"], mode="get")
        )
        assert got.pseudonyms == [None]
        gone = await removal.anonymise(context, site, "r", domain, api.Selection(originals=["a"]))
        assert gone.results == [None]
        made = await operations.pseudonymize(context, site, "r", domain, api.PseudonymRequest(originals=["a"]))
        assert made.created == 1
        assert made.pseudonyms != [first]
        assert await removal.expire_due(context) == 1  # b; a made room already
        assert await removal.expire_due(context) == 0

    await later(world.live.dir, 2, job)
    world.live.start()
    assert sum(entry["count"] for entry in entries(world, "registrar:pseudonym:expire", domain)) == 2
    assert post(world, domain, "validate", {"pseudonyms": [first, second]})["results"] == ["unknown_pseudonym"] * 2
