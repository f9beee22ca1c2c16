"""Small uploads of a practice: what the comparator can put together, with and without decoys in the upload.

Two attacks on one upload, of r new patients and as many decoys (plausible strangers, encoded like patients) as make n:

* by fill: in every pass the rows are ordered by the number of set bits, and the k-th of one pass is taken for the same
  record as the k-th of the next. Counted: the share of such neighbours of patients that are right; guessing gives
  1 / n.
* by edges: decoys are nobody, so they are hardly ever at the lowest of the four levels to a row of another site, while
  patients known there are. Where one record of the upload only has such edges, its rows that have them are known to
  belong together. Counted: the share of the patients with such edges to whom that happens.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from linkage import load_schema, prepare
from linkage.encode import Encoded, Secrets, encode
from linkage.join import join
from linkage.schema import Schema
from linkage.synth import SiteSpec, SynthConfig, generate
from linkage.tables import Table

Row = tuple[str, str, str]
_BATCH = 50  # the least that a study asks for, unless it says otherwise
_TRIALS = 400
_REAL = (1, 2, 5, 10, 25, 50)


def _encode(schema: Schema, table: Table, site: str) -> Encoded:
    key = hashlib.sha256(site.encode()).digest()
    prepared = prepare(schema, table.select(schema.columns))
    return encode(schema, prepared, table.ids, Secrets(hashlib.sha256(b"bench").digest(), key, "bench", 1))


class _Records:
    """Per record and pass: bits set in the row's filter, and whether the row has an edge."""

    def __init__(self, encoded: Encoded, passes: int, edges: set[bytes]) -> None:
        refs = [bytes(ref) for ref in encoded.rows["ref"]]
        at = {ref: i for i, ref in enumerate(refs)}
        bits = np.unpackbits(encoded.rows["filter"], axis=1).sum(axis=1)
        self.fill = np.zeros((len(encoded.refs), passes), np.int64)
        self.edge = np.zeros((len(encoded.refs), passes), bool)
        for record, own in enumerate(encoded.refs):
            for ref in map(bytes, own):
                row = at[ref]
                number = int(encoded.rows["pass"][row])
                self.fill[record, number] = bits[row]
                self.edge[record, number] = ref in edges


def padding() -> list[Row]:
    """Shares for uploads of one to fifty new patients, alone and padded to fifty."""
    schema = load_schema("de-person/1")
    sites = (SiteSpec("hospital", 4000), SiteSpec("practice", 1000, "practice"))
    made = generate(SynthConfig("bench/padding", sites, overlap=0.5))
    strangers = generate(SynthConfig("bench/padding/decoys", (SiteSpec("decoys", 1000, "practice"),), overlap=0.0))
    hospital = _encode(schema, made.sites["hospital"], "hospital")
    own = _encode(schema, made.sites["practice"], "practice")
    other = _encode(schema, strangers.sites["decoys"], "practice")
    found = join([hospital.rows, np.concatenate([own.rows, other.rows])], schema.levels, caps=schema.caps)
    nearest = found.table[found.table["level"] == found.table["level"].min()]
    edges = {bytes(ref) for side in ("lo", "hi") for ref in nearest[side]}
    patients, decoys = _Records(own, schema.P, edges), _Records(other, schema.P, edges)
    rows: list[Row] = [
        ("patients with an edge of the lowest level", f"{patients.edge.any(axis=1).mean():.1%}", ""),
        ("decoys with an edge of the lowest level", f"{decoys.edge.any(axis=1).mean():.1%}", ""),
    ]
    rng = np.random.default_rng(1)
    for real in _REAL:
        for size in sorted({real, _BATCH}):
            fill, alone = _attack(rng, patients, decoys, real, size)
            kind = f"{real} new" + (f" and {size - real} decoys" if size > real else "")
            rows.append((kind, f"by fill {fill:.1%} (guessing {1 / size:.1%}), by edges {alone:.1%}", ""))
    return rows


def _attack(
    rng: np.random.Generator, patients: _Records, decoys: _Records, real: int, size: int
) -> tuple[float, float]:
    right, pairs, alone, known = 0, 0, 0, 0
    for _ in range(_TRIALS):
        mine = rng.choice(len(patients.fill), real, replace=False)
        padded = rng.choice(len(decoys.fill), size - real, replace=False)
        fill = np.concatenate([patients.fill[mine], decoys.fill[padded]])
        edge = np.concatenate([patients.edge[mine], decoys.edge[padded]]).any(axis=1)
        # Rows come in no order: equal fills are ordered by chance.
        ranks: NDArray[np.int64] = np.empty_like(fill)
        for column in range(fill.shape[1]):
            ranks[np.lexsort((rng.random(size), fill[:, column])), column] = np.arange(size)
        right += int((ranks[:real, :-1] == ranks[:real, 1:]).sum())
        pairs += real * (fill.shape[1] - 1)
        known += int(edge[:real].sum())
        alone += int(edge[:real].sum()) if edge.sum() == 1 else 0
    return right / pairs, alone / max(known, 1)
