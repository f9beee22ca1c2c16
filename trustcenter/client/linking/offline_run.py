"""The files of a match without a service: `pairs.csv`, `persons.csv`, `run.json` (figures), and `parameters.json`.

The last one freezes what was decided with, byte for byte: a later match under it decides as this one did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing
from trustcenter.client.jobs.csvstream import write_csv

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from linkage.decide import Parameters, Weights
    from linkage.evaluate.model import Projected
    from linkage.match import MatchResult
    from linkage.pairtable import PairTable
    from linkage.schema import Schema

Progress = Callable[[int, int], None]

RUN: Final = "run.json"
PARAMETERS: Final = "parameters.json"
PAIRS: Final = "pairs.csv"
PERSONS: Final = "persons.csv"
EVENTS: Final = "events.csv"
EXPLAINED: Final = "explained.csv"
OF_ONE: Final = (EVENTS, EXPLAINED)  # files that some outcomes have, and that fit no other
_AT_ONCE: Final = 1 << 16  # pairs
OTHER_NAME: Final = "other_name"
_OF_PAIR: Final = ("a", "b", "edges", "closeness", "posterior", "class", OTHER_NAME)
_PAIR_COLUMNS: Final = (
    *("source_a", "record_a", "id_a", "source_b", "record_b", "id_b"),
    *("edges", "distance", "posterior", "class", "joined", OTHER_NAME),
)


class PairWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights that were estimated for two sources; see `linkage.decide.Weights` and `linkage.decide.fit.Fitted`."""

    sources: tuple[str, str]
    pairs: int
    winners: int
    match: float
    relative: float
    stranger: float
    grades: dict[str, float]
    won: tuple[float, ...]
    lost: tuple[float, ...]
    evidence: float


class PairExpected(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be expected of two sources; see `linkage.decide.Expected`."""

    sources: tuple[str, str]
    pairs: tuple[int, int, int, int]
    same: tuple[float, float, float, float]


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One run of a match.

    Attributes:
        format: of this file.
        schema: name of the schema.
        fingerprint: of the schema.
        profile: its passes.
        passes: their number.
        cut: posterior above which a pair is a match.
        bounds: posteriors between which a pair is unsure.
        densities_sha256: of the densities, all numbers as little-endian f8.
        parameters_sha256: of `parameters.json`.
        sources: name → whether it was declared free of duplicates.
        refused: sources whose declaration did not hold.
        weights: per two sources.
        expected: per two sources, as it was decided by the match.
        counts: figures for people.
    """

    format: str = "trustcenter/linkage-run/1"
    schema: str
    fingerprint: str
    profile: str
    passes: int
    cut: float
    bounds: tuple[float, float]
    densities_sha256: str
    parameters_sha256: str
    sources: dict[str, bool]
    refused: list[str]
    weights: list[PairWeights]
    expected: list[PairExpected]
    counts: dict[str, int]


def write_outcome(
    target: Path,
    records: Sequence[tuple[str, str, str]],
    pairs: NDArray[np.void] | PairTable,
    persons: Sequence[int] | NDArray[np.int32],
    *,
    progress: Progress | None = None,
) -> None:
    """Write `persons.csv` and `pairs.csv`.

    Args:
        target: directory.
        records: (source, record number, id or "") of each record.
        pairs: PAIR, of which some are asked for at a time.
        persons: number of each record's person.
        progress: called with (pairs written, pairs); may raise to cancel.
    """
    from linkage.decide import Class

    words = {int(c): c.name.lower().replace("_", "-") for c in Class}
    write_csv(
        target / PERSONS,
        ("source", "record_number", "id", "person"),
        ((*record, person) for record, person in zip(records, persons, strict=True)),
    )
    write_csv(target / PAIRS, _PAIR_COLUMNS, _lines(records, pairs, persons, words, progress))


def _lines(
    records: Sequence[tuple[str, str, str]],
    pairs: NDArray[np.void] | PairTable,
    persons: Sequence[int] | NDArray[np.int32],
    words: dict[int, str],
    progress: Progress | None,
) -> Iterator[tuple[object, ...]]:
    """The lines of `pairs.csv`; some pairs at a time become objects of Python."""
    for start in range(0, len(pairs), _AT_ONCE):
        part = pairs[start : start + _AT_ONCE]
        fields = [part[name].tolist() for name in _OF_PAIR]
        for a, b, edges, distance, posterior, kind, other in zip(*fields, strict=True):
            yield (
                *records[a],
                *records[b],
                edges,
                f"{distance:.4f}",
                f"{posterior:.9f}",  # in the steps of the specification, so that the order of pairs can be told from it
                words[kind],
                int(persons[a] == persons[b]),
                int(other),
            )
        if progress is not None:
            progress(start + len(part), len(pairs))


def write_run(target: Path, result: MatchResult, schema: Schema, deduplicated: list[bool]) -> None:
    """Write `run.json` and `parameters.json`: no id, no record number."""
    names = result.names
    run = Run(
        schema=schema.name,
        fingerprint=schema.fingerprint,
        profile=schema.profile,
        passes=schema.P,
        cut=result.parameters.cut,
        bounds=result.parameters.bounds,
        densities_sha256=result.parameters.tables().sha256,
        parameters_sha256=result.parameters.sha256,
        sources=dict(zip(names, deduplicated, strict=True)),
        refused=list(result.refused),
        weights=[
            PairWeights(
                sources=(names[w.sources[0]], names[w.sources[1]]),
                pairs=w.pairs,
                winners=w.winners,
                match=w.match,
                relative=w.relative,
                stranger=w.stranger,
                grades=w.grades,
                won=w.fitted.won,
                lost=w.fitted.lost,
                evidence=w.fitted.evidence,
            )
            for w in result.weights
        ],
        expected=[
            PairExpected(sources=(names[e.sources[0]], names[e.sources[1]]), pairs=e.pairs, same=e.same)
            for e in result.expected
        ],
        counts=result.counts,
    )
    save_run(target, run)
    save_parameters(target, result.parameters)


def save_run(target: Path, run: Run) -> None:
    """Write `run.json`."""
    with replacing(target / RUN) as file:
        file.write(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")


def estimated(run: Run) -> list[Weights]:
    """The weights of a run, by numbers of sources."""
    from linkage.decide import Weights
    from linkage.decide.fit import Fitted

    place = {name: i for i, name in enumerate(run.sources)}
    return [
        Weights(
            (place[w.sources[0]], place[w.sources[1]]),
            w.pairs,
            w.winners,
            w.match,
            w.relative,
            w.stranger,
            w.grades,
            Fitted(w.won, w.lost, w.evidence),
        )
        for w in run.weights
    ]


def projected(run: Run) -> list[Projected]:
    """The error rates of a run, for an evaluation."""
    from linkage.decide import Expected
    from linkage.evaluate.model import Projected

    found = []
    for pair in run.expected:
        e = Expected((0, 1), pair.pairs, pair.same)
        found.append(
            Projected(
                sources=pair.sources,
                pairs=e.pairs,
                same=e.same,
                false_matches=e.false_matches,
                false_possible=e.false_possible,
                missed=e.missed,
                false_non_matches=e.false_non_matches,
            )
        )
    return found


def save_parameters(target: Path, parameters: Parameters) -> None:
    """Write `parameters.json`."""
    with replacing(target / PARAMETERS) as file:
        file.write(parameters.canonical())


def read_parameters(path: Path) -> Parameters:
    """Frozen parameters.

    Raises:
        LocalFileError: the file cannot be read. LinkageError: it is not one.
    """
    from linkage.decide import parse_parameters

    try:
        data = path.read_bytes()
    except OSError as e:
        raise LocalFileError("the parameters cannot be read", code="unreadable", hint=e.strerror or "") from None
    return parse_parameters(data)


def read_run(matched: Path) -> Run:
    """The run of an outcome.

    Raises:
        LocalFileError: there is none, or it is not one.
    """
    try:
        return msgspec.json.decode((matched / RUN).read_bytes(), type=Run)
    except FileNotFoundError:
        raise LocalFileError("the outcome has no run.json", code="no_run", hint="match again") from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        raise LocalFileError("run.json is not one of a match", code="bad_run", hint="match again") from None
