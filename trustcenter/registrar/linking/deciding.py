"""The decision over a window: pairs, classes, clusters. Runs in a worker process on read-only data.

The worker sees refs, serials and lookup tags (as tie-breakers), never an original and never a key.

Everything is decided when a study is linked for the first time, when an operator asks for it, while the weights of two
of its sites are not frozen, and when what the decision rests on has become another. Otherwise only what hangs together
with the window is; the outcome is the same (docs/spec/persons.md, section 5).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from trustcenter.store import Connection, Location, snapshot

from . import components, tally
from .brought import Kept
from .outcome import Decided, counts_of, links_of
from .pairs import Changes, Key, Standing, standing
from .reading import Edges, Reader, Records, Resolved, Setting, count, resolve
from .succeeding import successors

if TYPE_CHECKING:
    from linkage.cluster import Verdicts
    from linkage.decide import Decision, Parameters

_GROWTH: Final = 1.25  # times the records of the last full decision: then declarations are looked at again


@dataclass(frozen=True)
class Task:
    """What to decide.

    Attributes:
        study: its name.
        edges: file of the window's packed edges (M5).
        changes: folder for the pairs whose edges change.
        comparison_hash: of the parameters of the comparison.
        left_out: records that take no part, for want of consent.
        mode: "window"; "full": decide everything; "estimate": and estimate the weights anew.
    """

    study: str
    edges: Path
    changes: Path
    comparison_hash: str
    left_out: frozenset[Key] = frozenset()
    mode: str = "window"


def decide_study(place: Location, task: Task) -> Decided:
    """Decide the pairs of a study that a window may have changed, or all of them, and cluster their records.

    Args:
        place: the registrar's store, of which one snapshot is read.
        task: what to decide.
    """
    from linkage.rows import EDGE

    table = np.fromfile(task.edges, dtype=EDGE)
    with snapshot(place) as conn:  # one for all queries
        setting = Setting.read(conn, task.study)
        before = standing(conn, task.study)
        basis = _basis(setting, task.comparison_hash)
        parameters = _parameters(setting, before, anew=task.mode == "estimate")
        reader = Reader(conn, setting, task.left_out)
        seen = components.touched(conn, setting)
        everything = wants_everything(conn, task.study, task.comparison_hash, task.mode)
        found = aside = None
        if not everything:
            component = components.Component(reader, table, parameters)
            found, inside, aside = component.grow(), component.inside, component.aside
        if found is None:  # two of the sites have no weights that are frozen: they are estimated anew from all pairs
            everything = True
            reader, edges, aside = Reader(conn, setting, task.left_out), Edges(), None
            edges.add_fresh(table)
            reader.everything()
            components.all_pairs(conn, setting, reader, edges)
            found = resolve(edges, reader.records, reader.records.index(setting.passes))
            inside = set(reader.records.keys)
        sizes = _others(conn, setting, inside, reader.records)
        Changes(task.changes).begin(conn, task.study)
    _keep(Changes(task.changes), found, reader.records, aside)
    return _decide(setting, task, reader.records, found, inside, parameters, basis, everything, seen, sizes, len(table))


def wants_everything(conn: Connection, study: str, comparison_hash: str, mode: str) -> bool:
    """Whether a run has to decide all records, as far as can be told before its edges are there."""
    setting, before = Setting.read(conn, study), standing(conn, study)
    if before is None or mode != "window" or before.basis != _basis(setting, comparison_hash):
        return True
    ripe = all(pair.frozen for pair in _parameters(setting, before, anew=False).weights)
    if not ripe and components.touched(conn, setting):
        return True
    return _taking_part(conn, setting) > _GROWTH * before.records


def _basis(setting: Setting, comparison_hash: str) -> str:
    """What a decision rests on besides records and parameters: if it changes, everything is decided again."""
    from linkage import schema as schemas
    from linkage.decide import other_names

    left = setting.careful and other_names(schemas.load(setting.schema))
    rests: list[object] = [comparison_hash, setting.schema, setting.bounds, left]
    rests += [setting.sites, setting.deduplicated, setting.versions]
    return hashlib.sha256(json.dumps(rests).encode()).hexdigest()


def _parameters(setting: Setting, before: Standing | None, *, anew: bool) -> Parameters:
    """Those of the run before; what the study settles goes before what they say.

    Densities are pooled at the first run, and when weights are to be estimated anew.
    """
    from linkage import schema as schemas
    from linkage.decide import Parameters, other_names, parse, parse_parameters, pooled

    schema = schemas.load(setting.schema)
    if before is None or anew:
        careful = schema if setting.careful else None
        densities = pooled(schema.profile, schema.P, [parse(data) for data in setting.calibrations])
        return Parameters.of(densities, setting.bounds, len(setting.sites), careful=careful)
    left = other_names(schema) if setting.careful else ()
    kept = parse_parameters(before.parameters).among(len(setting.sites))
    return msgspec.structs.replace(kept, bounds=setting.bounds, left=left)


def _taking_part(conn: Connection, setting: Setting) -> int:
    """Records that are linked, or wait to be."""
    query = "SELECT count(*) FROM record WHERE domain = ? AND state = 'mapped'"
    waiting = sum(int(conn.execute(query, (domain,)).fetchone()[0]) for domain in setting.domains)
    return tally.linked(conn, setting.study).total() + waiting


def _others(
    conn: Connection, setting: Setting, inside: set[Key], records: Records
) -> tuple[Counter[int], Counter[int]]:
    """Persons by size, and linked records by domain, of all records that are not decided now."""
    sizes, linked = tally.sizes(conn, setting.study), tally.linked(conn, setting.study)
    persons = Counter(p for key in inside if (p := records.persons[records.numbers[key]]) is not None)
    sizes.subtract(Counter(persons.values()))
    linked.subtract(Counter(k[0] for k in inside if records.persons[records.numbers[k]] is not None))
    return sizes, linked


def _keep(changes: Changes, found: Resolved, records: Records, aside: Kept | None) -> None:
    """Write down all edges of the pairs that won or lost one, and of those that were not even looked at."""
    code = found.first * max(len(records.keys), 1) + found.second
    lost = found.lost.min(axis=1) * max(len(records.keys), 1) + found.lost.max(axis=1)
    changed = np.union1d(code[found.changed], lost)
    chosen = np.isin(code, changed)
    code, table = code[chosen], found.table[chosen]
    counts = np.searchsorted(code, changed, side="right") - np.searchsorted(code, changed)
    known = np.array(records.keys, np.int64).reshape(-1, 2)
    one, other = (known[side] for side in np.divmod(changed, max(len(known), 1)))
    swap = (one[:, 0] > other[:, 0]) | ((one[:, 0] == other[:, 0]) & (one[:, 1] > other[:, 1]))
    keys = np.where(swap[:, None], np.hstack((other, one)), np.hstack((one, other)))
    if aside is not None:
        keys, counts, table = (np.concatenate(both) for both in zip((keys, counts, table), aside, strict=True))
    changes.write(keys, counts.astype(np.int64), table)


def _decide(
    setting: Setting,
    task: Task,
    records: Records,
    found: Resolved,
    inside: set[Key],
    parameters: Parameters,
    basis: str,
    everything: bool,
    seen: list[tuple[int, int, bytes]],
    others: tuple[Counter[int], Counter[int]],
    edges: int,
) -> Decided:
    from linkage.cluster import agglomerate
    from linkage.decide import Pairs, decide_with, tie_ranks
    from linkage.decide.near import near, only

    numbers = sorted((n for key in inside if records.part[n := records.numbers[key]]), key=records.keys.__getitem__)
    place = np.full(len(records.keys), -1, np.int64)
    place[numbers] = np.arange(len(numbers))
    all_pairs = count(found, records)
    here = (place[all_pairs.a] >= 0) & (place[all_pairs.b] >= 0)
    one, other = place[all_pairs.a[here]], place[all_pairs.b[here]]
    pairs = Pairs(
        np.minimum(one, other).astype(np.int32),
        np.maximum(one, other).astype(np.int32),
        all_pairs.c[here],
        all_pairs.s[here],
    )
    order = np.lexsort((pairs.b, pairs.a))
    pairs = Pairs(pairs.a[order], pairs.b[order], pairs.c[order], pairs.s[order])
    sources = np.array(records.sources, np.int32)[numbers]
    tags = np.frombuffer(b"".join(records.tags[n] for n in numbers), np.uint8).reshape(len(numbers), 16)
    if not everything:
        pairs = only(pairs, near(parameters, pairs, sources, setting.sites))
    frozen = parameters
    decision, parameters = decide_with(
        frozen,
        pairs,
        sources,
        setting.sites,
        setting.deduplicated,
        ties=tie_ranks(tags),
        part=not everything,
    )
    outgrown = frozen.outgrown(decision, setting.sites) if everything else []
    if everything:
        decision = _restrict(decision, near(parameters, pairs, sources, setting.sites))
    keys = [records.keys[n] for n in numbers]
    clusters = agglomerate(decision, sources, setting.deduplicated, tags, _verdicts(setting, keys))
    quality, links = links_of(decision, clusters)
    held = {key: person for key in inside if (person := records.persons[records.numbers[key]]) is not None}
    persons, happened = successors(held, keys, clusters.labels)
    before = b"".join(records.persons[n] or bytes(16) for n in numbers)
    qualities = np.array([records.qualities[n] for n in numbers], np.float64)  # None becomes NaN
    changed = (persons != np.frombuffer(before, np.uint8).reshape(-1, 16)).any(axis=1)
    changed |= ~((quality == qualities) | (np.isnan(quality) & np.isnan(qualities)))
    digest = hashlib.sha256(json.dumps([task.comparison_hash, parameters.sha256]).encode()).hexdigest()
    left = frozenset(key for key in inside if not records.part[records.numbers[key]])
    return Decided(
        records=np.array(keys, np.int64).reshape(-1, 2),
        persons=persons,
        quality=quality,
        changed=changed,
        links=links,
        happened=happened,
        counts=msgspec.structs.replace(
            counts_of(setting, task.left_out, keys, clusters.labels, links, decision, sources, others, edges),
            outgrown=[list(pair) for pair in outgrown],
        ),
        parameters_hash=digest,
        bounds=setting.bounds,
        cut=parameters.cut,
        parameters=parameters.canonical(),
        basis=basis,
        everything=everything,
        settled=seen,
        left=left,
        unmet=[(keys[a], keys[b]) for a, b in clusters.unmet],
        left_out=task.left_out,
    )


def _restrict(decision: Decision, chosen: NDArray[np.bool_]) -> Decision:
    """About those pairs only that can matter: that is what a window sees of a study, and both come to the same."""
    from linkage.decide.near import only

    return replace(
        decision,
        pairs=only(decision.pairs, chosen),
        posterior=decision.posterior[chosen],
        winner=decision.winner[chosen],
        cls=decision.cls[chosen],
        band=decision.band[chosen],
    )


def _verdicts(setting: Setting, keys: list[Key]) -> Verdicts:
    from linkage.cluster import Verdicts

    place = {key: position for position, key in enumerate(keys)}
    said = setting.verdicts
    return Verdicts.of((place[a], place[b], same) for a, b, same in said if a in place and b in place)
