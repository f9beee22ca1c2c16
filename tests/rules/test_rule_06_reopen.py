"""Rule 6: an older database serves again after two people signed, under an epoch that was never used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rules_support import Files

from keys.personal import PersonalKey
from trustcenter.errors import PolicyError, StaleDatabaseError, TrustCenterError, UsageError, VerificationError
from trustcenter.instance.backups import reopen


def sign(files: Files, name: str, key: str | None = None) -> reopen.Proposal | reopen.Reopened:
    statement = reopen.load(files.config).statement
    person = PersonalKey.load(files.dir / f"{key or name}.key")
    return reopen.sign(files.config, files.passphrase, name, person, statement)


async def lose_a_tail(files: Files, tmp_path: Path) -> tuple[list[str], list[str]]:
    """Pseudonyms that remain, and pseudonyms of the time that is lost: the database goes back, the head does not."""
    async with files.open() as center:
        kept = await center.issue("plain", ["a", "b"])
    shutil.copytree(files.database.parent, tmp_path / "old")
    async with files.open() as center:
        lost = await center.issue("plain", ["c", "d", "e"])
    shutil.rmtree(files.database.parent)
    shutil.copytree(tmp_path / "old", files.database.parent)
    with pytest.raises(StaleDatabaseError):
        async with files.open():
            pass
    return kept, lost


async def test_two_people_reopen_under_the_next_epoch_and_the_log_says_so(files: Files, tmp_path: Path) -> None:
    kept, lost = await lose_a_tail(files, tmp_path)
    head = files.head_facts()
    proposal = reopen.propose(files.config, files.passphrase)
    assert proposal.epoch == 1 == max(0, head["epoch"]) + 1
    assert isinstance(sign(files, "anna"), reopen.Proposal)
    with pytest.raises(PolicyError) as caught:
        sign(files, "anna")
    assert caught.value.code == "signed_already"
    with pytest.raises(PolicyError):
        sign(files, "bernd", key="anna")
    with pytest.raises(StaleDatabaseError):  # one signature changes nothing
        async with files.open():
            pass
    assert isinstance(sign(files, "bernd"), reopen.Reopened)
    async with files.open() as center:
        (entry,) = await center.entries("instance:service:reopen")
        assert (entry["from_epoch"], entry["to_epoch"], entry["head"]) == (0, 1, "known")
        assert (entry["head_size"], entry["head_root"]) == (head["log_size"], head["log_root"])
        assert [approval["name"] for approval in entry["approvals"]] == ["anna", "bernd"]
        assert await center.verdicts("plain", kept) == ["ok", "ok"]
        assert await center.verdicts("plain", lost) == ["unknown_pseudonym"] * 3
        new = await center.issue("plain", ["c", "d", "e", "f"])
        assert not set(new) & set(lost)
        assert [row[0] >> 36 for row in await center.rows("plain")] == [0, 0, 1, 1, 1, 1]
        assert [row[0] & (2**36 - 1) for row in await center.rows("plain")][2:] == [1, 2, 3, 4]
    assert files.failures() == []


async def test_the_epoch_is_above_both_database_and_head(files: Files, tmp_path: Path) -> None:
    """Reopened twice over the same old database: the head knows of the first time, the database does not."""
    await lose_a_tail(files, tmp_path)
    for expected in (1, 2):
        assert reopen.propose(files.config, files.passphrase).epoch == expected
        sign(files, "anna")
        sign(files, "bernd")
        async with files.open() as center:
            await center.issue("plain", [f"in epoch {expected}"])
        assert files.head_facts()["epoch"] == expected
        shutil.rmtree(files.database.parent)
        shutil.copytree(tmp_path / "old", files.database.parent)


async def test_with_the_head_lost_the_operator_states_an_epoch(files: Files, tmp_path: Path) -> None:
    kept, lost = await lose_a_tail(files, tmp_path)
    files.head.unlink()
    with pytest.raises(VerificationError) as gone:
        async with files.open():
            pass
    assert gone.value.code == "head_missing"
    with pytest.raises(UsageError) as needed:
        reopen.propose(files.config, files.passphrase)
    assert needed.value.code == "epoch_needed"
    with pytest.raises(UsageError) as used:
        reopen.propose(files.config, files.passphrase, 0)
    assert used.value.code == "epoch_used"
    with pytest.raises(TrustCenterError) as much:
        reopen.propose(files.config, files.passphrase, 4096)
    assert much.value.code == "epoch_exhausted"
    proposal = reopen.propose(files.config, files.passphrase, 9)
    assert "log known outside: lost" in proposal.statement
    sign(files, "bernd")
    sign(files, "anna")
    async with files.open() as center:
        (entry,) = await center.entries("instance:service:reopen")
        assert (entry["to_epoch"], entry["head"]) == (9, "lost")
        # Checkpoints that sites hold name the epoch, so the operator can know which were in use.
        assert "/epoch-9/" in await center.context.db.read(center.context.log.checkpoint)
        assert await center.verdicts("plain", [*kept, *lost]) == ["ok", "ok", *["unknown_pseudonym"] * 3]
        assert not set(await center.issue("plain", ["x", "y", "z"])) & set(lost)
    assert files.failures() == []
