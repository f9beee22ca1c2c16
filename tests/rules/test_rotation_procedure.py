"""Rotation of a pseudonym key as a procedure: record, verify, maps, acknowledgements, finalize, abort, roll back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from rules_support import FORMAT, NORTH, OPERATOR, SOUTH, Files, Opened

from keys import hybrid
from keys.errors import (
    IllegalTransitionError,
    KeyStoreConflictError,
    SealError,
    SignatureError,
    WrongPassphraseError,
    WrongRecipientError,
)
from keys.ids import KeyId, Purpose
from keys.personal import PersonalKey
from trustcenter.auth import Principal
from trustcenter.clock import utc_now
from trustcenter.errors import ConflictError, NotFoundError, PolicyError, TrustCenterError, VerificationError
from trustcenter.instance import rekey
from trustcenter.messages import api
from trustcenter.registrar import (
    key_compromise,
    key_proposals,
    keycare,
    rotation,
    rotation_end,
    rotation_map,
    rotation_show,
    rotation_verify,
    site_keys,
)
from trustcenter.store import IntegrityError

ANNA = Principal("anna", "approver", "")


def later(days: int) -> Callable[[], datetime]:
    return lambda: utc_now() + timedelta(days=days)


def key_store(files: Files) -> Path:
    return files.config.path(files.config.files.registrar_keys)


async def states(center: Opened, name: str = "plain") -> dict[int, str]:
    domain = await center.domain(name)
    versions = await center.context.db.read(
        lambda conn: center.context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM)
    )
    return {v.version: v.state.value for v in versions}


async def begin(center: Opened, **options: object) -> api.RotationPlan:
    body = api.RotateRequest(**options)  # type: ignore[arg-type]
    return await rotation.rotate(center.context, OPERATOR, "req", "plain", body)


async def fetch(center: Opened, ident: str, caller: Principal = NORTH, party: str = "site:north") -> bytes:
    parts: list[bytes] = []
    async for pieces in rotation_map.sealed(center.context, caller, "req", ident, party):
        parts += pieces
    return b"".join(parts)


async def register_key(center: Opened, site: str) -> hybrid.RecipientKey:
    key = hybrid.RecipientKey.generate()
    body = api.SiteKeySet(public_key=key.public, fingerprint=key.fingerprint)
    await site_keys.set_site_key(center.context, OPERATOR, "req", site, body)
    return key


def digest(opened: bytes) -> str:
    assert opened.startswith(b"old,new\n")
    return hashlib.sha256(opened.removeprefix(b"old,new\n")).hexdigest()


async def test_from_plan_to_finalized(files: Files) -> None:
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
        with pytest.raises(ConflictError, match="not acknowledged"):
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


async def test_the_map_is_the_same_bytes_every_time_and_after_later_issue(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a", "b"])
        ident = (await begin(center)).rotation or ""
        key = await register_key(center, "north")
        info = rotation_map.seal_info(ident, "site:north")
        first = key.open(await fetch(center, ident), info)
        await center.issue("plain", ["c", "a"])
        assert key.open(await fetch(center, ident), info) == first
        assert first.count(b"\n") == 3


async def test_a_map_is_for_its_party_and_rotation_alone(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        ident = (await begin(center)).rotation or ""
        with pytest.raises(ConflictError, match="no public key"):
            await fetch(center, ident)
        north = await register_key(center, "north")
        south = await register_key(center, "south")
        for caller, party in (
            (SOUTH, "site:south"),
            (SOUTH, "site:north"),
            (OPERATOR, "site:south"),
            (NORTH, "site:x"),
        ):
            with pytest.raises(NotFoundError):
                await fetch(center, ident, caller, party)
        sealed = await fetch(center, ident)
        with pytest.raises(WrongRecipientError):
            south.open(sealed, rotation_map.seal_info(ident, "site:north"))
        with pytest.raises(SealError, match="another context"):
            north.open(sealed, rotation_map.seal_info("0" * 32, "site:north"))
        body = api.MapAcknowledge(sha256="00" * 32, party="site:north")
        with pytest.raises(PolicyError, match="acknowledges its map itself"):
            await rotation_map.acknowledge(center.context, OPERATOR, "req", ident, body)


async def test_a_key_whose_fingerprint_was_not_compared_is_refused(files: Files) -> None:
    async with files.open() as center:
        key, other = hybrid.RecipientKey.generate(), hybrid.RecipientKey.generate()
        body = api.SiteKeySet(public_key=key.public, fingerprint=other.fingerprint)
        with pytest.raises(TrustCenterError, match="fingerprint"):
            await site_keys.set_site_key(center.context, OPERATOR, "req", "north", body)


async def test_in_progress_and_none_in_progress_at_once_never_happens(files: Files) -> None:
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


async def test_the_database_itself_allows_one_active_version_and_one_rotation(files: Files) -> None:
    async with files.open() as center:
        await begin(center, prepare=True)
        for sql in (
            "UPDATE key_version SET state = 'active' WHERE purpose = 'pseudonym'",
            "INSERT INTO rotation SELECT 'x', scope, purpose, 1, 3, 0, stage, 0, 0, 0, 0, '', '', '', '', ''"  # noqa: ISC004
            " FROM rotation",
        ):
            with pytest.raises(IntegrityError):
                await center.context.db.write(lambda conn, sql=sql: conn.execute(sql))  # type: ignore[misc]


async def test_an_abort_leaves_nothing_but_entries(files: Files) -> None:
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


async def test_rolled_back_while_suspended_and_no_later(files: Files) -> None:
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


async def test_a_party_that_stays_silent_is_left_behind_by_two_people_after_the_deadline(files: Files) -> None:
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


async def approve(center: Opened, files: Files, body: api.KeyPropose) -> api.KeyProposal:
    anna = PersonalKey.load(files.dir / "anna.key")
    made = await key_proposals.propose(center.context, OPERATOR, "req", body)
    signed = api.Approval(signature=anna.sign(key_proposals.CONTEXT, made.statement.encode()))
    return await key_proposals.approve(center.context, ANNA, "req", made.proposal, signed)


async def test_a_version_is_destroyed_after_grace_by_two_people_and_no_sooner(files: Files) -> None:
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


async def test_a_database_from_before_a_destruction_loses_that_version_only(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        await center.rotate("plain")
        (new,) = await center.issue("plain", ["a"])
        domain = await center.domain("plain")
        center.context.keys.destroy([KeyId(domain.scope, Purpose.PSEUDONYM, 1)])  # the database does not know
    async with files.open() as center:
        assert await states(center) == {1: "destroyed", 2: "active"}
        assert await center.issue("plain", ["a"]) == [new]


async def test_suspend_stops_issue_and_activate_takes_it_back(files: Files) -> None:
    async with files.open() as center:
        (old,) = await center.issue("plain", ["a"])
        await keycare.suspend(center.context, OPERATOR, "req", "plain", api.KeyAct())
        with pytest.raises(ConflictError) as raised:
            await center.issue("plain", ["b"])
        assert raised.value.code == "no_active_key"
        assert await center.verdicts("plain", [old]) == ["ok"]
        await keycare.activate(center.context, OPERATOR, "req", "plain", api.KeyAct())
        assert await center.issue("plain", ["a"]) == [old]
        (fresh,) = await center.issue("plain", ["c"])
        assert await center.verdicts("plain", [fresh]) == ["ok"]  # above the mark of the suspension
        await begin(center, prepare=True)
        with pytest.raises(ConflictError):
            await keycare.suspend(center.context, OPERATOR, "req", "plain", api.KeyAct())
        shown = await keycare.activate(center.context, OPERATOR, "req", "plain", api.KeyAct())
        assert (shown.version, shown.state) == (2, "active")
    assert files.failures() == []


async def test_a_compromise_stops_issue_opens_the_next_version_and_says_what_is_lost(files: Files) -> None:
    async with files.open() as center:
        old = await center.issue("plain", ["a", "b"])
        body = api.KeyCompromise(version=1, reason="a backup disk was stolen", since="2026-01-02")
        report = await key_compromise.compromise(center.context, OPERATOR, "req", "plain", body)
        assert (report.replaced_by, report.exposed_pseudonyms, report.since) == (2, 2, "2026-01-02")
        assert report.must_translate == ["site:north"]
        assert any("distributed" in line or "handed out" in line for line in report.cannot_heal)
        assert await states(center) == {1: "compromised", 2: "active"}
        new = await center.issue("plain", ["a", "b", "c"])
        assert await center.verdicts("plain", old) == ["unknown_pseudonym"] * 2  # not without dual control
        ident = report.rotation or ""
        key = await register_key(center, "north")
        with pytest.raises(PolicyError, match="dual control"):
            await fetch(center, ident)
        await approve(center, files, api.KeyPropose(kind="deliver", rotation=ident, party="site:north"))
        opened = key.open(await fetch(center, ident), rotation_map.seal_info(ident, "site:north"))
        assert set(opened.decode().split()[1:]) == set(map(",".join, zip(old, new, strict=False)))
        await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        told = api.MapAcknowledge(sha256=digest(opened))
        await rotation_map.acknowledge(center.context, NORTH, "req", ident, told)
        await rotation_end.finalize(center.context, OPERATOR, "req", ident)
    async with files.open(later(31)) as center:
        await approve(center, files, api.KeyPropose(kind="destroy", domain="plain", version=1))
        assert await states(center) == {1: "destroyed", 2: "active"}
    assert files.failures() == []


async def test_the_new_key_leaks_during_its_rotation(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        first = (await begin(center)).rotation or ""
        body = api.KeyCompromise(version=2, reason="typed into a chat")
        report = await key_compromise.compromise(center.context, OPERATOR, "req", "plain", body)
        assert await states(center) == {1: "suspended", 2: "compromised", 3: "active"}
        assert (await rotation_show.show(center.context, first)).stage == "superseded"
        assert (await rotation_show.show(center.context, report.rotation or "")).stage == "changed"
    assert files.failures() == []


async def test_what_is_not_keyed_is_not_rotated(files: Files) -> None:
    async with files.open() as center:
        await center.domain("short", suite=api.Suite.DRAWN, format=FORMAT)
        with pytest.raises(PolicyError) as raised:
            await center.rotate("short")
        assert raised.value.code == "not_keyed"


async def test_interrupted_rotation_unrecoverable_does_not_happen(files: Files) -> None:
    """New material in the key store, the database not yet told: the rotation goes on at the next start."""
    async with files.open() as center:
        old = await center.issue("plain", ["a"])
        ident = (await begin(center, prepare=True)).rotation or ""
        domain = await center.domain("plain")
        assert center.context.keys.has(KeyId(domain.scope, Purpose.PSEUDONYM, 2))
    async with files.open() as center:
        assert await center.issue("plain", ["a"]) == old
        changed = await rotation.cut_over(center.context, "operator", "req", ident)
        assert changed.stage == "changed"
        assert (await rotation.cut_over(center.context, "operator", "req", ident)) == changed
        assert (await center.translate("plain", old)).pseudonyms == await center.issue("plain", ["a"])


async def test_keyring_corrupted_by_restore_beside_a_running_server_does_not_happen(files: Files) -> None:
    """An older key store put beside a running service: the next change is refused, the file stays whole."""
    path = key_store(files)
    older = path.read_bytes()
    async with files.open() as center:
        await center.issue("plain", ["a"])
        await center.rotate("plain")
        newer = path.read_bytes()
        path.write_bytes(older)
        await center.finalize(
            (await rotation_show.list_rotations(center.context, "plain")).rotations[0].rotation, "plain"
        )
        with pytest.raises(KeyStoreConflictError):
            await begin(center)
        assert path.read_bytes() == older
        assert await center.issue("plain", ["b"])  # goes on with what it has in memory
    with pytest.raises(VerificationError) as raised:
        async with files.open():
            pass
    assert raised.value.code == "stale_key_store"
    path.write_bytes(newer)
    async with files.open() as center:
        assert await states(center) == {1: "deactivated", 2: "active", 3: "pre-active"}
        (_, waiting) = (await rotation_show.list_rotations(center.context, "plain")).rotations
        await rotation.cut_over(center.context, "operator", "req", waiting.rotation)
        assert (await states(center))[3] == "active"


async def test_an_older_key_store_beside_a_newer_database_is_refused(files: Files) -> None:
    path = key_store(files)
    older = path.read_bytes()
    async with files.open() as center:
        await center.rotate("plain")
    path.write_bytes(older)
    before = files.database.read_bytes()
    with pytest.raises(VerificationError) as raised:
        async with files.open():
            pass
    assert raised.value.code == "stale_key_store"
    assert files.database.read_bytes() == before


async def test_overdue_keys_are_shown_and_nothing_rotates_by_itself(files: Files) -> None:
    async with files.open() as center:
        body = api.KeySchedule(days=365)
        (one,) = (await keycare.schedule(center.context, OPERATOR, "req", "plain", body)).keys
        assert (one.domain, one.version, one.overdue) == ("plain", 1, False)
    async with files.open(later(366)) as center:
        (one,) = await center.context.db.read(lambda conn: keycare.due(conn, center.context.clock()))
        assert one.overdue
        assert await states(center) == {1: "active"}
        await center.rotate("plain")
        (one,) = await center.context.db.read(lambda conn: keycare.due(conn, center.context.clock()))
        assert (one.version, one.overdue) == (2, False)


async def test_another_passphrase_beside_a_running_service(files: Files) -> None:
    """The service goes on with what it has, refuses to change keys, and starts with the new passphrase alone."""
    new = b"another passphrase of length"
    async with files.open() as center:
        old = await center.issue("plain", ["a"])
        assert [one.state for one in rekey.rekey(files.config, files.passphrase, new, dry_run=True)] == ["would be"] * 2
        rekey.rekey(files.config, files.passphrase, new)
        before = key_store(files).read_bytes()
        assert await center.issue("plain", ["a"]) == old
        with pytest.raises(KeyStoreConflictError):
            await begin(center)
        assert key_store(files).read_bytes() == before
    with pytest.raises(WrongPassphraseError):
        async with files.open():
            pass
    (files.dir / "passphrase").write_bytes(new + b"\n")
    async with files.open() as center:
        (waiting,) = (await rotation_show.list_rotations(center.context, "plain")).rotations
        assert (await rotation.cut_over(center.context, "operator", "req", waiting.rotation)).stage == "changed"
        assert (await center.translate("plain", old)).pseudonyms == await center.issue("plain", ["a"])
