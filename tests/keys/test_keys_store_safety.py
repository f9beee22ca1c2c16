"""The key store file under two writers, full disks and sudden death."""

import errno
import os
import random
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from keys import _files, kdf
from keys._guard import Secret
from keys.errors import KeyStoreConflictError, KeyStoreDamagedError, KeyStoreUnavailableError
from keys.ids import INSTANCE, KeyId, Purpose
from keys.kdf import CHEAP_FOR_TESTS
from keys.store import KeyStore

PASSPHRASE = b"correct horse battery staple"


def _audit(version):
    return KeyId(INSTANCE, Purpose.AUDIT, version)


def test_a_second_writer_is_refused_and_loses_nothing(store, store_path):
    other = KeyStore.open(store_path, PASSPHRASE)
    store.add([_audit(2)])
    with pytest.raises(KeyStoreConflictError):
        other.add([_audit(3)])
    assert not other.has(_audit(3))
    assert KeyStore.open(store_path, PASSPHRASE).entries() == store.entries()
    store.add([_audit(3)])


def test_two_branches_with_one_generation_are_told_apart(store, store_path, tmp_path):
    backup = shutil.copy(store_path, tmp_path / "backup")
    store.add([_audit(2)])
    shutil.copy(backup, store_path)  # somebody restores the backup beside a running process,
    KeyStore.open(store_path, PASSPHRASE).add([_audit(3)])  # and another one saves: generations are equal
    with pytest.raises(KeyStoreConflictError):
        store.add([_audit(4)])
    assert KeyStore.open(store_path, PASSPHRASE).has(_audit(3))


def test_a_vanished_file_is_not_written_anew(store, store_path):
    store_path.unlink()
    with pytest.raises(KeyStoreUnavailableError):
        store.add([_audit(2)])
    assert not store_path.exists()


def test_a_held_lock_is_reported(store, store_path, monkeypatch):
    monkeypatch.setattr(_files, "LOCK_WAIT_SECONDS", 0.05)
    with _files.locked(store_path), pytest.raises(KeyStoreUnavailableError):
        store.add([_audit(2)])
    store.add([_audit(2)])


@pytest.mark.parametrize("nth", range(1, 4))
@pytest.mark.parametrize("call", ["fsync", "open", "fchmod"])
def test_a_failing_disk_leaves_the_old_file_or_the_new_one(store, store_path, monkeypatch, call, nth):
    """The nth system call of a save fails; the file always opens, and the object never runs ahead of it."""
    before = store.entries()
    real, count = getattr(os, call), 0

    def failing(*args, **kwargs):
        nonlocal count
        count += 1
        if count == nth:
            raise OSError(errno.EIO, "injected")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, failing)
    failed = False
    try:
        store.add([_audit(2)])
    except KeyStoreUnavailableError:
        failed = True
    monkeypatch.undo()
    on_disk = KeyStore.open(store_path, PASSPHRASE)
    if failed:
        assert store.entries() == before
        assert not store.has(_audit(2))
        if on_disk.has(_audit(2)):  # failed after the rename: the process must load it again
            with pytest.raises(KeyStoreConflictError):
                store.add([_audit(2)])
        else:
            store.add([_audit(2)])
    else:
        assert count < nth
        assert on_disk.has(_audit(2))
    assert [p.name for p in store_path.parent.iterdir() if p.name.endswith(".tmp")] == []


def test_a_failing_rename_leaves_the_old_file(store, store_path, monkeypatch):
    file = store_path.read_bytes()

    def failing(self, target):
        raise OSError(errno.ENOSPC, "injected")

    monkeypatch.setattr("pathlib.Path.replace", failing)
    with pytest.raises(KeyStoreUnavailableError):
        store.add([_audit(2)])
    assert store_path.read_bytes() == file
    assert sorted(p.name for p in store_path.parent.iterdir()) == [store_path.name, store_path.name + ".lock"]


def test_file_systems_without_hard_links_still_never_overwrite(tmp_path, monkeypatch):
    def no_links(source, target):
        raise OSError(errno.EPERM, "injected")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "keys"
    KeyStore.create(path, PASSPHRASE, kdf=CHEAP_FOR_TESTS).add([_audit(1)])
    assert KeyStore.open(path, PASSPHRASE).has(_audit(1))
    taken = tmp_path / "taken"
    taken.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        _files.create(taken, Secret(b"new"))
    assert taken.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["keys", "keys.lock", "taken"]


def test_a_disk_that_lies_is_caught_by_reading_back(store, store_path, monkeypatch):
    real = _files.replace

    def lying(path, data):
        file = data.reveal()
        real(path, Secret(file[:-1] + bytes([file[-1] ^ 1])))

    monkeypatch.setattr(_files, "replace", lying)
    with pytest.raises(KeyStoreDamagedError):
        store.add([_audit(2)])
    assert not store.has(_audit(2))


def test_a_destruction_that_did_not_reach_the_disk_is_caught(store, store_path, monkeypatch):
    """The old file opens and has the same check values: only its bytes tell."""
    monkeypatch.setattr(_files, "replace", lambda path, data: None)
    with pytest.raises(KeyStoreDamagedError):
        store.destroy([_audit(1)])
    assert store.has(_audit(1))


@pytest.mark.parametrize("create", [True, False])
def test_content_is_durable_before_its_name_and_the_name_before_return(tmp_path, monkeypatch, create):
    """A power failure cannot be played here, the order of the calls that survive one can."""
    path, events = tmp_path / "file", []
    real_sync, real_link, real_replace = os.fsync, os.link, Path.replace

    def sync(descriptor):
        events.append("sync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        real_sync(descriptor)

    def link(source, target):
        events.append("name")
        real_link(source, target)

    def replace(self, target):
        events.append("name")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(Path, "replace", replace)
    (_files.create if create else _files.replace)(path, Secret(b"content"))
    assert events == ["sync file", "name", "sync directory"]
    assert path.read_bytes() == b"content"


def test_left_over_files_are_removed_by_the_next_save_and_others_stay(store, store_path):
    leftover = store_path.with_name(f".{store_path.name}.{secrets.token_hex(8)}.tmp")
    neighbour = store_path.with_name(f".{store_path.name}.notes.tmp")
    for path in (leftover, neighbour):
        path.write_bytes(b"x")
    store.add([_audit(2)])
    assert not leftover.exists()
    assert neighbour.exists()


WRITER = """
import sys
from pathlib import Path
from keys.ids import INSTANCE, KeyId, Purpose
from keys.store import KeyStore
store = KeyStore.open(Path(sys.argv[1]), b"correct horse battery staple")
version = max(e.id.version for e in store.entries())
print("ready", flush=True)
while True:
    version += 1
    store.add([KeyId(INSTANCE, Purpose.AUDIT, version)])
    print(version, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_acknowledged(store_path):
    KeyStore.create(store_path, PASSPHRASE, kdf=CHEAP_FOR_TESTS).add([_audit(1)])
    instants = random.Random(20261124)  # when to kill; the order of system calls does the rest
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(store_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(instants.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in process.stdout.read().split("\n") if line]
        process.wait()
        process.stdout.close()
        store = KeyStore.open(store_path, PASSPHRASE)
        assert all(store.has(_audit(version)) for version in acknowledged)
        # The one after the last acknowledged may or may not be there; nothing else.
        versions = [e.id.version for e in store.entries()]
        assert versions == list(range(1, len(versions) + 1))
        assert store.generation == len(versions) + 1
    store.add([_audit(len(versions) + 1)])
    assert not list(store_path.parent.glob(".*.tmp"))


@pytest.mark.parametrize("shared", [True, False])
def test_a_process_goes_on_after_rekey_as_soon_as_it_can_read_the_new_passphrase(store, store_path, shared):
    """With several processes on one store nothing is done with keys that others may have changed meanwhile."""
    written = [PASSPHRASE]
    running = KeyStore.open(store_path, lambda: written[0], shared=shared)
    store.change_passphrase(b"another good passphrase", kdf=CHEAP_FOR_TESTS)
    with pytest.raises(KeyStoreConflictError):
        running.add([_audit(2)])
    if shared:
        with pytest.raises(KeyStoreConflictError):
            running.has(_audit(1))
    else:
        assert running.public_key(INSTANCE, Purpose.AUDIT, 1) == store.public_key(INSTANCE, Purpose.AUDIT, 1)
    written[0] = b"another good passphrase"
    running.add([_audit(2)])
    assert KeyStore.open(store_path, written[0]).entries() == running.entries()


def test_a_passphrase_that_does_not_open_is_not_tried_again(store, store_path, monkeypatch):
    """Or every request would cost an Argon2id."""
    running = KeyStore.open(store_path, lambda: PASSPHRASE, shared=True)
    store.change_passphrase(b"another good passphrase", kdf=CHEAP_FOR_TESTS)
    derived = []
    real = kdf.derive
    monkeypatch.setattr(kdf, "derive", lambda *args: derived.append(1) or real(*args))
    for _ in range(5):
        with pytest.raises(KeyStoreConflictError):
            running.has(_audit(1))
    assert len(derived) == 1
