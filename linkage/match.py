"""Front door of linkage without a service: sources in, pairs and persons out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from linkage.cluster import Verdicts, agglomerate
from linkage.decide import (
    Class,
    Densities,
    Expected,
    Parameters,
    RefIndex,
    Weights,
    add_up,
    decide_with,
    expected_rates,
    other_names,
    resolve,
    shipped,
    tie_ranks,
)
from linkage.errors import MatchInputError
from linkage.join import join
from linkage.maps import MapRefs
from linkage.pairtable import PairTable
from linkage.schema import Schema

U8 = NDArray[np.uint8]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Source:
    """What one site contributes.

    Attributes:
        name: of the source.
        rows: (n * P,) ROW.
        record_numbers: (n, 16) u1.
        refs: (n, P, 16) u1, sorted within each record; or those of a map file.
        deduplicated: whether the site declares that no two of its records are one person.
    """

    name: str
    rows: NDArray[np.void]
    record_numbers: U8
    refs: U8 | MapRefs
    deduplicated: bool = True


class Found(Protocol):
    """What a comparison found: `linkage.join.Edges`, or `linkage.executors.Gathered`, whose edges stay on the disk."""

    @property
    def n(self) -> int:
        """Number of edges."""

    @property
    def compared(self) -> int:
        """Pairs of rows that were compared."""

    @property
    def over_cap(self) -> tuple[int, ...]:
        """Per source, rows over its cap."""

    @property
    def blocks_skipped(self) -> int:
        """Blocks over the budget."""

    def parts(self) -> list[tuple[int, Callable[[], NDArray[np.void]]]]:
        """(number of edges, how to get at them)."""


@dataclass(frozen=True)
class MatchResult:
    """Records are numbered over all sources: those of the first source first, each in its own order.

    Attributes:
        decided: every pair with an edge, sorted by (a, b); its slices are arrays of PAIR. `other_name`: matched or
            possible, and one name differs wholly while all else agrees, as of twins at one address or after a marriage.
        labels: (records,) i4, person of each record.
        sources: (records,) i4, source of each record.
        names: of the sources.
        weights: estimated per pair of sources.
        expected: error rates to expect, per pair of sources, at their full size.
        refused: names of the sources whose declaration of being deduplicated does not hold.
        refused_merges: matched pairs that were not joined, because they would have merged two persons.
        counts: figures for people and logs.
        parameters: with which was decided; they decide the same records the same way again.
    """

    decided: PairTable
    labels: NDArray[np.int32]
    sources: NDArray[np.int32]
    names: tuple[str, ...]
    weights: tuple[Weights, ...]
    expected: tuple[Expected, ...]
    refused: tuple[str, ...]
    refused_merges: NDArray[np.int64]
    counts: dict[str, int]
    parameters: Parameters

    @cached_property
    def pairs(self) -> NDArray[np.void]:
        """(m,) PAIR: all of `decided` as one array, made when it is asked for."""
        return self.decided.whole()

    @property
    def cut(self) -> float:
        """Posterior above which a pair is a match."""
        return self.parameters.cut


def match(
    sources: Sequence[Source],
    schema: Schema,
    densities: Densities | None = None,
    *,
    bounds: tuple[float, float] = (0.05, 0.95),
    cut: float | None = None,
    careful: bool = False,
    parameters: Parameters | None = None,
    verdicts: Verdicts | None = None,
    tie_keys: U8 | None = None,
    parts: int = 1,
    workers: int = 1,
    edges: Found | None = None,
    progress: Progress | None = None,
) -> MatchResult:
    """Link two or more sources.

    Args:
        sources: at least two, each name once.
        schema: under which all of them were encoded.
        densities: those of the study; by default the shipped ones of the schema's profile.
        bounds: posteriors between which a pair is unsure.
        cut: posterior above which a pair is a match; by default 0.5 for two sources, 0.8 for more.
        careful: leave pairs whose given names, or surnames, differ wholly while all else agrees to people: twins at
            one address and changed surnames among them, but also many true pairs (docs/how-to/evaluate.md).
        parameters: frozen by an earlier match (`MatchResult.parameters`); in place of densities, bounds, cut and
            careful, which do not count then. The cut of two sources becomes that of more where a third has come.
        verdicts: what people decided about pairs of records.
        tie_keys: (records, 16) u1; by default the record numbers.
        parts: cut the comparison into this many ranges of tokens, to bound memory.
        workers: threads of the comparison.
        edges: of a comparison that was made elsewhere (`linkage.executors`); the rows of the sources are not looked at.
        progress: called with (stage, done, total); may raise to cancel. Stages: compare, map (reading refs), edges
            (finding their records), decide, cluster.

    Raises:
        MatchInputError: fewer than two sources, shapes that do not fit the schema, or a ref that occurs twice.
        DensitiesError: none ship for the schema's profile.
    """
    _check(sources, schema, rows=edges is None)
    if parameters is None:
        densities = densities or shipped(schema.profile)
        parameters = Parameters.of(densities, bounds, len(sources), cut, careful=schema if careful else None)
    else:
        parameters = parameters.among(len(sources))
    if parameters.passes != schema.P:
        raise MatchInputError("the densities were made for another number of passes")

    def told(stage: str) -> Callable[[int, int], None] | None:
        return None if progress is None else partial(progress, stage)

    if edges is None:
        edges = join(
            [s.rows for s in sources],
            schema.levels,
            caps=[p.cap for p in schema.passes],
            parts=parts,
            workers=workers,
            progress=told("compare"),
        )
    owner = np.repeat(np.arange(len(sources), dtype=np.int32), [s.refs.shape[0] for s in sources])
    keys = np.concatenate([s.record_numbers for s in sources]) if tie_keys is None else tie_keys
    index = RefIndex.read(lambda: _refs(sources), len(owner), schema.P, progress=told("map"))
    if index.repeated:
        raise MatchInputError("a ref belongs to two records", hint="is one source there twice?")
    resolved = resolve(edges.parts(), index, progress=told("edges"))
    del index  # 21 bytes a ref
    pairs = add_up(resolved, len(owner))
    del resolved
    declared = [s.deduplicated for s in sources]
    names = tuple(s.name for s in sources)
    decision, parameters = decide_with(
        parameters, pairs, owner, names, declared, ties=tie_ranks(keys), progress=told("decide")
    )
    if progress is not None:
        progress("cluster", 0, 1)
    clusters = agglomerate(decision, owner, declared, keys, verdicts)
    if progress is not None:
        progress("cluster", 1, 1)
    table = PairTable(decision, other_names(schema))
    counts = {
        "records": len(owner),
        "rows_compared": edges.compared,
        "edges": edges.n,
        "rows_over_cap": sum(edges.over_cap),
        "blocks_skipped": edges.blocks_skipped,
        "pairs": len(pairs),
        "matches": int((decision.cls == Class.MATCH).sum()),
        "possible": int((decision.cls == Class.POSSIBLE).sum()),
        "unsure": int(decision.band.sum()),
        "other_name": sum(int(part["other_name"].sum()) for part in table.parts()),
        "refused_merges": len(clusters.refused),
        "persons": int(clusters.labels.max(initial=-1)) + 1,
    }
    return MatchResult(
        decided=table,
        labels=clusters.labels,
        sources=owner,
        names=names,
        weights=decision.weights,
        expected=tuple(expected_rates(decision, owner, parameters.tables())),
        refused=tuple(sources[s].name for s in decision.refused),
        refused_merges=clusters.refused,
        counts=counts,
        parameters=parameters,
    )


def _refs(sources: Sequence[Source]) -> Iterator[U8]:
    """(k, P, 16) u1 each, all refs in the order of the records."""
    for source in sources:
        if isinstance(source.refs, MapRefs):
            yield from source.refs.parts()
        else:
            yield source.refs


def _check(sources: Sequence[Source], schema: Schema, *, rows: bool) -> None:
    if len(sources) < 2:
        raise MatchInputError("at least two sources are needed")
    if len({s.name for s in sources}) != len(sources):
        raise MatchInputError("two sources have one name")
    for at, source in enumerate(sources):
        n = len(source.record_numbers)
        if source.refs.shape != (n, schema.P, 16) or source.record_numbers.shape != (n, 16):
            raise MatchInputError("record numbers and refs do not fit the passes", where=f"source {at + 1}")
        if rows and len(source.rows) != n * schema.P:
            raise MatchInputError("there are not P rows per record", where=f"source {at + 1}")
