"""What only the demo can do: join research data by the map, and judge the linkage against the truth."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from .party import Party
from .report import Story

_DIAGNOSES = ("I50.1 Linksherzinsuffizienz", "I25.1 Koronare Herzkrankheit", "I10 Hypertonie", "E11.9 Diabetes Typ 2")
_FINDINGS = ("NT-proBNP 2140 pg/ml", "LVEF 34 %", "Kreatinin 1.4 mg/dl", "Belastungsdyspnoe NYHA III")
_SHOWN = 5


def join_and_judge(
    parties: Sequence[Party],
    joinmap: Path,
    truth: Mapping[tuple[str, str], str],
    desk: Path,
    story: Story,
) -> tuple[dict[str, Any], int]:
    """Join invented research data over the map, show a few rows, and compare with the truth.

    Returns:
        Pairwise quality between sites, and how many people there really are.
    """
    person_of: dict[tuple[str, str], str] = {}
    with joinmap.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            person_of[row["site"], row["study_pseudonym"]] = row["person"]
    table: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for party in parties:
        with (party.home / "study-pseudonyms.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                person = person_of[party.name, row["pseudonym"]]
                table[person].append((party.name, row["pseudonym"], _datum(party.name, row["pseudonym"])))
                found[person].append((party.name, row["id"]))
    _write(desk / "joined.csv", table)
    _show(table, story)
    return _quality(found, truth), len(set(truth.values()))


def _datum(site: str, pseudonym: str) -> str:
    # Invented research data, fixed per pseudonym: what a site would deliver under its study pseudonyms.
    choice = hashlib.sha256(pseudonym.encode()).digest()[0]
    return (_DIAGNOSES if site.startswith("uk-") else _FINDINGS)[choice % 4]


def _write(path: Path, table: Mapping[str, Sequence[tuple[str, str, str]]]) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("person", "site", "study_pseudonym", "data"))
        for person in sorted(table):
            writer.writerows((person, *row) for row in table[person])


def _show(table: Mapping[str, Sequence[tuple[str, str, str]]], story: Story) -> None:
    sites = max(len({row[0] for row in rows}) for rows in table.values())
    shown = [person for person in sorted(table) if len({row[0] for row in table[person]}) == sites][:_SHOWN]
    rows = []
    for person in shown:
        for number, (site, pseudonym, datum) in enumerate(sorted(table[person])):
            rows.append((f"{person[:10]}…" if number == 0 else "", site, f"{pseudonym[:10]}…", datum))
    story.rows(("person", "site", "study pseudonym", "what the site knows"), rows)
    story.tell(f"{len(table):,} persons in joined.csv; no name, no hospital id, no birth date in it")


def _quality(found: Mapping[str, Sequence[tuple[str, str]]], truth: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    people: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key, person in truth.items():
        people[person].append(key)

    def pairs(groups: Mapping[str, Sequence[tuple[str, str]]]) -> set[tuple[tuple[str, str], tuple[str, str]]]:
        return {(a, b) for members in groups.values() for a, b in combinations(sorted(members), 2) if a[0] != b[0]}

    true, linked = pairs(people), pairs(found)
    right = len(true & linked)
    precision = right / len(linked) if linked else 1.0
    recall = right / len(true) if true else 1.0
    return {
        "true_pairs": len(true),
        "linked_pairs": len(linked),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if right else 0.0,
    }
