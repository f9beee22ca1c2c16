"""What was deleted after a restored moment is deleted again before the instance serves; restores are in the log."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest_operate import Center, approvers, people_of

from trustcenter import config
from trustcenter.errors import TrustCenterError
from trustcenter.instance.backups import replaying
from trustcenter.instance.backups.backup import take

pytestmark = [pytest.mark.faults, pytest.mark.files]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A backup, then deletions, then the newest log in every form it can have."""
    center = Center(tmp_path_factory.mktemp("replay"))
    with center.running():
        center.found()
        approvers(center)
        for name in ("forget",):
            center.cli("domain", "create", name, "--site", "north", "--deletable", *center.operator)
        kept = center.pseudonyms(["a", "b", "c", "d"])
        gone = {
            o: str(p)
            for o, p in zip(
                ("x", "y", "z"),
                center.post("/v1/domains/forget/pseudonyms", {"originals": ["x", "y", "z"]})["pseudonyms"],
                strict=True,
            )
        }
        backup = center.base / "old.tc"
        center.cli("backup", center.dir, "--room", "registrar", "--part", "database", "-o", backup)
        center.post("/v1/domains/forget/delete", {"pseudonyms": [gone["x"]]})
        center.post("/v1/domains/north/anonymise", {"originals": ["a", "b"]})
        center.post("/v1/domains/forget/pseudonyms", {"originals": ["later"]})
        center.post("/v1/domains/forget/delete", {"originals": ["later"]})
        center.cli("keys", "rotate", "--room", "registrar", "--yes", *center.operator)
        bundle = center.base / "log.ndjson"
        center.cli("audit", "export", "registrar", "-o", bundle, "--connect", center.auditor)
        chosen = ("--event", "site:pseudonym:delete", "-o", center.base / "chosen.ndjson")
        center.cli("audit", "export", "registrar", *chosen, "--connect", center.auditor)
    newer = center.base / "newer.tc"
    take(config.load(center.dir), "registrar", "database", newer)
    shutil.copy(center.dir / "registrar" / "registrar.db", center.base / "newer.db")
    return {"center": center, "kept": kept, "gone": gone, "backup": backup, "bundle": bundle, "newer": newer}


def events(center: Center) -> list[dict[str, Any]]:
    target = center.base / "export.ndjson"
    target.unlink(missing_ok=True)
    center.cli("audit", "export", "registrar", "-o", target, "--connect", center.auditor)
    return [json.loads(line)["leaf"] for line in target.read_bytes().splitlines() if b'"leaf"' in line]


def copy_of(story: dict[str, Any], tmp_path: Path) -> Center:
    base = tmp_path / "copy"
    shutil.copytree(story["center"].base, base)
    return Center(base, base / "center")


@pytest.mark.parametrize("source", ["log.ndjson", "newer.db", "newer.tc"])
def test_every_form_of_the_newer_log_tells_the_same(story: dict[str, Any], tmp_path: Path, source: str) -> None:
    center = copy_of(story, tmp_path)
    center.cli("restore", center.base / "old.tc", center.dir)
    done = center.cli("restore", "--replay", center.base / source, center.dir)
    assert "removed 4 pseudonyms" in " ".join(done.stderr.split())
    replay = replaying.pending(config.load(center.dir))
    assert replay is not None
    assert [(one.event.split(":")[2], one.domain, len(one.serials)) for one in replay.removals] == [
        ("delete", "forget", 1),
        ("anonymise", "north", 2),
        ("delete", "forget", 1),
    ]


def test_the_newer_log_was_handed_over_to_another_key(story: dict[str, Any]) -> None:
    """Every test here replays a log whose audit key was rotated after the backup."""
    header = json.loads(story["bundle"].read_bytes().split(b"\n", 1)[0])
    assert (header["format"], len(header["handovers"])) == ("trustcenter/audit-bundle/2", 1)


def test_deletions_are_replayed_before_a_reopened_instance_serves(story: dict[str, Any], tmp_path: Path) -> None:
    center = copy_of(story, tmp_path)
    done = center.cli("restore", center.base / "old.tc", "--replay", center.base / "log.ndjson", center.dir)
    assert "older than the head" in done.stderr
    assert "stale_database" in center.refusal()
    center.cli("reopen", center.dir, "--propose")
    for name, key in people_of(center).items():
        center.cli("reopen", center.dir, "--sign", name, "--key", key, "--yes")
    with center.running():
        strings = list(story["gone"].values())
        answer = center.post("/v1/domains/forget/translate", {"pseudonyms": strings})["pseudonyms"]
        assert answer == [None, *strings[1:]]
        again = center.pseudonyms(["a", "b", "c", "d"])
        assert {o for o in again if again[o] == story["kept"][o]} == {"c", "d"}
        log = events(center)
    (entry,) = [one for one in log if one["event"] == "instance:service:replay"]
    assert (entry["data"]["entries"], entry["data"]["rows"]) == (3, 3)
    assert not (center.dir / replaying.NAME).exists()
    (restored,) = [one for one in log if one["event"] == "instance:service:restore"]
    assert [(part["room"], part["part"]) for part in restored["data"]["parts"]] == [("registrar", "database")]
    assert restored["data"]["missing"] > 0
    assert center.fsck()[0] == 0
    with center.running():
        assert sum(one["event"] == "instance:service:replay" for one in events(center)) == 1


def test_a_backup_is_in_the_log_with_who_made_it(story: dict[str, Any], tmp_path: Path) -> None:
    center = copy_of(story, tmp_path)
    with center.running():
        noted = [one["data"] for one in events(center) if one["event"] == "instance:service:backup"]
    assert [(part["room"], part["part"]) for part in noted[0]["parts"]] == [("registrar", "database")]
    assert noted[0]["by"]
    assert not list((center.dir / "notes").iterdir())


def test_an_unreadable_note_is_set_aside(story: dict[str, Any], tmp_path: Path) -> None:
    center = copy_of(story, tmp_path)
    (center.dir / "notes").mkdir(exist_ok=True)
    for name, content in (("a", b"{"), ("b", b'{"what":"backup"}'), ("c", b"x" * 100_000)):
        (center.dir / "notes" / f"{name}.note").write_bytes(content)
    with center.running():
        pass
    assert sorted(path.name for path in (center.dir / "notes").iterdir()) == [f"{n}.unreadable" for n in "abc"]


def test_logs_of_others_and_changed_logs_are_refused(story: dict[str, Any], tmp_path: Path) -> None:
    center = copy_of(story, tmp_path)
    settings, secret = config.load(center.dir), (center.dir / "passphrase").read_bytes().strip()
    (tmp_path / "other").mkdir()
    other = Center(tmp_path / "other")
    with other.running():
        other.found()
        other.cli("audit", "export", "registrar", "-o", other.base / "other.ndjson", "--connect", other.auditor)
    changed = tmp_path / "changed"
    changed.write_bytes((center.base / "log.ndjson").read_bytes().replace(b'"count":2', b'"count":3', 1))
    cases = [
        (other.base / "other.ndjson", "replay_foreign"),
        (other.dir / "registrar" / "registrar.db", "replay_foreign"),
        (changed, "audit_bundle_broken"),
        (center.base / "chosen.ndjson", "replay_extract"),
        (tmp_path / "nothing", "no_replay"),
        (tmp_path, "no_replay"),
    ]
    for source, code in cases:
        with pytest.raises(TrustCenterError) as caught:
            replaying.stage(settings, source, secret)
        assert caught.value.code == code, source
    assert replaying.pending(settings) is None
    (center.dir / replaying.NAME).write_bytes(b"{}")
    assert "replay_damaged" in center.refusal()
