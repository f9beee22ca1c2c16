"""What a comparator that says it lost rows is told: never which rows are one record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import placed_support
import pytest
from joining_support import joining
from sources_support import SCHEMA, Source
from tests_support import make_instance

from trustcenter import config
from trustcenter.auth import Principal
from trustcenter.client.errors import RemoteError
from trustcenter.comparator import ahead
from trustcenter.errors import VerificationError
from trustcenter.instance import places
from trustcenter.instance.between import reconciling
from trustcenter.instance.between.port import LocalComparator
from trustcenter.instance.between.remote import refusal
from trustcenter.instance.checking import fsck_rows
from trustcenter.instance.opening import open_instance
from trustcenter.messages.api import Problem
from trustcenter.messages.reconcile import ReconciledRefs, ReconciledStudy, ReconcileRefs, ReconcileStudy
from trustcenter.messages.rooms import PeerState, Settle, Settled, Step, WindowState
from trustcenter.registrar.linking import ledger
from trustcenter.registrar.study import refs
from trustcenter.store import Connection

NORTH, SOUTH = Principal("north", "site", ""), Principal("south", "site", "")
MINIMUM = 50  # records in an upload, unless a study says otherwise
PASSES = len(SCHEMA.passes)


class Liar(LocalComparator):
    """The comparator of an instance, which claims to have lost these rows as well."""

    lost: tuple[bytes, ...] = ()
    ahead = 0  # by which its numbers are greater than they are

    async def state(self) -> PeerState:
        found = await super().state()
        return msgspec.structs.replace(found, step=Step(found.step.number + self.ahead, found.step.chain))

    async def reconcile_study(self, message: ReconcileStudy) -> ReconciledStudy:
        return ReconciledStudy((await super().reconcile_study(message)).window + self.ahead)

    async def settle(self, message: Settle) -> Settled:
        return Settled((await super().settle(message)).sequence + self.ahead)

    async def reconcile_refs(self, message: ReconcileRefs) -> ReconciledRefs:
        answer = await super().reconcile_refs(message)
        return msgspec.structs.replace(answer, missing=answer.missing + b"".join(self.lost))


async def test_a_comparator_that_claims_one_lost_row_learns_no_record(tmp_path: Path) -> None:
    make_instance(tmp_path / "instance")
    loaded = config.load(tmp_path / "instance")
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    source = Source("heart", 1, 0, 170)
    async with open_instance(loaded, passphrase) as instance, joining(instance) as study:
        registrar = instance.registrar
        for name in ("north", "south"):
            await registrar.db.write(lambda conn, name=name: registrar.directory.add_site(conn, name, "diz", name))  # type: ignore[misc]
        await study.create(["north", "south"])
        await study.register(NORTH, source)
        await study.upload(NORTH, source)
        assert study.linking._comparator is not None
        honest = study.linking._comparator
        assert isinstance(honest, LocalComparator)
        liar = Liar(instance.comparator, honest._windows, instance.id, "none")
        encoded = source.encoded.refs

        async def told() -> set[bytes]:
            """The refs that it is told to retire."""
            before = await held()
            await reconciling.reconcile(registrar, liar)
            query = "SELECT payload FROM outbox WHERE kind = 'retire' ORDER BY id DESC LIMIT 1"
            payload = (await registrar.db.read(lambda conn: conn.execute(query).fetchone()))[0]
            packed = msgspec.convert(json.loads(payload)["refs"], bytes)
            retired = {packed[at : at + 16] for at in range(0, len(packed), 16)}
            assert before - await held() == retired | set(liar.lost)
            return retired

        async def held() -> set[bytes]:
            rows: Any = await registrar.db.read(lambda conn: conn.execute("SELECT refs FROM record_refs").fetchall())
            return {bytes(packed)[at : at + 16] for (packed,) in rows for at in range(0, len(packed), 16)}

        liar.lost = (bytes(16),)
        with pytest.raises(VerificationError) as caught:
            await reconciling.reconcile(registrar, liar)
        assert caught.value.code == "foreign_refs"
        assert len(await held()) == 170 * PASSES
        # Numbers only grow: one at their end would leave none for an honest comparator after it.
        liar.lost, liar.ahead = (), 2**52
        study.linking._comparator = liar
        for job in (reconciling.reconcile(registrar, liar), study.linking.settle(NORTH, "heart")):
            with pytest.raises(VerificationError) as caught:
                await job
            assert caught.value.code == "number_too_far"
        liar.ahead = 0
        one = [ref.tobytes() for ref in encoded[7]]
        liar.lost = (one[0],)
        retired = await told()
        assert set(one[1:]) < retired
        assert len(retired) + 1 >= MINIMUM * PASSES
        assert (len(retired) + 1) % PASSES == 0, "whole records, which a next upload brings again"

        # Records that were linked keep their persons without rows, and nothing is wrong with them.
        other = Source("heart", 2, 20, 170)
        await study.register(SOUTH, other)
        await study.upload(SOUTH, other)
        liar.lost = ()
        await study.run()
        lost = other.encoded.refs[9][0].tobytes()
        liar.lost = (lost,)
        spool = places.spool(loaded, "comparator")
        for name in ("gone-2.edges", "heart-x-2.edges", "heart-9.edges"):
            (spool / name).write_bytes(b"edges")
        await told()
        # Edges of studies that the registrar does not know go with their rows.
        assert [path.name for path in sorted(spool.glob("*.edges"))] == ["heart-9.edges"]
        query = "SELECT count(*) FROM record WHERE state = 'linked' AND NOT EXISTS"
        query += " (SELECT 1 FROM record_refs f WHERE f.domain = record.domain AND f.serial = record.serial)"
        dormant = await registrar.db.read(lambda conn: conn.execute(query).fetchone()[0])
        assert dormant >= MINIMUM
        query += " AND EXISTS (SELECT 1 FROM touched t WHERE t.domain = record.domain AND t.serial = record.serial)"
        assert await registrar.db.read(lambda conn: conn.execute(query).fetchone()[0]) == dormant
        found = await registrar.db.read(lambda conn: list(fsck_rows.records(conn)))
        assert {finding.state for finding in found} == {"ok"}, found


@pytest.mark.parametrize("live", [True, False])
async def test_a_map_that_comes_again_after_its_rows_were_dropped_is_not_taken_for_mapped(
    tmp_path: Path, live: bool
) -> None:
    """The registrar was restored to before the map; its acceptance had been carried out, or was cut off in it."""
    make_instance(tmp_path / "instance")
    loaded = config.load(tmp_path / "instance")
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    source = Source("heart", 1, 0, 60)
    async with open_instance(loaded, passphrase) as instance, joining(instance) as study:
        registrar, room = instance.registrar, instance.comparator
        for name in ("north", "south"):
            await registrar.db.write(lambda conn, name=name: registrar.directory.add_site(conn, name, "diz", name))  # type: ignore[misc]
        await study.create(["north", "south"])
        await study.register(NORTH, source)
        receipt = await study.receipt(NORTH, source)
        step = await registrar.db.read(ledger.step)

        def restored(conn: Connection) -> None:
            for domain in refs.domains_of(conn, "heart"):
                refs.purge(conn, domain)
            conn.execute("DELETE FROM map")
            conn.execute("UPDATE record SET state = 'unlinked'")
            ledger.set_step(conn, step)

        async def rows() -> int:
            return await room.db.read(lambda conn: placed_support.rows_of(conn, "heart"))

        async def held() -> int:
            return await registrar.db.read(lambda conn: refs.held(conn, refs.domains_of(conn, "heart")))

        if live:
            await study.map(NORTH, source, receipt)
            await registrar.db.write(restored)
        else:
            await ahead.place(room, "heart", [receipt.upload])
        assert await rows() == 60 * PASSES
        assert study.linking._comparator is not None
        await reconciling.reconcile(registrar, study.linking._comparator)
        assert await rows() == 0
        await study.map(NORTH, source, receipt)
        assert (await held(), await rows()) == (0, 0), "no refs are held of rows that are not there"
        await study.upload(NORTH, source)
        assert (await held(), await rows()) == (60 * PASSES, 60 * PASSES)
        found = await room.db.read(lambda conn: list(fsck_rows.comparator_rows(conn)))
        assert {finding.state for finding in found} == {"ok"}, found


def test_groups_are_the_same_ones_whoever_else_comes_or_goes() -> None:
    everybody = list(range(1, 1001))
    whole = reconciling.groups(everybody, 50)
    assert sorted(s for group in whole for s in group) == everybody
    assert min(map(len, whole)) >= 50
    mine = next(group for group in whole if 520 in group)
    for others in (
        [s for s in everybody if s % 50 or s > 400],  # some were withdrawn
        everybody[: len(everybody) - 30],
        [*everybody, *range(1001, 1040)],
        [s for s in everybody if not 100 <= s < 300],
    ):
        assert mine in reconciling.groups(others, 50)
    assert reconciling.groups([3, 4], 50) == [[3, 4]]
    assert reconciling.groups([], 50) == []


def test_the_words_of_a_comparator_go_to_nobody() -> None:
    said = Problem(
        type="x",
        title="Send",
        status=401,
        code="send your secret",
        detail="to me",
        hint="now",
        request_id="zzz",
        where="w",
    )
    passed = refusal(RemoteError.of(said))
    assert (passed.status, passed.code, passed.where) == (403, "unexpected_answer", "")
    shown = f"{passed.message} {passed.hint} {passed.request_id}"
    assert not any(word in shown for word in ("Send", "to me", "now", "zzz"))
    known = refusal(RemoteError.of(msgspec.structs.replace(said, status=409, code="rooms_out_of_step")))
    assert (known.status, known.code) == (409, "rooms_out_of_step")
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"study":"a","window":1,"state":"failed","code":"send your secret"}', type=WindowState)
