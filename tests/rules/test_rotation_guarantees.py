"""What a rotation guarantees, R1 to R10: docs/security/rotation.md names the test of each."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from rotation_support import ANNA, approve, begin, digest, fetch, key_store, later, register_key, states
from rules_support import NORTH, OPERATOR, Files

from keys import computed
from keys.errors import (
    IllegalTransitionError,
    KeyStoreUnavailableError,
    SignatureError,
)
from keys.ids import KeyId, Purpose
from keys.personal import PersonalKey
from keys.store import KeyStore
from trustcenter.errors import ConflictError, PolicyError, VerificationError
from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import operations
from trustcenter.registrar.rotating import (
    key_proposals,
    rotation,
    rotation_end,
    rotation_map,
    rotation_show,
    rotation_verify,
)
from trustcenter.store import IntegrityError


async def test_r1_the_database_itself_allows_one_active_version_and_one_rotation(files: Files) -> None:
    async with files.open() as center:
        await begin(center, prepare=True)
        for sql in (
            "UPDATE key_version SET state = 'active' WHERE purpose = 'pseudonym'",
            "INSERT INTO rotation SELECT 'x', scope, purpose, 1, 3, 0, stage, 0, 0, 0, 0, '', '', '', '', ''"  # noqa: ISC004
            " FROM rotation",
        ):
            with pytest.raises(IntegrityError):
                await center.context.db.write(lambda conn, sql=sql: conn.execute(sql))  # type: ignore[misc]


async def test_r6_verified_one_to_one_with_the_hash_of_the_map_in_the_log_then_finalized(files: Files) -> None:
    originals = [f"p{i}" for i in range(50)]
    async with files.open() as center:
        old = await center.issue("plain", originals)
        planned = await begin(center, dry_run=True)
        assert (planned.state, planned.pseudonyms, planned.sites, planned.rotation) == ("planned", 50, ["north"], None)
        assert await states(center) == {1: "active"}
        done = await begin(center)
        assert done.rotation is not None
        ident = done.rotation
        assert await states(center) == {1: "suspended", 2: "active"}
        new = await center.issue("plain", originals)
        assert not set(old) & set(new)

        with pytest.raises(ConflictError, match="verified"):
            await key_proposals.propose(
                center.context, OPERATOR, "req", api.KeyPropose(kind="finalize", rotation=ident)
            )
        verified = await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        assert (verified.stage, verified.done, verified.total) == ("verified", 50, 50)

        key = await register_key(center, "north")
        sealed = await fetch(center, ident)
        opened = key.open(sealed, rotation_map.seal_info(ident, "site:north"))
        assert sorted(opened.decode().split()) == sorted(["old,new", *map(",".join, zip(old, new, strict=True))])
        assert rotation_map.mac(center.context, ident, bytes.fromhex(digest(opened))) == verified.map_mac
        with pytest.raises(ConflictError, match="missing: site:north"):
            await rotation_end.finalize(center.context, OPERATOR, "req", ident)
        wrong = api.MapAcknowledge(sha256="00" * 32)
        with pytest.raises(VerificationError):
            await rotation_map.acknowledge(center.context, NORTH, "req", ident, wrong)
        told = api.MapAcknowledge(sha256=digest(opened))
        shown = await rotation_map.acknowledge(center.context, NORTH, "req", ident, told)
        assert [(p.party, p.deliveries, p.acknowledged_by) for p in shown.parties] == [("site:north", 1, "north")]
        ended = await rotation_end.finalize(center.context, OPERATOR, "req", ident)
        assert ended.stage == "finalized"
        assert await states(center) == {1: "deactivated", 2: "active"}
        assert (await center.translate("plain", old)).pseudonyms == new  # deactivated: away from it still

        (verify,) = await center.entries("operator:key:verify")
        (deliver,) = await center.entries("registrar:key:deliver")
        assert verify["map_mac"] == deliver["map_mac"] == verified.map_mac
        assert hashlib.sha256(opened).hexdigest() not in str(verify)
    assert files.failures() == []


async def test_r7_an_abort_leaves_nothing_but_entries(files: Files) -> None:
    async with files.open() as center:
        old = await center.issue("plain", ["a", "b"])
        ident = (await begin(center, prepare=True)).rotation or ""
        assert await states(center) == {1: "active", 2: "pre-active"}
        await rotation_end.abort(center.context, OPERATOR, "req", ident)
        assert await states(center) == {1: "active", 2: "destroyed"}
        assert await center.issue("plain", ["a", "b"]) == old
        domain = await center.domain("plain")
        assert not center.context.keys.has(KeyId(domain.scope, Purpose.PSEUDONYM, 2))
        assert [e["version"] for e in await center.entries("operator:key:abort")] == [2]
        with pytest.raises(IllegalTransitionError):
            await rotation_end.abort(center.context, OPERATOR, "req", ident)
        again = await begin(center)
        assert again.to_version == 3  # a key id is used once
        with pytest.raises(IllegalTransitionError):
            await rotation_end.abort(center.context, OPERATOR, "req", again.rotation or "")
    assert files.failures() == []


async def test_r7_rolled_back_while_suspended_and_no_later(files: Files) -> None:
    async with files.open() as center:
        old = await center.issue("plain", ["a"])
        ident = (await begin(center)).rotation or ""
        new = await center.issue("plain", ["a", "b"])
        await rotation_end.roll_back(center.context, OPERATOR, "req", ident)
        assert await states(center) == {1: "active", 2: "suspended"}
        now = await center.issue("plain", ["a", "b", "c"])
        assert now[:1] == old
        assert (await center.translate("plain", new)).pseudonyms == now[:2]  # what the new key made still resolves
        assert await center.verdicts("plain", now) == ["ok"] * 3
        again = await begin(center)
        assert (again.from_version, again.to_version) == (1, 3)
        await center.finalize(again.rotation, "plain")
        with pytest.raises(IllegalTransitionError):
            await rotation_end.roll_back(center.context, OPERATOR, "req", again.rotation or "")
    assert files.failures() == []


async def test_r8_in_progress_and_none_in_progress_at_once_never_happens(files: Files) -> None:
    """A second rotation is refused with the id that status shows, also when many begin at the same time."""
    async with files.open() as center:
        await center.issue("plain", ["a"])
        results = await asyncio.gather(*(begin(center, prepare=True) for _ in range(5)), return_exceptions=True)
        made = [r for r in results if isinstance(r, api.RotationPlan)]
        refused = [r for r in results if isinstance(r, ConflictError)]
        (only,) = made
        assert only.rotation is not None
        assert [r.code for r in refused] == ["rotation_under_way"] * 4
        assert {r.where for r in refused} == {only.rotation}
        shown = (await rotation_show.list_rotations(center.context, "plain")).rotations
        assert [(r.rotation, r.stage) for r in shown] == [(only.rotation, "prepared")]
        with pytest.raises(ConflictError):
            await begin(center, dry_run=True)
        await rotation_end.abort(center.context, OPERATOR, "req", only.rotation)
        assert (await begin(center, dry_run=True)).state == "planned"


async def test_r10_a_silent_party_is_left_behind_by_two_people_after_the_deadline_only(files: Files) -> None:
    anna = PersonalKey.load(files.dir / "anna.key")
    async with files.open() as center:
        await center.issue("plain", ["a"])
        ident = (await begin(center, deadline_days=10)).rotation or ""
        await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        with pytest.raises(ConflictError, match="still have time"):
            await key_proposals.propose(
                center.context, OPERATOR, "req", api.KeyPropose(kind="finalize", rotation=ident)
            )
    async with files.open(later(11)) as center:
        body = api.KeyPropose(kind="finalize", rotation=ident)
        made = await key_proposals.propose(center.context, OPERATOR, "req", body)
        assert "not acknowledged by: site:north" in made.statement
        signature = anna.sign(key_proposals.CONTEXT, made.statement.encode())
        with pytest.raises(PolicyError, match="cannot approve"):
            await key_proposals.approve(
                center.context, OPERATOR, "req", made.proposal, api.Approval(signature=signature)
            )
        other = PersonalKey.generate().sign(key_proposals.CONTEXT, made.statement.encode())
        with pytest.raises(SignatureError):
            await key_proposals.approve(center.context, ANNA, "req", made.proposal, api.Approval(signature=other))
        assert await states(center) == {1: "suspended", 2: "active"}
        await key_proposals.approve(center.context, ANNA, "req", made.proposal, api.Approval(signature=signature))
        assert await states(center) == {1: "deactivated", 2: "active"}
        with pytest.raises(ConflictError, match="approved already"):
            await key_proposals.approve(center.context, ANNA, "req", made.proposal, api.Approval(signature=signature))


async def test_r10_a_version_is_destroyed_after_grace_by_two_people_and_no_sooner(files: Files) -> None:
    destroy = api.KeyPropose(kind="destroy", domain="plain", version=1)
    async with files.open() as center:
        (old,) = await center.issue("plain", ["a"])
        with pytest.raises(ConflictError) as raised:
            await key_proposals.propose(center.context, OPERATOR, "req", destroy)
        assert raised.value.code == "key_in_use"
        done = await begin(center)
        with pytest.raises(ConflictError) as raised:
            await key_proposals.propose(center.context, OPERATOR, "req", destroy)
        assert raised.value.code == "key_in_use"
        await center.finalize(done.rotation, "plain")
        with pytest.raises(ConflictError) as raised:
            await key_proposals.propose(center.context, OPERATOR, "req", destroy)
        assert raised.value.code == "not_due"
    async with files.open(later(31)) as center:
        await approve(center, files, destroy)
        assert await states(center) == {1: "destroyed", 2: "active"}
        domain = await center.domain("plain")
        assert not center.context.keys.has(KeyId(domain.scope, Purpose.PSEUDONYM, 1))
        answer = await center.translate("plain", [old])
        assert [e.code for e in answer.errors] == ["unknown_pseudonym"]
        (entry,) = await center.entries("operator:key:destroy")
        assert (entry["version"], entry["approved_by"]) == (1, "anna")
        with pytest.raises(ConflictError, match="destroyed"):
            await fetch(center, done.rotation or "")
    assert files.failures() == []


async def test_r2_intent_and_entry_are_durable_before_there_is_key_material(files: Files) -> None:
    """The key store cannot be written: what was planned is known all the same, and goes on once it can."""
    path = key_store(files)
    async with files.open() as center:
        await center.issue("plain", ["a"])
        path.rename(path.with_suffix(".away"))
        with pytest.raises(KeyStoreUnavailableError) as raised:
            await begin(center)
        assert raised.value.hint
    path.with_suffix(".away").rename(path)
    async with files.open() as center:
        (waiting,) = (await rotation_show.list_rotations(center.context, "plain")).rotations
        assert (waiting.stage, waiting.from_version, waiting.to_version) == ("prepared", 1, 2)
        assert [entry["version"] for entry in await center.entries("operator:key:create")] == [2]
        domain = await center.domain("plain")
        assert not center.context.keys.known(KeyId(domain.scope, Purpose.PSEUDONYM, 2))
        await rotation.cut_over(center.context, "operator", "req", waiting.rotation)
        assert await states(center) == {1: "suspended", 2: "active"}
    assert files.failures() == []


async def test_r3_proven_while_pre_active_and_cut_over_in_one_transaction(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        ident = (await begin(center, prepare=True)).rotation or ""
        assert await states(center) == {1: "active", 2: "pre-active"}
        key = KeyId((await center.domain("plain")).scope, Purpose.PSEUDONYM, 2)
        here = {entry.id: entry.kcv for entry in center.context.keys.entries()}
        on_disk = {entry.id: entry.kcv for entry in KeyStore.open(key_store(files), files.passphrase).entries()}
        assert on_disk[key] == here[key]

        async def all_of_it() -> tuple[object, ...]:
            rotations = await center.sql("SELECT id, stage, mark FROM rotation")
            generation = await center.sql("SELECT keystore_generation FROM instance")
            return await states(center), rotations, generation, await center.context.db.read(center.context.log.head)

        before = await all_of_it()
        await center.context.db.write(
            lambda conn: conn.execute(  # the last of its statements fails, inside the database
                "CREATE TRIGGER broken BEFORE UPDATE OF stage ON rotation BEGIN SELECT raise(ABORT, 'no'); END"
            )
        )
        with pytest.raises(Exception, match="no"):
            await rotation.cut_over(center.context, "operator", "req", ident)
        assert await all_of_it() == before
        await center.context.db.write(lambda conn: conn.execute("DROP TRIGGER broken"))
        await rotation.cut_over(center.context, "operator", "req", ident)
        (generation,) = await center.sql("SELECT keystore_generation FROM instance")
        assert generation == (center.context.keys.generation,)
        (entry,) = await center.entries("operator:key:rotate")
        assert (entry["from_version"], entry["to_version"]) == (1, 2)
    assert files.failures() == []


async def test_r4_a_request_is_answered_under_one_version_and_never_mixes(files: Files) -> None:
    """Small requests and batches while the key is rotated: every string of an answer is of the version it names."""
    async with files.open() as center:
        domain = await center.domain("plain")

        async def ask(number: int) -> api.PseudonymAnswer:
            originals = [f"p{(number * 7 + i) % 60}" for i in range(3 if number % 2 else 30)]
            body = api.PseudonymRequest(originals=originals)
            return await operations.pseudonymize(center.context, NORTH, "req", "plain", body)

        answers: list[api.PseudonymAnswer] = []

        async def both_ways() -> None:
            for number in range(3):
                plan = await begin(center)
                answers.append(await ask(number))
                await rotation_end.roll_back(center.context, OPERATOR, "req", plan.rotation or "")

        turning = asyncio.create_task(both_ways())
        while not turning.done():
            answers += await asyncio.gather(*(ask(number) for number in range(12)))
        await turning
        assert len({answer.key_version for answer in answers}) > 1
        for answer in answers:
            texts = [text for text in answer.pseudonyms if text is not None]
            blocks = computed.parse(texts).blocks
            inner = center.context.keys.decipher(domain.uuid, answer.key_version, blocks)
            opened = computed.open_inner(domain.h, domain.uuid, answer.key_version, inner)
            assert len(texts) == len(answer.pseudonyms)
            assert bool(opened.ok.all())
    assert files.failures() == []
