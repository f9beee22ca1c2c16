"""The tutorial of a study over several days runs as it stands there."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-days.md"
SITES = ("north", "south", "practice")
Cli = Callable[..., Any]


def lines() -> Iterator[str]:
    """The commands of the page in order, those of every site three times."""
    for block in re.findall(r"```\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        for line in block.splitlines():
            command, _, remark = line.partition("   # ")
            if remark.strip() == "each site" or line.endswith("# each site"):
                yield from (command.partition("# each site")[0].replace("north", site) for site in SITES)
            else:
                yield command


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_tutorial_of_a_week_runs(cli: Cli, live: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUSTCENTER_CONNECT", str(live.operator))
    monkeypatch.setenv("NO_COLOR", "1")
    said = {"FINGERPRINT": live.fingerprints["registrar"]}
    printed: list[tuple[str, str]] = []
    for line in lines():
        if not line.startswith("trustcenter "):
            subprocess.run(["bash", "-c", line], check=True, cwd=tmp_path)
            continue
        before, _, target = line.partition(" > ")
        if "--pair" in before:
            # The last patients of the two sites: nobody's twins.
            for site in ("north", "south"):
                pseudonym = table(tmp_path / f"{site}-result.csv")[-1]["pseudonym"]
                before = before.replace(f"{site}=PSEUDONYM", f"{site}={pseudonym}")
        for name, value in said.items():
            before = before.replace(name, value)
        done = cli(*shlex.split(before)[1:])
        assert done.code == 0, (before, done.err)
        if target:
            (tmp_path / target.strip()).write_text(done.out)
        printed.append((before, done.out + done.err))
        if "--pair" in before:
            said["TASK"] = re.findall("[0-9a-f]{32}", done.out)[0]
        if "--recipient dms" in before and "release" in before:
            said["RELEASE"] = re.findall("[0-9a-f]{32}", done.out)[0]
        if "state hearts frozen" in before:
            _renew(cli, tmp_path)
    uploads = [text for command, text in printed if " upload " in command]
    assert len(uploads) == 7
    assert "holds all of this already" in uploads[-1]  # a lost machine goes on
    shifted = {site: {r["pseudonym"]: r for r in table(tmp_path / f"{site}-friday.csv")} for site in SITES}
    joined: dict[str, set[str]] = {}
    for row in table(tmp_path / "joinmap.csv"):
        joined.setdefault(row["person"], set()).add(shifted[row["site"]][row["study_pseudonym"]]["date_shift"])
    assert all(len(shifts) == 1 for shifts in joined.values())
    assert len(joined) < 420  # of 519 records: somebody is joined with somebody
    assert sum(bool(row["successor"]) for row in shifted["south"].values()) == 1
    kinds = [row["kind"] for row in table(tmp_path / "changes.csv")]
    assert kinds.count("withdrawn") == 1
    assert "merged" in kinds or "moved" in kinds  # what the steward decided
    assert len(table(tmp_path / "joinmap-2.csv")) == len(table(tmp_path / "joinmap.csv")) - 1
    assert re.search(r"purged +20", printed[-1][1])


def _renew(cli: Cli, folder: Path) -> None:
    """Before the study ends: a new version, with other settings, that one site has not sent anything under yet."""
    renewed = ("study", "renew", "hearts", "--to", "2", "--reason", "member_removed", "--remove", "practice", "--yes")
    assert cli(*renewed, "--doubtful", "0.9", "0.1").code != 0
    done = cli(*renewed, "--doubtful", "0.1", "0.9", "--clearing", "double", "--json")
    assert done.code == 0, done.err
    listed = cli("study", "versions", "hearts", "--json").json
    assert [(v["version"], v["settings"]["clearing"], v["settings"]["upper"]) for v in listed["versions"]] == [
        (2, "double", 0.9),
        (1, "single", 0.95),
    ]
    assert all(s["dormant"] > 0 == s["current"] + s["older"] for s in listed["sources"])
    mine = cli("study", "versions", "hearts", "--connect", folder / "south.toml")
    assert "practice" not in mine.out
    assert "member_removed" in mine.out
