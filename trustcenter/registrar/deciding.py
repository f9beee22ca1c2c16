"""The decision over a window's edges: pairs, classes, clusters. Runs in a worker process on read-only data.

The worker sees refs, serials and lookup tags (as tie-breakers), never an original and never a key.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from trustcenter.messages import api
from trustcenter.store import Location, snapshot

from . import clearing_tasks

if TYPE_CHECKING:
    from linkage.cluster import Verdicts

_CLASSES = ("", "possible", "match")


@dataclass(frozen=True)
class Decided:
    """A decided window. `labels[i]` is the cluster of `records[i]`; links name records by position."""

    records: list[tuple[int, int]]  # (domain row id, serial)
    labels: list[int]
    quality: list[float | None]  # greatest posterior that holds the record in its cluster; None if alone
    links: list[tuple[int, int, int, float, float, str]]  # a, b, edges, mean level, posterior, class
    counts: api.RunCounts
    parameters_hash: str
    bounds: tuple[float, float]  # posteriors between which a pair is doubtful
    left_out: frozenset[tuple[int, int]] = frozenset()  # records without the consent that the study requires

    def with_rows(self, rows: Mapping[str, int]) -> Decided:
        """The same, with the comparator's row counts per site."""
        sources = [msgspec.structs.replace(s, rows=rows.get(s.site, 0)) for s in self.counts.sources]
        return replace(self, counts=msgspec.structs.replace(self.counts, sources=sources))


def decide_study(
    place: Location,
    study: str,
    edges: Path,
    comparison_hash: str,
    left_out: frozenset[tuple[int, int]] = frozenset(),
) -> Decided:
    """Aggregate a window's edges to record pairs, decide them and cluster the records.

    Args:
        place: the registrar's store, of which one snapshot is read.
        study: name of the study.
        edges: file of packed edges (M5), 33 bytes each.
        comparison_hash: hash of the parameters of the comparison.
        left_out: records (domain row id, serial) that take no part, for want of consent.
    """
    from linkage import schema as schemas
    from linkage.cluster import agglomerate
    from linkage.decide import Parameters, RefIndex, aggregate, decide, shipped, tie_ranks
    from linkage.rows import EDGE

    data = _read(place, study, left_out)
    densities = shipped(schemas.load(data.schema).profile)
    table = np.fromfile(edges, dtype=EDGE)
    pairs = aggregate(table, RefIndex.build(data.refs))
    decision = decide(pairs, data.sources, data.deduplicated, densities, data.bounds, ties=tie_ranks(data.tags))
    clusters = agglomerate(decision, data.sources, data.deduplicated, data.tags, data.verdicts)
    labels = clusters.labels.tolist()
    unjoined = set(clusters.refused.tolist())

    quality: list[float | None] = [None] * len(data.records)
    links = []
    tally: dict[tuple[int, int], Counter[str]] = {}
    for index in range(len(pairs)):
        a, b, posterior = int(pairs.a[index]), int(pairs.b[index]), float(decision.posterior[index])
        key = (int(data.sources[a]), int(data.sources[b]))
        counter = tally.setdefault((min(key), max(key)), Counter())
        counter["edges"] += int(pairs.c[index])
        name = _CLASSES[int(decision.cls[index])]
        if labels[a] == labels[b]:
            for record in (a, b):
                quality[record] = max(posterior, quality[record] or 0.0)
        elif index in unjoined:
            name = "possible"  # matched, but joining it would have merged two persons: a steward decides
        if name:
            counter[name] += 1
            links.append((a, b, int(pairs.c[index]), float(pairs.p[index]), posterior, name))
    sizes = Counter(labels)
    by_source = Counter(data.sources.tolist())
    without = Counter(domain for domain, _ in left_out)
    counts = api.RunCounts(
        sources=[
            api.SourceCount(site=site, records=by_source[i], rows=0, left_out=without[domain])
            for i, (site, domain) in enumerate(zip(data.sites, data.domains, strict=True))
        ],
        pairs=[
            api.PairCount(
                sites=[data.sites[a], data.sites[b]],
                edges=tally.get((a, b), Counter())["edges"],
                matches=tally.get((a, b), Counter())["match"],
                possible=tally.get((a, b), Counter())["possible"],
            )
            for a, b in combinations(range(len(data.sites)), 2)
        ],
        edges=len(table),
        persons=len(sizes),
        linked_persons=sum(size > 1 for size in sizes.values()),
        largest_cluster=max(sizes.values(), default=0),
        refused_declarations=[data.sites[index] for index in decision.refused],
    )
    frozen = Parameters.of(densities, data.bounds, len(data.sites))
    digest = hashlib.sha256(json.dumps([comparison_hash, frozen.sha256]).encode()).hexdigest()
    return Decided(data.records, labels, quality, links, counts, digest, data.bounds, left_out)


@dataclass(frozen=True)
class _Data:
    domains: list[int]
    sites: list[str]
    deduplicated: list[bool]
    schema: str
    bounds: tuple[float, float]  # posteriors between which a pair goes to clearing
    records: list[tuple[int, int]]
    sources: NDArray[np.int32]
    tags: NDArray[np.uint8]  # (n, 16)
    refs: NDArray[np.uint8]  # (n, P, 16)
    verdicts: Verdicts  # of people, by position


def _read(place: Location, study: str, left_out: frozenset[tuple[int, int]]) -> _Data:
    from linkage.cluster import Verdicts

    with snapshot(place) as conn:  # one for all queries
        schema, passes, stored = conn.execute(
            "SELECT schema, passes, settings FROM study WHERE name = ?", (study,)
        ).fetchone()
        settings = msgspec.json.decode(stored or b"{}", type=api.StudySettings)
        participants = conn.execute(
            "SELECT site, domain, deduplicated FROM participant WHERE study = ? ORDER BY site", (study,)
        ).fetchall()
        records: list[tuple[int, int]] = []
        sources: list[int] = []
        tags: list[bytes] = []
        refs: list[bytes] = []
        for index, (_, domain, _) in enumerate(participants):
            # Decoys are known here only, and never joined. Every other mapped record has exactly `passes` refs.
            for serial, tag in conn.execute(
                "SELECT r.serial, e.tag FROM record r JOIN entry e ON e.domain = r.domain AND e.serial = r.serial"
                " WHERE r.domain = ? AND r.state <> 'unlinked' AND r.decoy = 0 AND e.status = 0 ORDER BY r.serial",
                (domain,),
            ):
                if (domain, serial) in left_out:
                    continue
                records.append((domain, serial))
                sources.append(index)
                tags.append(tag)
            refs.extend(
                ref
                for serial, ref in conn.execute(
                    "SELECT r.serial, f.ref FROM record r JOIN entry e ON e.domain = r.domain AND e.serial = r.serial"
                    " JOIN record_ref f ON f.domain = r.domain AND f.serial = r.serial"
                    " WHERE r.domain = ? AND r.state <> 'unlinked' AND r.decoy = 0 AND e.status = 0"
                    " ORDER BY r.serial, f.ref",
                    (domain,),
                )
                if (domain, serial) not in left_out
            )
        said = clearing_tasks.verdicts(conn, study)
    place_of = {record: position for position, record in enumerate(records)}
    known = [(place_of[a], place_of[b], same) for a, b, same in said if a in place_of and b in place_of]
    return _Data(
        verdicts=Verdicts.of(known),
        domains=[row[1] for row in participants],
        sites=[row[0] for row in participants],
        deduplicated=[bool(row[2]) for row in participants],
        schema=schema,
        bounds=(settings.lower, settings.upper),
        records=records,
        sources=np.array(sources, dtype=np.int32),
        tags=np.frombuffer(b"".join(tags), dtype=np.uint8).reshape(len(tags), 16),
        # Of a bytearray, because the kernel that sorts them takes writable arrays only.
        refs=np.frombuffer(bytearray().join(refs), dtype=np.uint8).reshape(len(records), passes, 16),
    )
