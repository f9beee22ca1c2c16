"""Why each pair of an outcome was joined or not, as a file beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from trustcenter.client.jobs.csvstream import write_csv

from .offline_evaluate import Matched
from .offline_run import EXPLAINED

Progress = Callable[[str, int, int], None]

_EVERY: Final = 1000  # pairs between two reports of progress
_EXPLAINED_COLUMNS: Final = (
    *("source_a", "record_a", "id_a", "source_b", "record_b", "id_b", "class", "joined", "reason"),
    *("edges", "mean_level", "posterior", "bits_before", "bits_edges", "bits_closeness"),
    *("rivals_a", "best_rival_a", "rivals_b", "best_rival_b"),
)


def write_explained(matched: Path, *, force: bool = False, progress: Progress | None = None) -> int:
    """Write `explained.csv` into an outcome: why every matched and every possible pair was joined or not, one a row.

    `progress` is called with ("read", bytes, size), then ("explain", pairs done, pairs); it may raise to cancel.
    Returns how many. Raises as `Matched`.
    """
    found = Matched(matched, None if progress is None else partial(progress, "read"))
    explainer = found.explainer()
    pairs = found.outcome.pairs
    wanted = pairs[pairs["class"] != 0][["a", "b"]].tolist()

    def rows() -> Iterator[tuple[object, ...]]:
        for done, (a, b) in enumerate(wanted):
            if progress is not None and done % _EVERY == 0:
                progress("explain", done, len(wanted))
            e = explainer.explain(a, b)
            bits: tuple[str, ...] = ("", "", "")
            if e.evidence is not None:
                bits = tuple(f"{v:.2f}" for v in (e.evidence.before, e.evidence.edges, e.evidence.closeness))
            yield (
                *found.records[a],
                *found.records[b],
                e.decision,
                int(e.joined),
                e.reason,
                e.edges,
                f"{e.level:.2f}",
                f"{e.posterior:.6f}",
                *bits,
                len(e.rivals_a),
                f"{e.rivals_a[0].posterior:.6f}" if e.rivals_a else "",
                len(e.rivals_b),
                f"{e.rivals_b[0].posterior:.6f}" if e.rivals_b else "",
            )

    write_csv(matched / EXPLAINED, _EXPLAINED_COLUMNS, rows(), force=force)
    return len(wanted)
