"""What root does to an instance that is another account's stays readable to that account."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from conftest_operate import Center

from trustcenter import config
from trustcenter.instance.backups import notes
from trustcenter.instance.rotating import rekey
from trustcenter.owner import give

pytestmark = [
    pytest.mark.files,
    pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files away"),
]
OWNER = (65534, 65533)


def owners(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path.relative_to(folder).as_posix(): path.stat() for path in folder.rglob("*")}
    return {name: (one.st_uid, one.st_gid) for name, one in found.items()}


def test_backup_restore_and_rekey_by_root_leave_the_service_its_files(tmp_path: Path) -> None:
    center = Center(tmp_path)
    secret = tmp_path / "passphrase"  # a file of root's own: those of others are not believed
    secret.write_bytes((center.dir / "passphrase").read_bytes())
    secret.chmod(0o600)
    for path in (center.dir, *center.dir.rglob("*")):
        os.chown(path, *OWNER)
    files = []
    for part in ("database", "keys"):
        (tmp_path / part).mkdir()
        files.append(tmp_path / part / "backup.tc")
        center.cli("backup", center.dir, "--room", "registrar", "--part", part, "-o", files[-1])
    center.cli("restore", *files, center.dir, "--passphrase-file", secret)
    rekey.rekey(config.load(center.dir), secret.read_bytes().strip(), b"another long passphrase")
    (center.dir / "passphrase").write_bytes(b"another long passphrase")
    found = owners(center.dir)
    assert any(name.endswith(".note") for name in found)
    assert {name for name, owner in found.items() if owner != OWNER} == set()
    assert center.doctor()["key stores"]["state"] == "ok"


def test_root_gives_away_nothing_that_a_link_leads_to(tmp_path: Path) -> None:
    """Who has the service's account may put a link to /etc where root will write."""
    base, mine = tmp_path / "center", tmp_path / "mine"
    base.mkdir()
    mine.mkdir()
    os.chown(base, *OWNER)
    link = base / notes.DIRECTORY
    link.symlink_to(mine)
    assert notes.leave(config.Config(base=str(base)), "backup", []) is False
    assert not list(mine.iterdir())
    give(link, base)
    assert (link.lstat().st_uid, mine.stat().st_uid) == (OWNER[0], 0)
