"""Continuous backup: what was committed is in it within a second, and nothing else can be made of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from trustcenter import config
from trustcenter.audit import Event
from trustcenter.clock import stamp, utc_now
from trustcenter.errors import ConfigError, TrustCenterError
from trustcenter.instance import setup
from trustcenter.instance.backups import chain as chains
from trustcenter.instance.backups import rebuild, restore, shipping
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance

pytestmark = [pytest.mark.faults, pytest.mark.files]

PASSPHRASE = b"a passphrase for the tests of backups"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("continuous") / "center"
    asyncio.run(setup.create(base, PASSPHRASE, port=1))
    return base


class Backed:
    """An instance in this process, with continuous backups of both databases and the registrar's keys."""

    def __init__(self, base: Path, template: Path, **settings: float) -> None:
        self.dir, self.base = base / "center", base
        shutil.copytree(template, self.dir)
        lines = [f'{part} = "{base / "live" / part}"' for part in ("registrar", "comparator", "registrar_keys")]
        lines += [f"{key} = {value}" for key, value in settings.items()]
        with (self.dir / "config.toml").open("a") as file:
            file.write("\n[backups.continuous]\n" + "\n".join(lines) + "\n")
        self.config = config.load(self.dir)
        self.target = base / "live" / "registrar"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Instance]:
        async with open_instance(self.config, PASSPHRASE) as instance:
            yield instance

    def chains(self) -> list[chains.Chain]:
        return chains.chains(self.target)

    def rebuilt(self, until: str | None = None) -> int:
        """Size of the log in what a restore would give."""
        scratch = self.base / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        made = rebuild.rebuild(self.target, until, scratch)
        restore.test([made.path], PASSPHRASE)
        return made.manifest.log_size

    def refusal(self, until: str | None = None) -> TrustCenterError:
        with pytest.raises(TrustCenterError) as caught:
            self.rebuilt(until)
        return caught.value


@pytest.fixture
def backed(template: Path, tmp_path: Path) -> Backed:
    return Backed(tmp_path, template)


async def note(instance: Instance, count: int = 1, each: int = 1) -> int:
    """Commit entries of the log in `count` transactions; returns the size afterwards."""
    fields = {"who": "service", "request": "", "site": "x" * 200}
    size = 0
    for _ in range(count):
        size = each + await instance.registrar.db.write(
            lambda conn: instance.registrar.log.append_many(conn, [(Event.LIMIT_SET, fields)] * each)
        )
    return size


async def shipped(instance: Instance, room: str = "registrar") -> None:
    """Wait until everything committed so far is in the backup."""
    began = time.monotonic()
    while instance.copies.shippers[room].lag > time.monotonic() - began:
        await asyncio.sleep(0.02)
        assert time.monotonic() - began < 60


async def test_what_was_committed_is_in_the_backup_within_a_second(backed: Backed) -> None:
    async with backed.running() as instance:
        await shipped(instance)
        for _ in range(3):
            size = await note(instance, 5)
            await shipped(instance)
            assert instance.copies.shippers["registrar"].lag < 30
            assert backed.rebuilt() == size
    assert backed.rebuilt() == size + 1  # the stop is an entry of its own


async def test_every_moment_has_its_state(backed: Backed) -> None:
    async with backed.running() as instance:
        await shipped(instance)
        moments = []
        for _ in range(3):
            size = await note(instance)
            await shipped(instance)
            moments.append((stamp(utc_now()), size))
        await note(instance)
        await shipped(instance)
    for moment, size in moments:
        assert backed.rebuilt(moment) == size
    assert backed.refusal("2020-01-01T00:00:00.000000Z").code == "no_base"


async def test_a_chain_goes_on_over_checkpoints_and_stops_and_ends_when_something_else_wrote(backed: Backed) -> None:
    async with backed.running() as instance:
        await shipped(instance)
        for _ in range(4):  # several rounds of the write-ahead log
            await note(instance, 1, 3000)
            await shipped(instance)
    async with backed.running() as instance:
        size = await note(instance)
    assert len(backed.chains()) == 1
    assert backed.rebuilt() == size + 1

    conn = sqlite3.connect(backed.dir / "registrar" / "registrar.db")
    conn.execute("UPDATE audit_head SET micros = micros + 1")
    conn.commit()
    conn.close()
    async with backed.running() as instance:
        await shipped(instance)
    assert len(backed.chains()) == 2
    assert backed.rebuilt() == size + 3


async def test_a_crash_that_lost_the_tail_of_shipping_is_made_good_from_the_log_at_start(
    backed: Backed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with backed.running() as instance:
        await shipped(instance)
        await note(instance)
        await shipped(instance)
        monkeypatch.setattr(shipping.Shipper, "_write_out", lambda self: None)  # the target takes no more
        await asyncio.sleep(2 * shipping.SECONDS)
        size = await note(instance, 3)
        for name in ("registrar.db", "registrar.db-wal"):
            shutil.copy(backed.dir / "registrar" / name, backed.base / name)
    monkeypatch.undo()
    for name in ("registrar.db", "registrar.db-wal"):
        shutil.copy(backed.base / name, backed.dir / "registrar" / name)
    with pytest.raises(TrustCenterError):  # the head knows of the stop: the instance is refused, yet
        async with backed.running():
            pass
    assert backed.rebuilt() == size  # what the log held was shipped before it was folded in
    assert not (backed.dir / "registrar" / "registrar.db-wal").exists()


async def test_damaged_missing_and_exchanged_segments_are_named(backed: Backed) -> None:
    async with backed.running() as instance:
        await shipped(instance)
        for _ in range(5):
            await note(instance)
            await shipped(instance)
    (chain,) = backed.chains()
    numbers = chain.numbers()
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 5
    good = {number: chain.segment(number).read_bytes() for number in numbers}

    def put(number: int, content: bytes | None) -> None:
        chain.segment(number).unlink(missing_ok=True)
        if content is not None:
            chain.segment(number).write_bytes(content)

    cases = {
        "damaged": (3, good[3][:-1] + bytes([good[3][-1] ^ 1]), "backup_damaged"),
        "cut": (3, good[3][:-10], "backup_damaged"),
        "header": (3, good[3].replace(b'"count"', b'"Count"', 1), "backup_damaged"),
        "empty": (3, b"", "backup_damaged"),
        "exchanged": (3, good[4], "backup_damaged"),
        "missing": (3, None, "backup_gap"),
        "last missing": (numbers[-1], None, "backup_gap"),
    }
    for name, (number, content, code) in cases.items():
        put(number, content)
        error = backed.refusal()
        assert error.code == code, name
        assert f"segment {number}" in error.where, name
        put(number, good[number])
    backed.rebuilt()
    head = json.loads(good[3].partition(b"\n")[0])
    put(5, None)
    assert backed.rebuilt(head["time"]) > 0  # a moment before the gap can be had


async def test_old_bases_and_segments_expire(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "_RETRY_SECONDS", 0.1)
    backed = Backed(tmp_path, template, base_hours=0.0005, days=0.00006)  # 1.8 and 5.2 seconds
    async with backed.running() as instance:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (backed.chains() and (backed.chains()[0].numbers(".base") or [0])[0]):
            await note(instance)
            await asyncio.sleep(0.3)
    (chain,) = backed.chains()
    bases = chain.numbers(".base")
    assert bases[0] > 0
    assert not chain.copy(0).exists()
    assert min(chain.numbers()) > bases[0]
    size = backed.rebuilt()
    assert size > 5
    chains.expire(backed.target, utc_now() + timedelta(days=1), 0.00006)
    assert backed.rebuilt() == size


async def test_what_was_deleted_expires_even_if_nothing_happens_afterwards(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "_RETRY_SECONDS", 0.1)
    backed = Backed(tmp_path, template, base_hours=0.0002, days=0.00002)  # 0.7 and 1.7 seconds
    async with backed.running() as instance:
        await shipped(instance)
        size = await note(instance, 3)
        await shipped(instance)
        (chain,) = backed.chains()
        deadline = time.monotonic() + 60
        while chain.numbers() and time.monotonic() < deadline:  # noqa: ASYNC110 - another thread removes them
            await asyncio.sleep(0.1)
        assert chain.numbers() == []
        assert len(chain.numbers(".base")) == 1
        assert backed.rebuilt() == size
    assert backed.rebuilt() == size + 1


async def test_an_exchanged_base_is_named(backed: Backed) -> None:
    async with backed.running() as instance:
        await shipped(instance)
    (chain,) = backed.chains()
    assert backed.rebuilt() > 0
    path = chain.path / "0000000000.base"
    facts = json.loads(path.read_bytes())
    path.write_text(json.dumps({**facts, "sha256": "0" * 64}))
    refusal = backed.refusal()
    assert (refusal.code, refusal.where) == ("backup_damaged", "base 0")


async def test_a_target_that_fails_stops_nothing_and_is_taken_up_again(backed: Backed) -> None:
    async with backed.running() as instance:
        await shipped(instance)
        (chain,) = backed.chains()
        shutil.move(chain.path, backed.base / "away")
        chain.path.write_text("a file in the place of the directory")
        shipper = instance.copies.shippers["registrar"]
        size = await note(instance, 3)
        deadline = time.monotonic() + 30
        while not shipper.trouble.count and time.monotonic() < deadline:  # noqa: ASYNC110 - another thread counts
            await asyncio.sleep(0.05)
        assert shipper.trouble.count
        assert shipper.lag > 0
        assert await note(instance) == size + 1
        chain.path.unlink()
        shutil.move(backed.base / "away", chain.path)
        await shipped(instance)
    assert [one.name for one in backed.chains()] == [chain.name]
    assert backed.rebuilt() == size + 2


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ('registrar = "live"', "backup_inside"),
        ('registrar = "/x/a"\ncomparator = "/x/a"', "backups_together"),
        ('registrar = "/x/a"\nregistrar_keys = "/x/a/keys"', "backups_together"),
        ("days = 0.0", "configuration_error"),
    ],
)
async def test_directories_that_undo_the_separation_are_refused(
    template: Path, tmp_path: Path, lines: str, code: str
) -> None:
    shutil.copytree(template, tmp_path / "center")
    with (tmp_path / "center" / "config.toml").open("a") as file:
        file.write(f"\n[backups.continuous]\n{lines}\n")
    with pytest.raises(ConfigError) as caught:
        async with open_instance(config.load(tmp_path / "center"), PASSPHRASE):
            pass
    assert caught.value.code == code
