"""`linkage cluster`: verdicts of people, another cut, and a second match whose persons keep their numbers."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cli = Callable[..., Any]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def encode(cli: Cli, base: Path, source: Path, site: str, target: str) -> None:
    done = cli(
        *("linkage", "encode", source, "--schema", "de-person/1", "--id-column", "id", "--source", site),
        *("--study-secret", base / "study.secret", "--site-key", base / f"{site}.key", "-o", base / target),
    )
    assert done.code == 0, done.err


def test_without_a_change_it_is_what_match_wrote(cli: Cli, joined: Path) -> None:
    done = cli(
        "linkage", "cluster", joined / "joined", "--previous", joined / "joined", "-o", joined / "again", "--json"
    )
    assert done.code == 0
    assert done.json["events"] == {}
    for name in ("pairs.csv", "persons.csv"):
        assert (joined / "again" / name).read_bytes() == (joined / "joined" / name).read_bytes()
    assert (joined / "again" / "events.csv").read_text() == "event,person,into,records\n"


def test_what_people_decide_is_done(cli: Cli, joined: Path) -> None:
    out = joined / "joined"
    pairs = read(out / "pairs.csv")
    matched = next(p for p in pairs if p["joined"] == "1")
    rejected = [p for p in pairs if p["joined"] == "0"]
    alone = {r["record_number"] for r in read(out / "persons.csv")} - {
        p[end] for p in pairs if p["joined"] == "1" for end in ("record_a", "record_b")
    }
    possible = next(p for p in rejected if {p["record_a"], p["record_b"]} <= alone)
    write(joined / "said.csv", [{"decision": "different", **matched}, {"decision": "Same", **possible}])
    done = cli(
        *("linkage", "cluster", out, "--verdicts", joined / "said.csv", "--previous", out),
        *("-o", joined / "decided", "--json"),
    )
    assert done.code == 0
    assert (done.json["verdicts"], done.json["unmet"]) == (2, 0)
    assert done.json["events"] == {"created": 1, "merged": 1, "split": 1}
    person = {r["record_number"]: r["person"] for r in read(joined / "decided" / "persons.csv")}
    assert person[matched["record_a"]] != person[matched["record_b"]]
    assert person[possible["record_a"]] == person[possible["record_b"]]
    before = {r["record_number"]: r["person"] for r in read(out / "persons.csv")}
    touched = {p[end] for p in (matched, possible) for end in ("record_a", "record_b")}
    assert all(person[r] == before[r] for r in before if r not in touched)
    judged = cli("linkage", "evaluate", joined / "decided", "--truth", joined / "data" / "truth.csv")
    assert judged.code == 0


def test_a_later_match_keeps_the_persons_that_go_on(cli: Cli, joined: Path) -> None:
    """Ten patients leave one source: their persons shrink or end, all others keep their numbers."""
    rows = read(joined / "data" / "north.csv")
    write(joined / "later.csv", rows[10:])
    encode(cli, joined, joined / "later.csv", "north", "north-later")
    assert cli("linkage", "match", joined / "north-later", joined / "south", "-o", joined / "second").code == 0
    done = cli(
        *("linkage", "cluster", joined / "second", "--previous", joined / "joined", "-o", joined / "kept", "--json")
    )
    assert done.code == 0
    before = {(r["source"], r["id"]): r["person"] for r in read(joined / "joined" / "persons.csv")}
    after = {(r["source"], r["id"]): r["person"] for r in read(joined / "kept" / "persons.csv")}
    assert len(after) == len(before) - 10
    events = read(joined / "kept" / "events.csv")
    told = sum(e["event"] in ("ended", "shrunk") for e in events)
    assert told == 10
    changed = {e["person"] for e in events} | {p for e in events for p in e["into"].split()}
    assert all(after[r] == before[r] for r in after if before[r] not in changed)


def test_a_number_is_never_given_again(cli: Cli, joined: Path) -> None:
    """A pair is split, joined and split again: the person that came first does not come back."""
    out = joined / "joined"
    last = max(int(r["person"]) for r in read(out / "persons.csv"))
    pair = next(p for p in read(out / "pairs.csv") if p["joined"] == "1")
    write(joined / "said.csv", [{"decision": "different", **pair}])
    before = out
    for step, split in enumerate((True, False, True)):
        verdicts = ("--verdicts", joined / "said.csv") if split else ()
        target = joined / f"step {step}"
        assert cli("linkage", "cluster", out, *verdicts, "--previous", before, "-o", target).code == 0
        before = target
    highest = [max(int(r["person"]) for r in read(joined / f"step {k}" / "persons.csv")) for k in range(3)]
    assert highest == [last + 1, last, last + 2]


def test_another_cut(cli: Cli, joined: Path) -> None:
    few = cli("linkage", "cluster", joined / "joined", "--cut", "0.999", "-o", joined / "few", "--json")
    many = cli("linkage", "cluster", joined / "joined", "--cut", "0.1", "-o", joined / "many", "--json")
    assert few.json["persons"] > many.json["persons"]
    assert {p["class"] for p in read(joined / "few" / "pairs.csv") if float(p["posterior"]) <= 0.999} <= {
        *("possible", "non-match"),
    }


def test_another_cut_leaves_to_people_what_the_match_left_to_them(cli: Cli, joined: Path) -> None:
    sides = (joined / "north", joined / "south", "-o", joined / "careful")
    assert cli("linkage", "match", *sides, "--careful").code == 0
    assert cli("linkage", "cluster", joined / "careful", "--cut", "0.1", "-o", joined / "lower").code == 0
    pairs = {name: read(joined / name / "pairs.csv") for name in ("joined", "careful", "lower")}
    marked = {name: [p["class"] for p in rows if p["other_name"] == "1"] for name, rows in pairs.items()}
    assert "match" in marked["joined"]
    assert set(marked["careful"]) == set(marked["lower"]) == {"possible"}


def test_what_does_not_fit_is_refused(cli: Cli, joined: Path) -> None:
    out, target = joined / "joined", joined / "new"
    pair = read(out / "pairs.csv")[0]
    write(joined / "said.csv", [{"decision": "same", **pair}, {"decision": "different", **pair}])
    assert "[bad_verdict]" in cli("linkage", "cluster", out, "--verdicts", joined / "said.csv", "-o", target).err
    other = joined / "other"
    other.mkdir()
    (other / "run.json").write_bytes((out / "run.json").read_bytes())
    (other / "persons.csv").write_text("source,record_number,person\nnorth,00,1\n")
    assert "[mixed_sources]" in cli("linkage", "cluster", out, "--previous", other, "-o", target).err
    (other / "persons.csv").write_text("source,record_number,person\nnorth,00,Meier-4711\n")
    done = cli("linkage", "cluster", out, "--previous", other, "-o", target)
    assert "[bad_run]" in done.err
    assert "4711" not in done.err
    assert not target.exists()
