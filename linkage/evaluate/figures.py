"""The charts of an evaluation, by name; the page shows them, and they can be saved one by one."""

from __future__ import annotations

from collections.abc import Sequence

from linkage import charts
from linkage.evaluate.model import Bin, Evaluation

_CLASSES = ("match", "possible", "non-match")


def figures(e: Evaluation) -> dict[str, str]:
    """File name without suffix → `<svg>`."""
    found = {
        "scores": charts.columns(
            "Pairs by posterior, with the cut",
            [f"{b.low:.2f}" for b in e.scores],
            _classes(e.scores),
            _CLASSES,
            x_title="posterior of a match (lower end of each column)",
            y_title="pairs",
            marks=[(e.cut * len(e.scores), f"cut {e.cut:g}")],
            logarithmic=True,
        ),
        "thresholds": charts.curves(
            "Precision, recall and F1 against the threshold",
            [
                ("precision", [(p.threshold, p.rates.precision) for p in e.curve]),
                ("recall", [(p.threshold, p.rates.recall) for p in e.curve]),
                ("F1", [(p.threshold, p.rates.f1) for p in e.curve]),
            ],
            x_title="pairs above this posterior are joined",
            y_title="rate",
            x_range=(0.0, 1.0),
            y_range=(_floor(e), 1.0),
            marks=[(e.cut, f"cut {e.cut:g}")],
        ),
        "edges": charts.columns(
            "Pairs by number of edges",
            [f"{b.low:g}" for b in e.edges],
            _classes(e.edges),
            _CLASSES,
            x_title="edges of a pair (passes in which its rows were close)",
            y_title="pairs",
            logarithmic=True,
        ),
        "clusters": charts.bars(
            "Persons by number of records",
            [(f"{size} record{'s' * (size > 1)}", (count,)) for size, count in e.cluster_sizes.items()],
            ("persons",),
        ),
    }
    if e.losses is not None:
        found["losses"] = charts.bars("Where the true pairs went", losses(e), ("pairs",))
    if e.passes is not None:
        whole = max(e.passes.pairs, 1)
        use = e.passes.use
        found["recall-by-passes"] = charts.curves(
            "Recall by number of passes",
            [("share a block", [(k + 1, p.together / whole) for k, p in enumerate(use)])],
            x_title="passes, the one that adds most first",
            y_title=f"share of {e.passes.of}",
            x_range=(1, max(len(use), 2)),
            y_range=(_round(min((p.together / whole for p in use), default=0.0)), 1.0),
        )
        found["passes"] = charts.bars(
            "Pairs per pass", [(p.name, (p.pairs, e.passes.pairs - p.pairs)) for p in use], ("share a block", "do not")
        )
        most = max((len(p.sizes) for p in use), default=0)
        found["block-sizes"] = charts.columns(
            "Rows by size of their block, all passes",
            [_bucket(k) for k in range(most)],
            [[sum(p.sizes[k] for p in use if k < len(p.sizes))] for k in range(most)],
            ("rows",),
            x_title="rows in the block",
            y_title="rows",
            logarithmic=True,
        )
    return found


def losses(e: Evaluation) -> list[tuple[str, tuple[int, ...]]]:
    """Names and counts of what became of the true pairs."""
    if e.losses is None:
        return []
    lost = e.losses
    return [
        ("joined", (lost.joined,)),
        ("no edge", (lost.no_edge,)),
        ("non-match", (lost.non_match,)),
        ("possible", (lost.possible,)),
        ("merge refused", (lost.refused,)),
    ]


def _classes(bins: Sequence[Bin]) -> list[list[float]]:
    return [[b.match, b.possible, b.non_match] for b in bins]


def _floor(e: Evaluation) -> float:
    """Foot of the axis of rates: a round number below all of them."""
    return _round(min((min(p.rates.precision, p.rates.recall) for p in e.curve), default=0.0))


def _round(value: float) -> float:
    return max(0.0, int(value * 10) / 10 - (0.1 if value * 10 == int(value * 10) else 0.0))


def _bucket(k: int) -> str:
    return ("1", "2")[k] if k < 2 else f"{2 ** (k - 1) + 1:,}-{2**k:,}"
