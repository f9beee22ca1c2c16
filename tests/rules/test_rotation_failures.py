"""Failures of rotations that others had, each with its name, and bad input: docs/security/rotation.md."""

from __future__ import annotations

import asyncio

import pytest
from rotation_support import ANNA, approve, begin, fetch, key_store, later, register_key, states
from rules_support import FORMAT, NORTH, OPERATOR, SOUTH, Files

from keys import hybrid
from keys.errors import (
    KeyStoreConflictError,
    KeyStoreDamagedError,
    SealError,
    WrongPassphraseError,
    WrongRecipientError,
)
from keys.ids import KeyId, Purpose
from keys.personal import PersonalKey
from trustcenter.errors import ConflictError, NotFoundError, PolicyError, TrustCenterError, VerificationError
from trustcenter.instance.rotating import rekey
from trustcenter.messages import api
from trustcenter.registrar import site_keys
from trustcenter.registrar.rotating import (
    key_proposals,
    rotation,
    rotation_map,
    rotation_record,
    rotation_show,
    rotation_verify,
)
from trustcenter.store import IntegrityError


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


async def test_bad_input_a_map_for_another_site_or_rotation(files: Files) -> None:
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


async def test_what_is_not_keyed_is_not_rotated(files: Files) -> None:
    async with files.open() as center:
        await center.domain("short", suite=api.Suite.DRAWN, format=FORMAT)
        with pytest.raises(PolicyError) as raised:
            await center.rotate("short")
        assert raised.value.code == "not_keyed"


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


async def test_journal_field_typed_wrongly_does_not_happen(files: Files) -> None:
    """The record of a rotation takes no value of another type, and what it holds reads back at every stage."""
    async with files.open() as center:
        await center.issue("plain", ["a"])
        ident = (await begin(center, prepare=True)).rotation or ""
        for column in ("from_version", "to_version", "mark", "cursor", "total", "done"):
            with pytest.raises(IntegrityError):
                await center.context.db.write(
                    lambda conn, column=column: conn.execute(f"UPDATE rotation SET {column} = 'seven'")  # type: ignore[misc]
                )
    for step in ("prepared", "changed", "verified"):
        async with files.open() as center:
            context = center.context
            found = await context.db.read(lambda conn: rotation_record.find(conn, ident))
            assert (found.stage.value, found.from_version, found.to_version, found.total) == (step, 1, 2, 1)
            if step == "prepared":
                await rotation.cut_over(context, "operator", "req", ident)
            else:
                await rotation_verify.verify(context, OPERATOR, "req", ident)


@pytest.mark.parametrize("kept", [0, 1, 0.5, 0.99])
def test_bad_input_a_truncated_key_store(files: Files, kept: float) -> None:
    path = key_store(files)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept if kept == 1 else kept * len(whole))])
    with pytest.raises(KeyStoreDamagedError) as raised:
        asyncio.run(_start(files))
    assert raised.value.hint
    path.write_bytes(whole)
    asyncio.run(_start(files))


def test_bad_input_a_corrupted_key_store(files: Files) -> None:
    path = key_store(files)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
    with pytest.raises(KeyStoreDamagedError) as raised:
        asyncio.run(_start(files))
    assert raised.value.hint
    assert path.read_bytes() != whole  # what is there stays there


def test_bad_input_a_wrong_passphrase(files: Files) -> None:
    (files.dir / "passphrase").write_bytes(b"not the passphrase at all\n")
    before = key_store(files).read_bytes()
    with pytest.raises(WrongPassphraseError) as raised:
        asyncio.run(_start(files))
    assert raised.value.hint
    assert key_store(files).read_bytes() == before


async def _start(files: Files) -> None:
    async with files.open():
        pass


async def test_bad_input_a_clock_gone_backwards(files: Files) -> None:
    """Ten days back: rotations go on, the log says by how much, and no deadline or grace ends the sooner for it."""
    async with files.open(later(10)) as center:
        (old,) = await center.issue("plain", ["a"])
        ident = (await begin(center, deadline_days=3)).rotation or ""
    async with files.open() as center:
        await rotation_verify.verify(center.context, OPERATOR, "req", ident)
        with pytest.raises(ConflictError) as raised:
            await key_proposals.propose(
                center.context, OPERATOR, "req", api.KeyPropose(kind="finalize", rotation=ident)
            )
        assert (raised.value.code, bool(raised.value.hint)) == ("deadline_not_passed", True)
        await center.finalize(ident, "plain")
        with pytest.raises(ConflictError) as raised:
            await key_proposals.propose(
                center.context, OPERATOR, "req", api.KeyPropose(kind="destroy", domain="plain", version=1)
            )
        assert (raised.value.code, bool(raised.value.hint)) == ("not_due", True)
        assert (await center.translate("plain", [old])).pseudonyms == await center.issue("plain", ["a"])
    assert files.failures() == []


async def test_bad_input_a_rotated_away_pseudonym_and_a_destroyed_key(files: Files) -> None:
    async with files.open() as center:
        (old,) = await center.issue("plain", ["a"])
        await center.rotate("plain")
        assert await center.verdicts("plain", [old]) == ["ok"]  # resolves through the grace period
        (waiting,) = (await rotation_show.list_rotations(center.context, "plain")).rotations
        await center.finalize(waiting.rotation, "plain")
    async with files.open(later(31)) as center:
        await approve(center, files, api.KeyPropose(kind="destroy", domain="plain", version=1))
        answer = await center.translate("plain", [old])
        assert [(error.code, bool(error.hint)) for error in answer.errors] == [("unknown_pseudonym", True)]
        with pytest.raises(ConflictError) as raised:
            await approve(center, files, api.KeyPropose(kind="destroy", domain="plain", version=1))
        assert raised.value.code == "key_destroyed"


async def test_bad_input_an_approval_by_the_requester(files: Files) -> None:
    async with files.open() as center:
        await center.issue("plain", ["a"])
        ident = (await begin(center, deadline_days=1)).rotation or ""
        await rotation_verify.verify(center.context, OPERATOR, "req", ident)
    async with files.open(later(2)) as center:
        made = await key_proposals.propose(center.context, ANNA, "req", api.KeyPropose(kind="finalize", rotation=ident))
        signed = PersonalKey.load(files.dir / "anna.key").sign(key_proposals.CONTEXT, made.statement.encode())
        with pytest.raises(PolicyError) as raised:
            await key_proposals.approve(center.context, ANNA, "req", made.proposal, api.Approval(signature=signed))
        assert (raised.value.code, bool(raised.value.hint)) == ("approval_by_requester", True)
        assert await states(center) == {1: "suspended", 2: "active"}
