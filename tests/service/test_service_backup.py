"""Backups of a running service, restores, fsck, and reopening: no string ever names two originals."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import tarfile
import threading
import time
from pathlib import Path

import pytest
from conftest_operate import Center, approvers, people_of

from trustcenter import config
from trustcenter.errors import VerificationError
from trustcenter.instance import opening
from trustcenter.instance.backups import restore
from trustcenter.instance.backups.backup import take
from trustcenter.store import Database

pytestmark = pytest.mark.files

PARTS = [(room, part) for room in ("registrar", "comparator") for part in ("database", "keys")]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Center:
    made = Center(tmp_path_factory.mktemp("template"))
    with made.running():
        made.found()
        approvers(made)
        made.pseudonyms(["a", "b", "c"])
    return made


@pytest.fixture
def center(template: Center, tmp_path: Path) -> Center:
    """A copy of its own of a stopped instance with one site, one domain, two approvers and an auditor."""
    base = tmp_path / "copy"
    shutil.copytree(template.base, base)
    return Center(base, base / "center")


def backup(center: Center, room: str, part: str, name: str = "one.tc") -> Path:
    folder = center.base / "backups" / f"{room}-{part}"
    folder.mkdir(parents=True, exist_ok=True)
    take(config.load(center.dir), room, part, folder / name)
    return folder / name


def all_four(center: Center, name: str = "one.tc") -> list[Path]:
    return [backup(center, room, part, name) for room, part in PARTS]


# --- backup and restore --------------------------------------------------------------------------------


def test_a_backup_under_load_restores_into_a_new_directory_and_answers_the_same(center: Center) -> None:
    with center.running():
        before = center.pseudonyms([f"p{n}" for n in range(500)])
        stop = threading.Event()

        def load() -> None:
            number = 0
            while not stop.is_set():
                center.pseudonyms([f"load-{number}-{n}" for n in range(50)])
                number += 1

        worker = threading.Thread(target=load)
        worker.start()
        time.sleep(0.3)
        (center.base / "a").mkdir()
        files = [center.base / "a" / f"{room}-{part}.tc" for room, part in PARTS]
        for (room, part), path in zip(PARTS, files, strict=True):
            center.cli("backup", center.dir, "--room", room, "--part", part, "-o", path, "--i-know")
        stop.set()
        worker.join()
        tested = json.loads(center.cli("restore", "--test", *files, *center.secret, "--json").stdout)
        assert [(m["room"], m["part"]) for m in tested] == PARTS
        assert len({m["instance"] for m in tested}) == 1
    target = center.base / "new"
    done = center.cli("restore", *files, target, *center.secret)
    assert "reopen" not in done.stderr
    assert "renew-certificate" in done.stderr  # the certificate is in no backup
    shutil.copytree(center.dir / "tls", target / "tls")
    shutil.copy(center.dir / "passphrase", target)
    copy = center.at(target)
    assert copy.fsck()[0] == 0
    assert copy.doctor()["registrar database"]["state"] == "ok"  # whole, though no service has opened it yet
    with copy.running():
        assert copy.pseudonyms(list(before)) == before


def test_parts_never_share_a_directory_unless_told(center: Center) -> None:
    first = backup(center, "registrar", "keys")
    second = first.with_name("second.tc")
    refused = center.cli(
        "backup", center.dir, "--room", "registrar", "--part", "database", "-o", second, expect=4
    )  # fmt: skip
    assert "backups_together" in refused.stderr
    assert [path.name for path in first.parent.iterdir()] == ["one.tc"]
    center.cli("backup", center.dir, "--room", "registrar", "--part", "database", "-o", second, "--i-know")
    inside = center.dir / "registrar" / "mine.tc"
    refused = center.cli("backup", center.dir, "--room", "registrar", "--part", "database", "-o", inside, expect=4)
    assert "backup_inside" in refused.stderr


def test_a_backup_is_private_and_never_overwritten(center: Center) -> None:
    path = backup(center, "registrar", "database")
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    again = center.cli("backup", center.dir, "--room", "registrar", "--part", "database", "-o", path, expect=1)
    assert "output_exists" in again.stderr
    assert path.read_bytes() == content


def rebuild(path: Path, change) -> bytes:
    """A backup with members changed by `change(name, content) -> content | None`."""
    out = io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as new:
        for member in old.getmembers():
            source = old.extractfile(member)
            assert source is not None
            content = change(member.name, source.read())
            if content is not None:
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
    return out.getvalue()


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("part", ["database", "keys"])
def test_a_damaged_backup_is_refused_and_nothing_is_exchanged(center: Center, part: str) -> None:
    path = backup(center, "registrar", part)
    good = path.read_bytes()
    name = {"database": "registrar.db", "keys": "registrar.keys"}[part]

    def longer_log(member: str, content: bytes) -> bytes:
        return content.replace(b'"log_size": ', b'"log_size": 1') if member == "manifest.json" else content

    broken = {
        "cut": good[: len(good) // 2],
        "empty": b"",
        "other": b"this is no backup" * 100,
        "flipped": rebuild(path, lambda n, c: flip(c, len(c) // 2) if n == name else c),
        "shorter": rebuild(path, lambda n, c: c[:-1] if n == name else c),
        "missing": rebuild(path, lambda n, c: None if n == name else c),
        "manifest": rebuild(path, lambda n, c: flip(c, 5) if n == "manifest.json" else c),
        "log": rebuild(path, longer_log),
    }
    secret = (center.dir / "passphrase").read_bytes().strip()
    state = {p: p.read_bytes() for p in sorted(center.dir.rglob("*")) if p.is_file()}
    for what, content in broken.items():
        path.write_bytes(content)
        for attempt in (
            lambda: restore.test([path], secret),
            lambda: restore.install([path], center.dir, secret),
        ):
            with pytest.raises(VerificationError) as caught:
                attempt()
            assert caught.value.code == "backup_damaged", what
    path.write_bytes(broken["flipped"])
    assert "backup_damaged" in center.cli("restore", path, center.dir, expect=3).stderr
    assert {p: p.read_bytes() for p in sorted(center.dir.rglob("*")) if p.is_file() if p in state} == state
    assert not list(center.dir.rglob("*.restore"))


def test_a_keys_backup_is_tested_with_the_passphrase(center: Center) -> None:
    path = backup(center, "registrar", "keys")
    wrong = center.base / "wrong"
    wrong.write_text("not the passphrase at all\n")
    wrong.chmod(0o600)
    assert "wrong_passphrase" in center.cli(
        "restore", "--test", path, "--passphrase-file", wrong, expect=3
    ).stderr  # fmt: skip
    assert "not opened" in center.cli("restore", "--test", path).stderr


def test_a_running_instance_and_a_foreign_backup_are_refused(center: Center, tmp_path: Path) -> None:
    mine = backup(center, "registrar", "database")
    with center.running():
        assert "already_running" in center.cli("restore", mine, center.dir, expect=1).stderr
    (tmp_path / "second").mkdir()
    other = Center(tmp_path / "second")
    foreign = backup(other, "comparator", "database")
    for files in ([foreign], [mine, foreign]):
        assert "backup_foreign" in center.cli("restore", *files, center.dir, expect=3).stderr
    assert center.fsck()[0] == 0


def test_a_restore_over_a_crashed_instance_does_not_meet_its_write_ahead_log(center: Center) -> None:
    path = backup(center, "registrar", "database")
    with center.running() as process:
        center.pseudonyms(["after the backup"])
        process.kill()
        process.wait(60)
    assert (center.dir / "registrar" / "registrar.db-wal").stat().st_size > 0
    done = center.cli("restore", path, center.dir)
    assert "reopen" in done.stderr
    code, checks = center.fsck()
    assert code == 3
    assert [c["name"] for c in checks if c["state"] == "fail"] == ["registrar log"]
    kept = sqlite3.connect(center.dir / "registrar" / "registrar.db.replaced")
    assert kept.execute("SELECT count(*) FROM entry").fetchone() == (4,), "what was replaced is kept whole"
    kept.close()


def test_the_head_never_goes_back(center: Center) -> None:
    old = backup(center, "registrar", "keys")
    database = backup(center, "registrar", "database")
    with center.running():
        center.pseudonyms(["newer"])
    newer = (center.dir / "registrar-keys" / "head.json").read_bytes()
    done = center.cli("restore", old, database, center.dir)
    assert "newer" in done.stderr
    assert (center.dir / "registrar-keys" / "head.json").read_bytes() == newer
    assert "stale_database" in center.refusal()


def test_an_interrupted_restore_is_not_served(center: Center) -> None:
    path = backup(center, "comparator", "database")
    (center.dir / "restore.pending").touch()
    assert "restore_interrupted" in center.refusal(1)
    center.cli("restore", path, center.dir)
    with center.running():
        pass


def test_a_missing_database_is_not_replaced_by_an_empty_one(center: Center) -> None:
    path = center.dir / "registrar" / "registrar.db"
    path.rename(path.with_name("away"))
    assert "database_missing" in center.refusal(1)
    assert not path.exists()


def test_an_empty_database_is_not_taken_for_a_new_one(center: Center) -> None:
    """A file that lost its content, or that an earlier start has given the tables of a room and nothing else."""
    path = center.dir / "registrar" / "registrar.db"
    path.write_bytes(b"")
    assert "[database_empty]" in center.refusal(1)
    assert path.read_bytes() == b""
    assert "empty file" in center.doctor()["registrar database"]["text"]
    path.unlink()
    Database.open_sync(path, opening.REGISTRAR_MIGRATIONS, application="registrar").close_sync()
    assert "[database_empty]" in center.refusal(3)


def test_doctor_knows_the_age_of_backups(center: Center) -> None:
    path = center.dir / "config.toml"
    assert "backups" not in center.doctor()  # of an instance for trying out
    whole = path.read_text()
    path.write_text(whole.replace('passphrase = "passphrase"\n', ""))
    assert center.doctor()["backups"]["state"] == "warn"
    path.write_text(whole)
    path.write_text(path.read_text() + '\n[backups]\nmanifests = "manifests"\n')
    assert center.doctor()["backups"]["state"] == "warn"
    all_four(center)
    assert center.doctor()["backups"]["state"] == "ok"
    path = center.dir / "manifests" / "registrar-database.json"
    path.write_text(path.read_text().replace('"time":"20', '"time":"19'))
    assert center.doctor()["backups"]["state"] == "warn"
    key_store = center.dir / "comparator-keys" / "comparator.keys"
    key_store.chmod(0o640)
    assert center.doctor()["key store files"]["state"] == "fail"


# --- fsck ----------------------------------------------------------------------------------------------


def test_fsck_beside_a_running_service(center: Center) -> None:
    with center.running():
        center.pseudonyms([f"x{n}" for n in range(100)])
        code, checks = center.fsck()
        assert (code, [c for c in checks if c["state"] != "ok"]) == (0, [])


DAMAGE = {
    "a row that the log does not know": (
        "registrar",
        ("INSERT INTO entry (domain, serial, nonce, salt, idx, tag, sealed, status)"
        " SELECT domain, max(serial) + 1, x'0102030405', salt, 0, randomblob(16), sealed, 0 FROM entry"),
        "counters",
    ),
    "a row that is gone": ("registrar", "DELETE FROM entry WHERE serial = 2", "rows and log"),
    "a counter set back": ("registrar", "UPDATE counter SET next = 1", "counters"),
    "a counter beyond its reservation": ("registrar", "UPDATE counter SET next = next + 10000000", "counters"),
    "an edited key state": ("registrar", "UPDATE key_version SET since = '2020'", "key states"),
    "an edited epoch": ("registrar", "UPDATE instance SET epoch = 1", "head"),
    "an edited log": (
        "registrar",
        ("DROP TRIGGER audit_entry_fixed;"
        "UPDATE audit_entry SET leaf = cast(replace(leaf, 'n', 'm') AS BLOB) WHERE seq = 3"),
        "registrar log",
    ),
    "a shortened log": (
        "registrar",
        "DROP TRIGGER audit_entry_kept; DELETE FROM audit_entry WHERE seq = (SELECT max(seq) FROM audit_entry)",
        "registrar log",
    ),
    "a record without an entry": (
        "registrar", "INSERT INTO record (domain, serial, state) VALUES (1, 999, 'unlinked')", "records",
    ),
    "a ref without a record": (
        "registrar", "INSERT INTO record_refs VALUES (1, 999, 1, randomblob(240))", "records",
    ),
    "a comparator's log": (
        "comparator", "DROP TRIGGER audit_entry_kept; DELETE FROM audit_entry WHERE seq = 0", "comparator log",
    ),
    "another instance's comparator": ("comparator", "UPDATE instance SET instance = hex(randomblob(16))",
                                      "comparator instance"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE, ids=lambda what: what.replace(" ", "-"))
def test_fsck_names_what_does_not_fit(center: Center, what: str) -> None:
    room, script, check = DAMAGE[what]
    conn = sqlite3.connect(center.dir / room / f"{room}.db")
    conn.executescript(script)
    conn.close()
    code, checks = center.fsck()
    assert code == 3
    assert check in [c["name"] for c in checks if c["state"] == "fail"]


def test_the_command_names_the_first_finding(center: Center) -> None:
    conn = sqlite3.connect(center.dir / "registrar" / "registrar.db")
    conn.executescript("DELETE FROM entry WHERE serial = 2")
    conn.close()
    done = center.cli("fsck", center.dir, "--json", expect=3)
    assert "(rows and log) [fsck_failed]" in done.stderr
    assert [c["state"] for c in json.loads(done.stdout)["checks"]].count("fail") == 2  # and the tag index


# --- reopen --------------------------------------------------------------------------------------------


def sign(center: Center, people: dict[str, Path], name: str, expect: int = 0):
    return center.cli("reopen", center.dir, "--sign", name, "--key", people[name], "--yes", expect=expect)


def era(center: Center, originals: list[str], names: dict[str, str]) -> dict[str, str]:
    """Pseudonyms of `originals`; none of them may ever have named another original."""
    got = center.pseudonyms(originals)
    for original, string in got.items():
        assert names.setdefault(string, original) == original, "one string names two originals"
    return got


@pytest.mark.faults
@pytest.mark.parametrize("head", ["kept", "lost", "restored with the database"])
def test_a_lost_tail_is_reopened_by_two_people(center: Center, head: str) -> None:
    names: dict[str, str] = {}
    with center.running():
        people = people_of(center)
        early = era(center, [f"early-{n}" for n in range(200)], names)
    database, keys = backup(center, "registrar", "database"), backup(center, "registrar", "keys")
    with center.running():
        lost = era(center, [f"lost-{n}" for n in range(300)], names)
    head_file = center.dir / "registrar-keys" / "head.json"
    if head == "restored with the database":
        head_file.unlink()
        center.cli("restore", database, keys, center.dir)
    else:
        assert "reopen" in center.cli("restore", database, center.dir).stderr
        assert "stale_database" in center.refusal()
    extra: tuple[str, ...] = ()
    if head == "lost":
        head_file.unlink()
        assert "head_missing" in center.refusal()
        assert "epoch_needed" in center.cli("reopen", center.dir, "--propose", expect=1).stderr
        extra = ("--epoch", "7")
    if head == "restored with the database":
        # Nothing can be noticed here; the nonces alone keep strings apart.
        with center.running():
            era(center, [f"unnoticed-{n}" for n in range(300)], names)
            assert set(center.translate(list(lost.values()))) == {None}
    statement = center.cli("reopen", center.dir, "--propose", *extra).stdout
    assert ("lost" in statement) == (head == "lost")
    assert "another approver" in sign(center, people, "anna").stderr
    assert "signed_already" in sign(center, people, "anna", expect=4).stderr
    if head == "kept":
        assert "stale_database" in center.refusal()  # one signature changes nothing
    done = sign(center, people, "bernd")
    assert "fingerprint" in done.stderr
    assert json.loads(head_file.read_bytes().split(b"\n")[0])["epoch"] == (7 if head == "lost" else 1)
    with center.running():
        assert center.pseudonyms(list(early)) == early
        assert center.translate(list(early.values())) == list(early.values())
        assert set(center.translate(list(lost.values()))) == {None}
        # The same originals and others: all new, none of the lost ones returns.
        era(center, [f"late-{n}" for n in range(300)], names)
        again = center.pseudonyms(list(lost))
        assert not set(again.values()) & set(names)
        bundle = center.base / "after.bundle"
        center.cli("audit", "export", "registrar", "-o", bundle, "--connect", center.auditor)
    verified = json.loads(center.cli("audit", "verify", bundle, "--json").stdout)[0]
    assert f"/epoch-{7 if head == 'lost' else 1}/registrar" in verified["origin"]
    gap = [json.loads(line)["leaf"] for line in bundle.read_bytes().splitlines() if b":reopen" in line]
    assert len(gap) == 1
    assert [a["name"] for a in gap[0]["data"]["approvals"]] == ["anna", "bernd"]
    assert gap[0]["data"]["head"] == ("lost" if head == "lost" else "known")
    assert center.fsck()[0] == 0
    assert center.doctor()["outside head"]["state"] == "ok"


def test_what_was_signed_must_still_be_so(center: Center, tmp_path: Path) -> None:
    people = people_of(center)
    center.cli("reopen", center.dir, "--propose")
    sign(center, people, "anna")
    with center.running():
        center.pseudonyms(["something new"])
    assert "proposal_stale" in sign(center, people, "bernd", expect=1).stderr
    center.cli("reopen", center.dir, "--propose")
    path = center.dir / "reopen.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "epoch": 9}))
    assert "proposal_stale" in sign(center, people, "anna", expect=1).stderr
    path.write_text(json.dumps({**raw, "signatures": {"anna": "A" * 86}}))
    assert "bad_signature" in sign(center, people, "bernd", expect=3).stderr
    path.write_text(json.dumps(raw))
    # Nobody on file, and a name with somebody else's key.
    people["anna"], people["dora"] = people["bernd"], people["anna"]
    assert "not_an_approver" in sign(center, people, "dora", expect=4).stderr
    assert "not_an_approver" in sign(center, people, "anna", expect=4).stderr
    with center.running():
        assert "already_running" in center.cli("reopen", center.dir, "--propose", expect=1).stderr


def test_two_clones_side_by_side_never_give_one_string_to_two_originals(center: Center) -> None:
    names: dict[str, str] = {}
    with center.running():
        common = era(center, [f"common-{n}" for n in range(100)], names)
    shutil.copytree(center.dir, center.base / "clone")
    clone = center.at(center.base / "clone")
    with center.running(), clone.running():
        mine = era(center, [f"mine-{n}" for n in range(2000)], names)
        theirs = era(clone, [f"theirs-{n}" for n in range(2000)], names)
        assert set(center.translate(list(theirs.values()))) == {None}
        assert set(clone.translate(list(mine.values()))) == {None}
        assert clone.translate(list(common.values())) == list(common.values())
    # The clone's database beside the first one's head: refused.
    shutil.copy(clone.dir / "registrar" / "registrar.db", center.dir / "registrar" / "registrar.db")
    assert "stale_database" in center.refusal()
