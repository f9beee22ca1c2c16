"""The same people with anonlink, in the same run: time at two sizes, what a million would take, and F1 side by side."""

from __future__ import annotations

import math
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scale_link import encode_into, linked, measured, secrets_of

from linkage import prepare
from linkage.encode import record_numbers
from linkage.evaluate import Quality, of_pairs
from linkage.executors import Processes
from linkage.maps import record_numbers_of
from linkage.schema import Schema
from linkage.synth import SiteSpec, SynthConfig, Synthetic, generate

PEER = Path(__file__).with_name("anonlink_peer.py")
Pairs = set[tuple[int, int]]


@dataclass(frozen=True)
class Compared:
    """The peer's comparison: seconds, processor seconds, its best threshold by the truth, and the quality there."""

    seconds: float
    processor: float
    threshold: str
    quality: Quality


def beside_the_peer(schema: Schema, python: str, base: Path, n: int) -> None:
    """Both at n / 2 and at n records a source. `python` is an interpreter that has anonlink and clkhash."""
    took = []
    for size in (n // 2, n):
        made = generate(SynthConfig("bench/peer", (SiteSpec("left", size), SiteSpec("right", size)), overlap=0.5))
        place = base / f"peer-{size}"
        folders = [place / name for name in made.sites]
        for name, table in made.sites.items():
            encode_into(schema, place / name, name, table.columns, table.ids)
        true = _true(made, size)
        found = linked(schema, folders, place / "work", f"beside the peer, 2 x {size:,}", Processes(2))
        matched = found.result.pairs[found.result.pairs["class"] == 2]
        rows = [_rows(place / name, name, table.ids) for name, table in made.sites.items()]
        pairs = {
            (rows[0][a], rows[1][b - size]) for a, b in zip(matched["a"].tolist(), matched["b"].tolist(), strict=True)
        }
        peer = _peer(schema, python, place, made, true)
        print(
            f"   2 x {size:,}: ours, nothing set by hand, {found.seconds:.1f} s (processor {found.processor:.1f} s)"
            f" to decided pairs: {of_pairs(pairs, true)}\n"
            f"   2 x {size:,}: anonlink, threshold {peer.threshold} (the best by the truth), {peer.seconds:.1f} s "
            f"(processor time {peer.processor:.1f} s) to compare: {peer.quality}",
            flush=True,
        )
        took.append(peer)
    small, large = took
    many = (1e6 / n) ** 2 / 3600
    power = math.log2(large.processor / max(0.01, small.processor))
    print(
        f"   anonlink, 1,000,000 x 1,000,000, by the square from {n:,} records: {large.seconds * many:.1f} h, of two "
        f"processors {large.processor * many / 2:.1f} h; from {n // 2:,} to {n:,} records its processor time grew with "
        f"their power {power:.2f}",
        flush=True,
    )


def _true(made: Synthetic, n: int) -> Pairs:
    """Positions in the two tables of the records of one person."""
    person: dict[str, int] = {}
    people = [person.setdefault(p, len(person)) for _, _, p in made.truth]
    home = {p: i for i, p in enumerate(people[:n])}
    return {(home[p], j) for j, p in enumerate(people[n:]) if p in home}


def _rows(folder: Path, name: str, ids: list[str]) -> list[int]:
    """Row in its table of each record of a map."""
    order = {bytes(r): i for i, r in enumerate(record_numbers(secrets_of(name), "bench", ids))}
    return [order[bytes(r)] for r in record_numbers_of(folder / "map.tcmap")]


def _peer(schema: Schema, python: str, place: Path, made: Synthetic, true: Pairs) -> Compared:
    """clkhash encodings of the same normalised values, anonlink's exact comparison, greedy one-to-one."""
    fields = {f.name for f in schema.fields}
    known = [f.name for f in schema.fields if f.kind != "insured_number"]
    for name, table in made.sites.items():
        prepared = prepare(schema, {k: v for k, v in table.columns.items() if k in fields})
        lines = ["\t".join(row) for row in zip(*(prepared.values[k] for k in known), strict=True)]
        (place / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sizes = " x ".join(f"{len(table):,}" for table in made.sites.values())
    took = (0.0, 0.0)
    best: tuple[str, Quality] | None = None
    with measured(f"peer: anonlink, {sizes}") as told:
        done = subprocess.run(
            [python, PEER, *(place / f"{name}.tsv" for name in made.sites)], check=True, capture_output=True, text=True
        )
        for line in done.stdout.splitlines():
            word, *rest = line.split("\t")
            if word == "time":
                told.append(f"{rest[0]} {float(rest[1]):.1f} s (processor time {float(rest[2]):.1f} s)")
                if rest[0].startswith("compare"):
                    took = float(rest[1]), float(rest[2])
            elif word == "pairs":
                quality = of_pairs({(int(a), int(b)) for a, b in (p.split(",") for p in rest[1].split())}, true)
                if best is None or quality.f1 > best[1].f1:
                    best = rest[0], quality
    assert best is not None
    return Compared(*took, *best)
