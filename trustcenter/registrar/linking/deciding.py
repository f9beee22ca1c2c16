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

from trustcenter.messages.rooms import EDGE_BYTES
from trustcenter.store import Connection, Location, snapshot

from . import components, joined, tally
from .brought import Kept
from .changes import Changes
from .outcome import Decided, counts_of, links_of, tallied
from .pairs import Key, Standing, departures, standing
from .reading import Reader, Records, Resolved, Setting
from .subjects import Subjects
from .succeeding import successors
from .whole import Whole

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


@dataclass(frozen=True)
class _Start:
    """What a run begins with, read in one snapshot with its records.

    Attributes:
        setting: of the study.
        parameters: of the run before, or of a first one.
        basis: what else the decision rests on.
        seen: records that something happened to since the last applied run, with their marks.
        departures: how often records had left linkage.
    """

    setting: Setting
    parameters: Parameters
    basis: str
    seen: list[tuple[int, int, bytes]]
    departures: int

    @classmethod
    def read(cls, conn: Connection, task: Task) -> _Start:
        setting, before = Setting.read(conn, task.study), standing(conn, task.study)
        parameters = _parameters(setting, before, anew=task.mode == "estimate")
        seen = components.touched(conn, setting)
        return cls(setting, parameters, _basis(setting, task.comparison_hash), seen, departures(conn, task.study))


def decide_study(place: Location, task: Task) -> Decided:
    """Decide the pairs of a study that a window may have changed, or all of them, and cluster their records.

    Args:
        place: the registrar's store, of which one snapshot is read.
        task: what to decide.
    """
    changes = Changes(task.changes)
    subjects = whole = None
    others = tally.Counts(Counter(), Counter())  # of everything there are none
    with snapshot(place) as conn:  # one for all queries
        start = _Start.read(conn, task)
        changes.begin(task.study, start.departures)
        if not wants_everything(conn, task.study, task.comparison_hash, task.mode):
            subjects, others = _window(conn, start, task, changes)
        if subjects is None:  # also where two of the sites have no frozen weights: they are estimated from all pairs
            whole = Whole.read(conn, start.setting, task.left_out, task.changes)
    if whole is not None:  # the snapshot is over: it would keep the store's log from being cut
        subjects = joined.subjects(whole, task.edges, changes)
    assert subjects is not None
    changes.complete()
    return _decide(task, start, subjects, others, everything=whole is not None)


def _window(conn: Connection, start: _Start, task: Task, changes: Changes) -> tuple[Subjects | None, tally.Counts]:
    """The records that a window touches, and counts of all others; None where it meets sites without frozen weights."""
    from linkage.rows import EDGE

    reader = Reader(conn, start.setting, task.left_out)
    component = components.Component(reader, np.fromfile(task.edges, dtype=EDGE), start.parameters)
    found = component.grow()
    if found is None:
        return None, tally.Counts(Counter(), Counter())
    _keep(changes, found, reader.records, component.aside)
    others = _others(conn, start.setting, component.inside, reader.records)
    return Subjects.of(component.inside, reader.records, found), others


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


def _others(conn: Connection, setting: Setting, inside: set[Key], records: Records) -> tally.Counts:
    """Counts of all records that are not decided now."""
    others = tally.Counts(tally.linked(conn, setting.study), tally.sizes(conn, setting.study))
    persons = Counter(p for key in inside if (p := records.persons[records.numbers[key]]) is not None)
    others.sizes.subtract(Counter(persons.values()))
    others.linked.subtract(Counter(k[0] for k in inside if records.persons[records.numbers[k]] is not None))
    return others


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
    changes.add(keys, counts.astype(np.int64), table)


def _decide(task: Task, start: _Start, subjects: Subjects, others: tally.Counts, *, everything: bool) -> Decided:
    """What comes of the pairs of these records."""
    from linkage.cluster import agglomerate
    from linkage.decide import decide_with, tie_ranks
    from linkage.decide.near import near, only

    setting, pairs, sources = start.setting, subjects.pairs, subjects.sources
    if not everything:
        pairs = only(pairs, near(start.parameters, pairs, sources, setting.sites))
    decision, parameters = decide_with(
        start.parameters,
        pairs,
        sources,
        setting.sites,
        setting.deduplicated,
        ties=tie_ranks(subjects.tags),
        part=not everything,
    )
    outgrown = start.parameters.outgrown(decision, setting.sites) if everything else []
    if everything:
        decision = _restrict(decision, near(parameters, pairs, sources, setting.sites))
    verdicts = _verdicts(setting, subjects)
    clusters = agglomerate(decision, sources, setting.deduplicated, subjects.tags, verdicts)
    quality, links = links_of(decision, clusters)
    persons, happened = successors(subjects, clusters.labels)
    changed = (persons != subjects.persons).any(axis=1)
    changed |= ~((quality == subjects.quality) | (np.isnan(quality) & np.isnan(subjects.quality)))
    digest = hashlib.sha256(json.dumps([task.comparison_hash, parameters.sha256]).encode()).hexdigest()
    unmet = np.array(clusters.unmet, np.int64).reshape(-1, 2)
    sides = [list(map(tuple, subjects.keys[side].tolist())) for side in unmet.T]
    return Decided(
        records=subjects.keys,
        persons=persons,
        quality=quality,
        changed=changed,
        links=links,
        happened=happened,
        counts=msgspec.structs.replace(
            counts_of(setting, task.left_out, subjects, clusters.labels, links, decision, others, _edges(task)),
            outgrown=[list(pair) for pair in outgrown],
        ),
        parameters_hash=digest,
        bounds=setting.bounds,
        cut=parameters.cut,
        parameters=parameters.canonical(),
        basis=start.basis,
        everything=everything,
        settled=start.seen,
        left=frozenset() if everything else frozenset(map(tuple, subjects.gone.tolist())),
        unmet=list(zip(*sides, strict=True)),
        departures=start.departures,
        counted=_counted(subjects, clusters.labels) if everything else None,
        left_out=task.left_out,
    )


def _edges(task: Task) -> int:
    return task.edges.stat().st_size // EDGE_BYTES


def _counted(subjects: Subjects, labels: NDArray[np.int32]) -> tally.Counts | None:
    """Linked records by domain and persons by size, where nobody belonged to a person before."""
    if subjects.persons.any() or subjects.gone_persons.any():
        return None
    return tally.Counts(tallied(subjects.keys[:, 0]), tallied(np.bincount(labels)))


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


def _verdicts(setting: Setting, subjects: Subjects) -> Verdicts:
    """What people decided about pairs of these records."""
    from linkage.cluster import Verdicts

    one = subjects.places([a for a, _, _ in setting.verdicts]).tolist()
    other = subjects.places([b for _, b, _ in setting.verdicts]).tolist()
    same = [said for _, _, said in setting.verdicts]
    return Verdicts.of(verdict for verdict in zip(one, other, same, strict=True) if min(verdict[:2]) >= 0)
