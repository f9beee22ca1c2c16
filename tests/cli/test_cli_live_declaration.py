"""What a site says of its source besides records: duplicates, with an upload, and counts, for the decision. Against the
live process."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests_support import ok

from linkage.dedupe.listing import Declaration
from trustcenter.messages.api import Deduplication

Cli = Callable[..., Any]
DEDUPE = ("--schema", "de-person/1", "--id-column", "id")


@pytest.fixture(scope="module")
def base(live: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site and a study, a source with ten patients twice, and what `linkage dedupe` made of it."""
    base = tmp_path_factory.mktemp("declaring")
    operator = ("--connect", live.operator)
    ok("linkage", "synth", base / "data", "--site", "one=120", "--errors", "light")
    with (base / "data" / "one.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows += [{**row, "id": f"D{row['id']}", "house_number": ""} for row in rows[:10]]
    with (base / "one.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    ok("linkage", "dedupe", base / "one.csv", *DEDUPE, "--accept-matches", "-o", base / "clean")
    ok("linkage", "secret", "--study", "twice", "-o", base / "study.secret")
    ok("linkage", "secret", "--site-key", "-o", base / "site.key")
    for site in ("declaring", "other"):
        ok("site", "add", site, "--kind", "hospital", *operator)
    ok("site", "token", "declaring", "-o", base / "site.toml", *operator)
    public = ok("staff", "keygen", "-o", base / "eva.key", "--no-passphrase").strip()
    ok("staff", "add", "eva", "--role", "auditor", "--public-key", public, "-o", base / "eva.toml", *operator)
    (base / "dms.pub").write_text(ok("recipient", "keygen", "-o", base / "dms.key", "--no-passphrase"))
    ok(
        *("study", "create", "twice", "--purpose", "Test", "--permit", "1", "--site", "declaring", "--site", "other"),
        *("--recipient", f"dms={base / 'dms.pub'}", *operator),
    )
    return base


def upload(base: Path, *more: str | Path, source: str = "one.csv") -> tuple[str | Path, ...]:
    return (
        *("study", "upload", "twice", base / source, "--id-column", "id", "--site-key", base / "site.key"),
        *("--study-secret", base / "study.secret", "--connect", base / "site.toml", *more),
    )


def test_what_does_not_belong_together_is_refused(cli: Cli, base: Path) -> None:
    clean = base / "clean"
    declared = json.loads((clean / "declaration.json").read_bytes())
    for change in ({"records": 131}, {"removed": 1}, {"schema": "0" * 64}, {"duplicates_sha256": "0" * 64}):
        (base / "changed.json").write_text(json.dumps({**declared, **change}))
        done = cli(
            *upload(base, "--duplicates", clean / "duplicates.json", "--declaration", base / "changed.json"),
        )
        assert "[foreign_declaration]" in done.err
    assert "[foreign_declaration]" in cli(*upload(base, "--declaration", clean / "declaration.json")).err
    (base / "changed.json").write_text('{"name": "Meier-4711"}')
    done = cli(*upload(base, "--declaration", base / "changed.json"))
    assert "[bad_declaration]" in done.err
    assert "4711" not in done.err
    assert "[no_declaration]" in cli(*upload(base, "--declaration", base / "none.json")).err


def test_the_declaration_is_in_the_log(cli: Cli, base: Path) -> None:
    clean = base / "clean"
    done = cli(
        *upload(base, "--duplicates", clean / "duplicates.json", "--declaration", clean / "declaration.json"), "--json"
    )
    assert done.code == 0, done.err
    declared = json.loads((clean / "declaration.json").read_bytes())
    assert declared["removed"] >= 9
    target = base / "log.bundle"
    ok("audit", "export", "registrar", "-o", target, "--event", "site:map:accept", "--connect", base / "eva.toml")
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    maps = [line["leaf"]["data"] for line in lines if "leaf" in line]
    said = [data["deduplication"] for data in maps if data["study"] == "twice"]
    assert said == [{**declared, "cut": "0.5"}], "numbers in the log are whole"


def test_a_study_takes_the_tables_that_its_sites_counted(cli: Cli, base: Path, live: Any) -> None:
    """Sent, shown and dropped by a site; what is not wanted, or must not leave a site, is refused by name."""
    operator, site = ("--connect", live.operator), ("--connect", base / "site.toml")
    ok("linkage", "synth", base / "more", "--site", "one=500")
    schema = ("--schema", "de-person/1")
    ok("linkage", "calibrate", base / "more" / "one.csv", *schema, "--id-column", "id", "-o", base / "counts.json")
    done = cli("study", "calibration", "send", "twice", base / "counts.json", *site)
    assert "[calibration_not_wanted]" in done.err
    ok(
        *("study", "create", "counted", "--purpose", "Test", "--permit", "1", "--site", "declaring", "--site", "other"),
        *("--recipient", f"dms={base / 'dms.pub'}", "--calibration", "sites", *operator),
    )
    assert json.loads(ok("study", "show", "counted", "--json", *site))["settings"]["calibration"] == "sites"
    before = json.loads(ok("study", "calibration", "show", "counted", "--json", *operator))
    assert (before["tables"], before["decided_with"]) == ([], None)
    sent = json.loads(ok("study", "calibration", "send", "counted", base / "counts.json", "--json", *site))
    assert [table["site"] for table in sent["tables"]] == ["declaring"]
    assert sent["next_estimate"] is None  # a hash over the tables of all is nothing for a site
    after = json.loads(ok("study", "calibration", "show", "counted", "--json", *operator))
    assert [table["site"] for table in after["tables"]] == ["declaring"]
    assert after["next_estimate"] != before["next_estimate"]

    ok("linkage", "calibrate", *schema, "--pool", base / "counts.json", "--shipped", "-o", base / "pool.json")
    assert "[bad_densities]" in cli("study", "calibration", "send", "counted", base / "pool.json", *site).err
    ok("study", "calibration", "drop", "counted", "declaring", *site)
    assert "[unknown_calibration]" in cli("study", "calibration", "drop", "counted", "declaring", *operator).err
    assert json.loads(ok("study", "calibration", "show", "counted", "--json", *operator)) == before


def test_both_ends_know_the_same_fields() -> None:
    ours, theirs = msgspec.structs.fields(Declaration), msgspec.structs.fields(Deduplication)
    assert [f.name for f in ours] == [f.name for f in theirs]
