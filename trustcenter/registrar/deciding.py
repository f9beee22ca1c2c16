"""The decision over a window's edges: pairs, classes, clusters. Runs in a worker process on read-only data.

The worker sees refs, serials and lookup tags (as tie-breakers), never an original and never a key.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from trustcenter.messages import api


@dataclass(frozen=True)
class Decided:
    """A decided window. `labels[i]` is the cluster of `records[i]`; links name records by position."""

    records: list[tuple[int, int]]  # (domain row id, serial)
    labels: list[int]
    quality: list[float | None]  # greatest posterior that holds the record in its cluster; None if alone
    links: list[tuple[int, int, int, float, float, str]]  # a, b, edges, mean level, posterior, class
    counts: api.RunCounts
    parameters_hash: str

    def with_rows(self, rows: Mapping[str, int]) -> Decided:
        """The same, with the comparator's row counts per site."""
        sources = [msgspec.structs.replace(s, rows=rows.get(s.site, 0)) for s in self.counts.sources]
        return replace(self, counts=msgspec.structs.replace(self.counts, sources=sources))


def decide_study(path: str, study: str, edges: bytes, comparison_hash: str) -> Decided:
    """Aggregate a window's edges to record pairs, decide them and cluster the records.

    Args:
        path: the registrar's database, opened read-only.
        study: name of the study.
        edges: packed edges (M5), 33 bytes each.
        comparison_hash: hash of the parameters of the comparison.
    """
    from linkage import decide_records

    conn = sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True)
    try:
        conn.execute("BEGIN")  # one snapshot for all queries
        participants = conn.execute(
            "SELECT site, domain, deduplicated FROM participant WHERE study = ? ORDER BY site", (study,)
        ).fetchall()
        schema = conn.execute("SELECT schema FROM study WHERE name = ?", (study,)).fetchone()[0]
        records: list[tuple[int, int]] = []
        sources: list[int] = []
        tags: list[bytes] = []
        for index, (_, domain, _) in enumerate(participants):
            for serial, tag in conn.execute(
                "SELECT r.serial, e.tag FROM record r JOIN entry e ON e.domain = r.domain AND e.serial = r.serial"
                " WHERE r.domain = ? AND r.state <> 'unlinked' AND r.decoy = 0 AND e.status = 0 ORDER BY r.serial",
                (domain,),
            ):
                records.append((domain, serial))
                sources.append(index)
                tags.append(tag)
        position = {key: index for index, key in enumerate(records)}
        refs, owners = [], []
        for ref, domain, serial in conn.execute("SELECT ref, domain, serial FROM record_ref WHERE study = ?", (study,)):
            owner = position.get((domain, serial))
            if owner is not None:
                refs.append(ref)
                owners.append(owner)
    finally:
        conn.close()
    decision = decide_records(
        schema=schema,
        edges=edges,
        refs=np.frombuffer(b"".join(refs), dtype=np.uint8).reshape(len(refs), 16),
        owners=np.array(owners, dtype=np.int32),
        sources=np.array(sources, dtype=np.int32),
        deduplicated=[bool(row[2]) for row in participants],
        tie_keys=np.frombuffer(b"".join(tags), dtype=np.uint8).reshape(len(tags), 16),
    )
    labels = decision.labels.tolist()
    sizes = Counter(labels)
    quality: list[float | None] = [None] * len(records)
    links = []
    pairs: dict[tuple[int, int], Counter[str]] = {}
    for a, b, count, level, posterior, cls in decision.links():
        links.append((a, b, count, level, posterior, cls))
        if labels[a] == labels[b]:
            for record in (a, b):
                quality[record] = max(posterior, quality[record] or 0.0)
        key = (min(sources[a], sources[b]), max(sources[a], sources[b]))
        pairs.setdefault(key, Counter())[cls] += 1
    names = [row[0] for row in participants]
    edge_counts = decision.edges_per_pair
    by_source = Counter(sources)
    counts = api.RunCounts(
        sources=[api.SourceCount(site=name, records=by_source[index], rows=0) for index, name in enumerate(names)],
        pairs=[
            api.PairCount(
                sites=[names[a], names[b]],
                edges=edge_counts.get((a, b), 0),
                matches=pairs.get((a, b), Counter())["match"],
                possible=pairs.get((a, b), Counter())["possible"],
            )
            for a in range(len(names))
            for b in range(a + 1, len(names))
        ],
        edges=len(edges) // 33,
        persons=len(sizes),
        linked_persons=sum(size > 1 for size in sizes.values()),
        largest_cluster=max(sizes.values(), default=0),
    )
    parameters = json.dumps([comparison_hash, decision.parameters_hash], separators=(",", ":"))
    return Decided(records, labels, quality, links, counts, hashlib.sha256(parameters.encode()).hexdigest())
