"""`linkage explain`, and the file that `match --explain` writes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cli = Callable[..., Any]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_pair_that_was_decided_for_is_explained(cli: Cli, joined: Path) -> None:
    explained = read(joined / "joined" / "explained.csv")
    pairs = [row for row in read(joined / "joined" / "pairs.csv") if row["class"] != "non-match"]
    assert [(r["record_a"], r["record_b"], r["joined"]) for r in explained] == [
        (r["record_a"], r["record_b"], r["joined"]) for r in pairs
    ]
    for row in explained:
        if row["class"] == "match" and row["joined"] == "1":
            assert row["reason"].startswith("joined: the best pair")
            assert row["bits_edges"]


def test_a_pair_is_explained_with_and_without_plaintext(cli: Cli, joined: Path) -> None:
    row = next(r for r in read(joined / "joined" / "explained.csv") if r["class"] == "match")
    ends = (row["source_a"], row["id_a"], row["source_b"], row["id_b"])
    done = cli("linkage", "explain", joined / "joined", *ends)
    assert done.code == 0
    assert "joined: the best pair" in done.out
    assert "expected of a best pair" in done.out
    patient = next(r for r in read(joined / "data" / "north.csv") if r["id"] == row["id_a"])
    assert patient["surname"].lower() not in done.out.lower()
    plain = (
        *("--id-column", "id", "--plaintext", f"north={joined / 'data' / 'north.csv'}"),
        *("--plaintext", f"south={joined / 'data' / 'south.csv'}"),
    )
    told = cli("linkage", "explain", joined / "joined", *ends, *plain, "--json")
    assert told.code == 0
    assert told.json["side_by_side"]["together"]
    by_number = cli(
        *("linkage", "explain", joined / "joined", "north", row["record_a"], "south", row["record_b"], "--json")
    )
    assert by_number.json["posterior"] == told.json["posterior"]


def test_what_does_not_fit_is_refused(cli: Cli, joined: Path) -> None:
    out = joined / "joined"
    one = read(out / "persons.csv")[0]["id"]
    assert "[no_such_record]" in cli("linkage", "explain", out, "north", one, "south", "4711").err
    assert "4711" not in cli("linkage", "explain", out, "north", one, "south", "4711").err
    assert "[usage]" in cli("linkage", "explain", out, "north", one, "north", one).err
    assert "[usage]" in cli("linkage", "explain", out, "north", one, "north", one, "--plaintext", "north=x").err
