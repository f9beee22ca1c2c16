"""Persons of an outcome formed anew: with what people decided, or after another match; and what became of whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from trustcenter.client.errors import LocalFileError
from trustcenter.client.jobs.csvstream import read_columns, write_csv
from trustcenter.errors import UsageError

from .folders import filling, require_directory
from .offline_evaluate import Matched
from .offline_run import (
    EVENTS,
    OF_ONE,
    PARAMETERS,
    PERSONS,
    read_parameters,
    read_run,
    save_parameters,
    save_run,
    write_outcome,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from linkage.cluster import Event
    from linkage.decide import Decision

LAST: Final = "last_person"  # in the counts of the run


@dataclass(frozen=True)
class Clustered:
    """What came of it: counts, and what happened to the persons of the outcome before.

    Attributes:
        persons: how many.
        verdicts: pairs that people decided.
        unmet: of these, pairs called the same that could not be joined.
        refused: matched pairs that were not joined, because it would have merged two persons.
        events: compared with the outcome before, if there was one.
    """

    persons: int
    verdicts: int
    unmet: int
    refused: int
    events: tuple[Event[int], ...] | None


def cluster_directory(
    matched: Path,
    target: Path,
    *,
    verdicts: Path | None = None,
    previous: Path | None = None,
    cut: float | None = None,
    force: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Clustered:
    """Form the persons of an outcome of `match` again and write it as a new outcome.

    Args:
        matched: directory of the outcome.
        target: directory to write.
        verdicts: a sheet of pairs with the decisions of people (`Matched.labels`).
        previous: an outcome of the same sources before: persons keep its numbers, and `events.csv` says what happened.
        cut: posterior above which a pair is a match; by default that of the run.
        force: overwrite.
        progress: called with (stage, done, total), the stages read and write; may raise to cancel.

    Raises:
        UsageError: a decision that does not fit. LinkageError: contradictory ones. LocalFileError: a file.
    """
    import numpy as np

    from linkage.cluster import Verdicts, agglomerate
    from linkage.decide import hold_back

    require_directory(target, force=force)
    found = Matched(matched, None if progress is None else partial(progress, "read"))
    limit = found.run.cut if cut is None else cut
    pairs = found.outcome.pairs.copy()
    frozen = read_parameters(matched / PARAMETERS)
    decision = hold_back(_decision(found, pairs, limit), frozen.left)
    said = [] if verdicts is None else found.labels(verdicts)
    clusters = agglomerate(
        decision,
        np.asarray(found.outcome.sources, np.int32),
        list(found.run.sources.values()),
        np.frombuffer(bytes.fromhex("".join(n for _, n, _ in found.records)), np.uint8).reshape(-1, 16),
        Verdicts.of((int(pairs["a"][k]), int(pairs["b"][k]), same) for k, same in said),
    )
    pairs["class"] = decision.cls
    persons = clusters.labels.tolist()
    events, last = None, max(persons, default=0)
    if previous is not None:
        persons, events, last = _succeed(found.records, persons, previous)
    counts = {
        **found.run.counts,
        "matches": int((decision.cls == 2).sum()),
        "possible": int((decision.cls == 1).sum()),
        "refused_merges": len(clusters.refused),
        "persons": len(set(persons)),
        "verdicts": len(said),
        LAST: last,
    }
    parameters = msgspec.structs.replace(frozen, cut=limit)
    run = msgspec.structs.replace(found.run, cut=limit, counts=counts, parameters_sha256=parameters.sha256)
    written = None if progress is None else partial(progress, "write")
    with filling(target, force=force, stale=OF_ONE) as folder:
        write_outcome(folder, found.records, pairs, persons, progress=written)
        save_run(folder, run)
        save_parameters(folder, parameters)
        if events is not None:
            rows = ((e.kind.value, e.person, " ".join(map(str, e.into)), e.records) for e in events)
            write_csv(folder / EVENTS, ("event", "person", "into", "records"), rows)
    return Clustered(len(set(persons)), len(said), len(clusters.unmet), len(clusters.refused), events)


def _decision(found: Matched, pairs: NDArray[np.void], cut: float) -> Decision:
    """The decision of the files, under another cut perhaps: a winner is what is no non-match."""
    import numpy as np

    from linkage.decide import Class, Decision, Pairs

    names = list(found.run.sources)
    c = pairs["edges"].astype(np.int32)
    s = np.rint(c * (1 + (pairs["closeness"] - 0.05) / 0.1)).astype(np.int32)
    posterior, cls = pairs["posterior"].copy(), pairs["class"].copy()
    winner = cls != Class.NON_MATCH
    trusted = np.array([ok and name not in found.run.refused for name, ok in found.run.sources.items()], np.bool_)
    sources = np.asarray(found.outcome.sources)
    both = trusted[sources[pairs["a"]]] & trusted[sources[pairs["b"]]]
    if cut != found.run.cut:  # with the run's own cut the classes stand as they are: there may be too little evidence
        cls[winner] = Class.POSSIBLE
        cls[winner & both & (posterior > cut)] = Class.MATCH
    low, high = found.run.bounds
    return Decision(
        Pairs(pairs["a"], pairs["b"], c, s),
        posterior,
        winner,
        cls,
        winner & (posterior >= low) & (posterior <= high),
        (),
        tuple(names.index(name) for name in found.run.refused),
    )


def _succeed(
    records: list[tuple[str, str, str]], labels: list[int], previous: Path
) -> tuple[list[int], tuple[Event[int], ...], int]:
    """Numbers of the persons, what happened, and the highest number ever given.

    Senior is who was there before, then by source and record number.
    """
    from linkage.cluster import succession

    rows = read_columns(previous / PERSONS, ("source", "record_number", "person"))
    try:
        before = {(source, number): int(person) for source, number, person in rows}
    except ValueError:
        raise LocalFileError("persons.csv is not one of a match", code="bad_run", hint="match again") from None
    now = [(source, number) for source, number, _ in records]
    if not set(now) & before.keys():
        raise UsageError(
            "the outcome before has none of these records", code="mixed_sources", hint="are the site keys the same?"
        )
    groups: dict[int, list[tuple[str, str]]] = {}
    for record, label in zip(now, labels, strict=True):
        groups.setdefault(label, []).append(record)
    # A number is never given twice, even if its person ended in between.
    last = max(*before.values(), read_run(previous).counts.get(LAST, 0))

    def fresh(_: tuple[str, str]) -> int:
        nonlocal last
        last += 1
        return last

    made = succession(before, list(groups.values()), lambda record: (record not in before, *record), fresh)
    person = dict(zip(groups, made.persons, strict=True))
    return [person[label] for label in labels], made.events, last
