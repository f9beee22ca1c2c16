"""Rotation of the comparator's receipt key: receipts lead from any known key to the one that signed them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joining_support import Joining, joining
from rules_support import NORTH, SOUTH, Files, rotate_room
from sources_support import Source

from keys.ids import INSTANCE, KeyId, Purpose
from keys.store import KeyStore
from trustcenter.comparator import receipt_keys as theirs
from trustcenter.errors import ConflictError, VerificationError
from trustcenter.instance.checking import checks, fsck
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance
from trustcenter.messages.receipts import HANDOVERS_MAX, KeyHandover, Receipt
from trustcenter.registrar.linking import receipt_keys as known

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rooms" / "receipt-handover.json").read_text())


def source(site: int, start: int) -> Source:
    return Source("heart", site, start, 60)


def key_of(instance: Instance, version: int) -> bytes:
    return instance.comparator.keys.public_key("instance", Purpose.RECEIPT, version)


async def begun(study: Joining) -> None:
    await study.create(["north", "south"])
    for caller, key in ((NORTH, 1), (SOUTH, 2)):
        await study.register(caller, source(key, 0))


async def told(instance: Instance, room: str) -> list[dict[str, object]]:
    """What a room's log says of rotations of the receipt key."""
    context = getattr(instance, room)
    rows = await context.db.read(lambda conn: conn.execute("SELECT leaf FROM audit_entry ORDER BY seq").fetchall())
    found = [entry for entry in (json.loads(leaf) for (leaf,) in rows) if entry["event"] == "operator:key:rotate"]
    return [entry["data"] for entry in found if entry["data"]["purpose"] == "receipt"]


async def test_receipts_of_before_and_after_are_taken_and_both_logs_tell_of_it(files: Files) -> None:
    async with open_instance(files.config, files.passphrase) as instance, joining(instance) as study:
        await begun(study)
        before = await study.receipt(NORTH, source(1, 0))
        assert before.handovers == []
        assert b"handovers" not in msgspec.json.encode(before)  # programs of before read it
        await rotate_room(instance, "comparator")
        first, second = key_of(instance, 1), key_of(instance, 2)
        after = await study.receipt(SOUTH, source(2, 0))
        for key in (first, second):  # a site that asked before the rotation, and one that asked since
            after.verify(key)
        before.verify(first)
        await study.map(SOUTH, source(2, 0), after)
        await study.map(NORTH, source(1, 0), before)  # under way when the key was exchanged
        assert len(await told(instance, "comparator")) == 1
        (learnt,) = await told(instance, "registrar")
        assert (learnt["from_key"], learnt["to_key"]) == (first.hex(), second.hex())
    async with open_instance(files.config, files.passphrase) as instance:
        assert await instance.comparator.db.read(lambda conn: theirs.current(instance.comparator.keys, conn)) == 2
        context = instance.registrar
        assert [key for key, _ in await context.db.read(lambda conn: known.known(context, conn))] == [
            first.hex(),
            second.hex(),
        ]
    assert files.failures() == []


async def test_many_rotations_at_once_are_learnt_from_one_receipt(files: Files) -> None:
    async with open_instance(files.config, files.passphrase) as instance, joining(instance) as study:
        await begun(study)
        for _ in range(HANDOVERS_MAX + 1):
            await rotate_room(instance, "comparator")
        receipt = await study.receipt(NORTH, source(1, 0))
        assert len(receipt.handovers) == HANDOVERS_MAX
        await instance.registrar.db.write(known.forget)  # as a registrar that is apart
        with pytest.raises(VerificationError):  # it knows the first key only, and is told too little
            await study.map(NORTH, source(1, 0), receipt)
        middle = receipt.handovers[0].before
        apart = replace(instance.registrar, comparator_key=bytes.fromhex(middle))  # paired later
        fresh = await apart.db.read(lambda conn: known.check(apart, conn, receipt))
        assert len(fresh) == HANDOVERS_MAX
        await rotate_room(instance, "comparator")  # in one process the registrar is told of all
        await study.map(NORTH, source(1, 0), receipt)


async def test_a_handover_that_nobody_signed_or_that_leads_elsewhere_is_refused(files: Files) -> None:
    async with open_instance(files.config, files.passphrase) as instance, joining(instance) as study:
        await begun(study)
        old = instance.comparator.keys
        await rotate_room(instance, "comparator")
        good = await study.receipt(NORTH, source(1, 0))
        stranger = KeyStore.create(files.dir / "other.keys", b"some other passphrase")
        stranger.add([key for key in (e.id for e in old.entries()) if key.purpose is Purpose.RECEIPT])

        def by(keys: KeyStore, version: int) -> object:
            return lambda message: keys.sign("instance", Purpose.RECEIPT, version, message)

        other = stranger.public_key("instance", Purpose.RECEIPT, 1)
        forged = KeyHandover.sign(key_of(instance, 1), by(stranger, 2), other, by(stranger, 1))  # type: ignore[arg-type]
        branch = KeyHandover.sign(key_of(instance, 1), by(old, 1), other, by(stranger, 1))  # type: ignore[arg-type]
        unsigned = msgspec.structs.replace(good, handovers=[])
        loose = msgspec.structs.replace(good, handovers=[branch, *good.handovers])
        for bad in (unsigned, loose, msgspec.structs.replace(good, handovers=[forged])):
            with pytest.raises(VerificationError) as refused:
                await study.map(NORTH, source(1, 0), bad)
            assert refused.value.code == "bad_receipt"
        await study.map(NORTH, source(1, 0), good)
        mine = msgspec.structs.replace(good, handovers=[branch], sequence=good.sequence + 1)
        made = stranger.sign("instance", Purpose.RECEIPT, 1, mine.signed_bytes())
        with pytest.raises(VerificationError):  # signed well, by whoever has the old key; another key followed it
            await study.map(NORTH, source(1, 0), _signed(mine, made))


def _signed(receipt: Receipt, signature: bytes) -> Receipt:
    return msgspec.structs.replace(receipt, signature=base64.b64encode(signature).decode())


async def test_a_comparator_whose_keys_lead_round_in_a_circle_is_refused(files: Files) -> None:
    """Once learnt, a circle would have the registrar look for the newest key for ever."""
    async with open_instance(files.config, files.passphrase) as instance, joining(instance) as study:
        await begun(study)
        keys = instance.comparator.keys
        keys.add([KeyId(INSTANCE, Purpose.RECEIPT, version) for version in (2, 3)])

        def by(version: int) -> Callable[[bytes], bytes]:
            return lambda message: keys.sign(INSTANCE, Purpose.RECEIPT, version, message)

        def over(before: int, after: int) -> KeyHandover:
            return KeyHandover.sign(key_of(instance, before), by(before), key_of(instance, after), by(after))

        good = await study.receipt(NORTH, source(1, 0))
        for path in ((1, 2, 2), (1, 2, 3, 2)):
            round_ = msgspec.structs.replace(good, handovers=[over(*step) for step in pairwise(path)])
            with pytest.raises(VerificationError) as refused:
                await study.map(NORTH, source(1, 0), _signed(round_, by(path[-1])(round_.signed_bytes())))
            assert refused.value.code == "bad_receipt"
        await study.map(NORTH, source(1, 0), good)


async def test_a_handover_that_went_from_the_table_is_missed_when_the_keys_are_rotated_again(files: Files) -> None:
    async with open_instance(files.config, files.passphrase) as instance:
        for _ in range(3):
            await rotate_room(instance, "comparator")
        context = instance.comparator
        drop = "DELETE FROM receipt_handover WHERE version = 3"
        await context.db.write(lambda conn: conn.execute(drop).rowcount)
        with pytest.raises(VerificationError) as refused:
            await context.db.read(lambda conn: theirs.verify(context.keys, conn))
        assert refused.value.code == "bad_handover"


async def test_an_old_key_is_believed_for_thirty_days_only(files: Files) -> None:
    now = [datetime.now(UTC)]
    async with open_instance(files.config, files.passphrase, lambda: now[0]) as instance, joining(instance) as study:
        await begun(study)
        late = await study.receipt(NORTH, source(1, 0))
        await rotate_room(instance, "comparator")
        await study.upload(SOUTH, source(2, 0))  # which tells the registrar
        now[0] += timedelta(days=31)
        with pytest.raises(ConflictError) as refused:
            await study.map(NORTH, source(1, 0), late)
        assert refused.value.code == "receipt_over"
        await study.upload(NORTH, source(1, 0))  # as the hint says


async def test_an_older_key_store_beside_the_comparator_is_refused(files: Files) -> None:
    keys = files.dir / "comparator-keys" / "comparator.keys"
    old = keys.read_bytes()
    async with open_instance(files.config, files.passphrase) as instance:
        await rotate_room(instance, "comparator")
    keys.write_bytes(old)
    with pytest.raises(VerificationError) as refused:
        async with open_instance(files.config, files.passphrase):
            pass
    assert refused.value.code == "stale_key_store"
    (found,) = [one for one in fsck.run(files.config, files.passphrase) if one.name == "receipt keys"]
    assert found.state == "fail"
    (found,) = [one for one in checks.run(files.config, lambda: files.passphrase) if one.name == "receipt keys"]
    assert found.state == "fail"


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["case"])
def test_vectors_of_handovers(case: dict[str, Any]) -> None:
    receipt = msgspec.convert(case["receipt"], type=Receipt)
    if case["valid"]:
        receipt.verify(bytes.fromhex(case["known"]))
        if receipt.handovers:
            assert VECTORS["handover_bytes"] == receipt.handovers[0].signed_bytes().decode()
        return
    with pytest.raises(VerificationError) as refused:
        receipt.verify(bytes.fromhex(case["known"]))
    assert refused.value.code == "bad_receipt"
