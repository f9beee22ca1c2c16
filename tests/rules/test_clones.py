"""Clones, promoted copies and restores: no string ever names two originals, whatever was copied when.

Every string that any copy ever gave stands in one ledger with its original. A copy that cannot know of the others is
kept apart by nonces, one that could is refused until it was reopened under a new epoch.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from rules_support import FORMAT, Files, Opened

from keys.personal import PersonalKey
from trustcenter.errors import StaleDatabaseError
from trustcenter.instance.backups import reopen
from trustcenter.messages import api

OPTIONS = {
    "plain": {"deletable": True},
    "several": {"multi": True},
    "drawn": {"suite": api.Suite.DRAWN, "format": FORMAT},
}


class Ledger:
    """String → (domain, original), over all copies."""

    def __init__(self) -> None:
        self.names: dict[tuple[str, str], str] = {}
        self.numbers = iter(range(10**9))

    async def era(self, center: Opened, domain: str, count: int) -> list[str]:
        """Pseudonyms of originals that nobody else asks for, and of some that all copies ask for."""
        originals = [f"own-{next(self.numbers)}" for _ in range(count)] + [f"common-{n}" for n in range(5)]
        texts = await center.issue(domain, originals)
        for original, text in zip(originals, texts, strict=True):
            assert self.names.setdefault((domain, text), original) == original, "one string names two originals"
        return texts[:count]


async def found(files: Files) -> None:
    async with files.open() as center:
        for name, options in OPTIONS.items():
            await center.domain(name, **options)
            await center.issue(name, ["before the copy"])


def replace(files: Files, old: Path, *, head: bool) -> None:
    """Put the files of an earlier moment in the place of the present ones."""
    kept = files.head.read_bytes()
    shutil.rmtree(files.dir)
    shutil.copytree(old, files.dir)
    if not head:
        files.head.write_bytes(kept)


def two_people(files: Files) -> None:
    reopen.propose(files.config, files.passphrase)
    for name in ("anna", "bernd"):
        statement = reopen.load(files.config).statement
        reopen.sign(files.config, files.passphrase, name, PersonalKey.load(files.dir / f"{name}.key"), statement)


@pytest.mark.parametrize("running", [False, True], ids=["of a stopped one", "of a running one"])
async def test_two_clones_side_by_side(files: Files, tmp_path: Path, running: bool) -> None:
    await found(files)
    ledger = Ledger()
    async with AsyncExitStack() as stack:
        if running:  # a snapshot of the machine, or a replica that is promoted while the first one goes on
            first = await stack.enter_async_context(files.open())
            await ledger.era(first, "plain", 20)
            clone = files.copy(tmp_path / "clone")
        else:
            clone = files.copy(tmp_path / "clone")
            first = await stack.enter_async_context(files.open())
        second = await stack.enter_async_context(clone.open())
        for domain in OPTIONS:
            mine: list[str] = []
            theirs: list[str] = []
            for _ in range(3):  # in turns and at once
                a, b = await asyncio.gather(ledger.era(first, domain, 150), ledger.era(second, domain, 150))
                mine, theirs = mine + a, theirs + b
            assert set(await first.verdicts(domain, theirs)) == {"unknown_pseudonym"}
            assert set(await second.verdicts(domain, mine)) == {"unknown_pseudonym"}
            assert set(await first.verdicts(domain, mine)) == set(await second.verdicts(domain, theirs)) == {"ok"}
            serials = [{row[0] for row in await center.rows(domain)} for center in (first, second)]
            if not running:
                assert serials[0] & serials[1]  # the same serials were in use: it is the nonces that keep them apart
    assert files.failures() == []
    assert clone.failures() == []
    # The database of one beside the head of the other: the logs went different ways.
    shutil.copy(clone.database, files.database)
    with pytest.raises(StaleDatabaseError):
        async with files.open():
            pass


async def test_a_restore_with_the_outside_head_is_refused_until_reopened(files: Files, tmp_path: Path) -> None:
    await found(files)
    ledger = Ledger()
    shutil.copytree(files.dir, tmp_path / "old")
    lost: dict[str, list[str]] = {}
    async with files.open() as center:
        for domain in OPTIONS:
            lost[domain] = await ledger.era(center, domain, 100)
    replace(files, tmp_path / "old", head=False)
    with pytest.raises(StaleDatabaseError):
        async with files.open():
            pass
    two_people(files)
    async with files.open() as center:
        for domain in OPTIONS:
            assert set(await center.verdicts(domain, lost[domain])) == {"unknown_pseudonym"}
            new = await ledger.era(center, domain, 200)
            assert not set(new) & set(lost[domain])
            assert set(await center.verdicts(domain, lost[domain])) == {"unknown_pseudonym"}
        epochs = {row[0] >> 36 for row in await center.rows("plain")}
        assert epochs == {0, 1}
    assert files.failures() == []


async def test_a_restore_of_everything_goes_unnoticed_and_still_names_nobody_twice(
    files: Files, tmp_path: Path
) -> None:
    await found(files)
    ledger = Ledger()
    shutil.copytree(files.dir, tmp_path / "old")
    lost: list[str] = []
    for _ in range(4):  # the same serials are used by four generations that know nothing of each other
        async with files.open() as center:
            assert not lost or set(await center.verdicts("plain", lost)) == {"unknown_pseudonym"}
            lost += await ledger.era(center, "plain", 100)
            assert min(row[0] for row in (await center.rows("plain"))[1:]) == 2
        replace(files, tmp_path / "old", head=True)
    assert len(set(lost)) == 400
    assert files.failures() == []


async def test_any_walk_through_copies_and_restores(files: Files, tmp_path: Path) -> None:
    """Issue, copy, restore with and without the head, reopen, rotate: in an order that nobody thought of."""
    await found(files)
    seed = random.randrange(2**32)
    walk = random.Random(seed)
    print(f"seed {seed}")
    ledger = Ledger()
    copies = [files]
    moments: list[tuple[Files, Path]] = []
    for step in range(18):
        at = walk.choice(copies)
        kind = walk.choice(("issue", "issue", "issue", "moment", "clone", "restore", "restore all", "rotate"))
        if kind == "moment":
            shutil.copytree(at.dir, tmp_path / f"moment-{step}")
            moments.append((at, tmp_path / f"moment-{step}"))
        elif kind == "clone" and len(copies) < 4:
            copies.append(at.copy(tmp_path / f"copy-{step}"))
        elif kind.startswith("restore") and moments:
            at, old = walk.choice(moments)
            replace(at, old, head=kind == "restore all")
            try:
                async with at.open():
                    pass
            except StaleDatabaseError:
                two_people(at)
        else:
            async with at.open() as center:
                if kind == "rotate":
                    await center.rotate("plain")
                mine = await ledger.era(center, walk.choice(tuple(OPTIONS)), walk.randrange(1, 60))
                assert len(set(mine)) == len(mine)
    for each in copies:
        assert each.failures() == []
        async with each.open() as center:
            for domain in OPTIONS:
                texts = [text for d, text in ledger.names if d == domain]
                answer = await center.translate(domain, texts)
                for text, now in zip(texts, answer.pseudonyms, strict=True):
                    # Whatever resolves here is the original's own: its pseudonym here and now.
                    if now is not None:
                        assert await center.issue(domain, [ledger.names[domain, text]]) == [now]
