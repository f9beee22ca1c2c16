"""FEBRL 4 with few people in common, over many draws of who they are, beside the plaintext peers on the same records.

With 264 people in common one of them is 0.002 of F1, so one draw says little. The draws are fixed: numpy's generator
under the seeds 1, 2, 3, ... puts the 5,000 people into an order; the first are on both sides, the next on A only, the
rest on B only. Nothing about passes, densities or rule was ever chosen on these figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from linkage_bench import Row, febrl, only, ours
from numpy.typing import NDArray
from plaintext_peer import Peers, Side

from linkage import load_schema

PEOPLE = 5000
COMMON = {"10": 264, "50": 1666}  # so that each side has 2,632, and 3,333 people


def draw(a: Side, b: Side, common: int, seed: int) -> tuple[Side, Side]:
    """Both sides of one draw."""
    order = np.random.default_rng(seed).permutation(PEOPLE).tolist()
    alone = (PEOPLE - common) // 2
    both, left = set(order[:common]), set(order[common : common + alone])
    right = set(order[common + alone :])
    return only(a, lambda p: p in both or p in left), only(b, lambda p: p in both or p in right)


def draws(options: argparse.Namespace) -> Iterator[Row]:
    """One line a draw, and the mean and the spread of all."""
    schema = load_schema("febrl/1")
    a, b = febrl("a"), febrl("b")
    for percent in options.shares:
        figures = []
        for seed in range(options.first, options.last + 1):
            left, right = draw(a, b, COMMON[percent], seed)
            mine, seconds = ours(schema, {"a": left, "b": right})
            peers = Peers.of(schema, [left, right])
            figures.append([q.f1 for q in (mine, peers.ecm, peers.levels, peers.best, peers.known)])
            missed = f"{mine.true - mine.right} of {mine.true} missed, {mine.found - mine.right} wrong"
            yield f"FEBRL 4, {percent} % common, draw {seed}", f"{mine} ({seconds:.1f} s); {missed}", str(peers)
        yield from _summed(percent, np.array(figures))


def _summed(percent: str, figures: NDArray[np.float64]) -> Iterator[Row]:
    """Mean and spread of ours and of each peer; columns as in `draws`."""
    name = f"FEBRL 4, {percent} % common, {len(figures)} draws"
    yield name, _spread(figures[:, 0]), ""
    for peer, column in (("ECM", 1), ("levels", 2), ("levels, best cut", 3), ("weights and cut by the truth", 4)):
        above, equal = (int(is_(figures[:, 0], figures[:, column]).sum()) for is_ in (np.greater, np.equal))
        yield f"  {peer}", _spread(figures[:, column]), f"ours above it {above} times, equal {equal}"


def _spread(f1: NDArray[np.float64]) -> str:
    deviation = f1.std(ddof=min(1, len(f1) - 1))
    return f"mean {f1.mean():.4f}, standard deviation {deviation:.4f}, {f1.min():.4f} to {f1.max():.4f}"
