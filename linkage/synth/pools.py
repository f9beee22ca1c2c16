"""Weighted pools of names, streets and places from which people are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linkage.synth.draw import Draw
from linkage.synth.words import frequencies, is_woman, restored, words

Strings = NDArray[np.object_]
ORIGINS = ("turkish", "slavic", "arabic", "other")
_ORIGIN_SHARE = np.array([0.3, 0.38, 0.17, 0.15])
# The 1,000 surnames of the list cover 70.5 % of people; a long tail of rare ones holds the others.
_TAIL_OF_SURNAMES = 0.295
# The 998 towns cover 68 %, the 999 postcodes 37 %.
_TAIL_OF_TOWNS = 0.32
_OWN_SEED = "linkage.synth/1"


@dataclass(frozen=True)
class Pool:
    """Strings and their weights.

    Attributes:
        items: shape (n,), str.
        weights: shape (n,), float64, not normalised.
    """

    items: Strings
    weights: NDArray[np.float64]

    def draw(self, draw: Draw, n: int) -> Strings:
        """Draw n strings."""
        return self.items[draw.choose(n, self.weights)]


def strings(items: list[str]) -> Strings:
    """A list of str as an object array."""
    array = np.empty(len(items), dtype=np.object_)
    array[:] = items
    return array


def _falling(n: int, *, flat: bool = False) -> NDArray[np.float64]:
    """Weights 1/sqrt(k), or the fourth root; roots are exact on every platform, powers are not."""
    root = np.sqrt(np.arange(2.0, n + 2.0))
    return np.asarray(1.0 / (np.sqrt(root) if flat else root), dtype=np.float64)


def _scaled(weights: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    return weights * (total / math.fsum(weights.tolist()))


def _flat(items: list[str]) -> Pool:
    return Pool(strings(items), _falling(len(items)))


@cache
def origin_shares() -> NDArray[np.float64]:
    """Shares of the origins in ORIGINS among people of another origin."""
    return _ORIGIN_SHARE


@cache
def given_names() -> dict[tuple[str, int], Pool]:
    """Pools by (origin, sex); origins "german", "modern" and those of ORIGINS; sex 0 woman, 1 man."""
    names, counts = restored("FIRSTNAME")
    pools: dict[tuple[str, int], Pool] = {}
    women = [is_woman(n) for n in names]
    for sex in (0, 1):
        chosen = [(n, c) for n, c, w in zip(names, counts, women, strict=True) if w == (sex == 0)]
        pools["german", sex] = Pool(strings([n for n, _ in chosen]), np.array([c for _, c in chosen]))
    for origin in ("modern", *ORIGINS):
        for sex, key in enumerate("fm"):
            pools[origin, sex] = _flat(words()["given"][origin][key])
    return pools


@cache
def surnames() -> dict[str, Pool]:
    """Pools by origin; "german" is the Leipzig list and an invented tail."""
    names, counts = restored("LASTNAME")
    parts = words()["surname"]
    tail = _compounds(parts["fronts"], parts["backs"], set(names), "surnames")
    total = sum(counts)
    weights = _scaled(_falling(len(tail)), total * _TAIL_OF_SURNAMES / (1 - _TAIL_OF_SURNAMES))
    pools = {"german": Pool(strings(names + tail), np.concatenate([np.array(counts), weights]))}
    pools.update({origin: _flat(parts[origin]) for origin in ORIGINS})
    return pools


@cache
def streets() -> Pool:
    """Street names, the frequent ones first; where a street lies is not told."""
    parts: dict[str, Any] = words()["street"]
    kinds = [(str(k), float(w)) for k, w in parts["kinds"]]
    seen: dict[str, float] = {}
    for rank, name in enumerate(parts["frequent"]):
        seen[name] = 60.0 / (rank + 4)
    for rank, stem in enumerate(parts["stems"]):
        for kind, weight in kinds:
            seen.setdefault(stem + kind, weight / 60.0 / (1 + rank / 60))
    for landmark in parts["landmarks"]:
        for preposition in parts["prepositions"]:
            seen.setdefault(f"{preposition} {landmark}", 0.05)
    for person in parts["people"]:
        for kind, weight in (("Straße", 0.5), ("Weg", 0.1), ("Allee", 0.06), ("Ring", 0.05), ("Platz", 0.04)):
            seen.setdefault(f"{person}-{kind}", weight)
    towns, counts = restored("CITY")
    for name, count in zip(towns, counts, strict=True):
        if name.isalpha() and count >= 40:
            stem = name[:-2] if name.endswith("en") and len(name) > 6 else name
            seen.setdefault(f"{stem}er Straße", 0.06)
    return Pool(strings(list(seen)), np.array(list(seen.values())))


@dataclass(frozen=True)
class Places:
    """Postcodes and their towns: every postcode belongs to one town.

    Attributes:
        postcodes, towns: shape (n,), str, in ascending order of postcodes.
        weights: shape (n,), float64.
    """

    postcodes: Strings
    towns: Strings
    weights: NDArray[np.float64]


@cache
def places() -> Places:
    """Every postcode with its town.

    Large cities have postcodes in their true ranges; all other postcodes are given to towns by lot.
    """
    draw = Draw(_OWN_SEED, "places")
    listed, listed_counts = frequencies("PLZ")
    ranges: dict[str, list[int]] = words()["town"]["ranges"]
    towns, counts = restored("CITY")
    if "Frankfurt am Main" not in towns:
        # The list lacks the fifth largest city; it weighs about as much as Cologne's two thirds.
        towns, counts = [*towns, "Frankfurt am Main"], [*counts, 800.0]
    parts = words()["town"]
    tail = _compounds(parts["fronts"], parts["backs"], set(towns), "towns")[:2400]
    tail_weights = _scaled(_falling(len(tail), flat=True), sum(counts) * _TAIL_OF_TOWNS / (1 - _TAIL_OF_TOWNS))

    taken: set[int] = set()
    rows: list[tuple[str, str, float]] = []
    weight_of = dict(zip(map(int, listed), listed_counts, strict=True))
    for name, count in zip(towns, counts, strict=True):
        if name in ranges:
            low, high = ranges[name]
            wanted = max(5, min(190, int(count / 22)))
            codes = sorted({low, *(low + int(k) for k in draw.below(wanted * 2, high - low + 1))})[:wanted]
            codes += [c for c in weight_of if low <= c <= high and c not in codes]
            taken.update(range(low, high + 1))
            rows += [(f"{c:05}", name, count / len(codes)) for c in codes]
    free = [c for c in weight_of if c not in taken]
    taken.update(free)
    free = [free[i] for i in draw.order(len(free))]
    others = [(n, c) for n, c in zip(towns, counts, strict=True) if n not in ranges]
    others += list(zip(tail, tail_weights.tolist(), strict=True))
    invented = draw.below(20_000, 98_000)
    fresh = iter([c for c in dict.fromkeys((1_100 + invented).tolist()) if c not in taken])
    for name, weight in others:
        wanted = 1 + min(4, int(weight / 90))
        codes = [free.pop() if free else next(fresh) for _ in range(wanted)]
        rows += [(f"{c:05}", name, weight / wanted) for c in codes]
    rows.sort()
    return Places(strings([r[0] for r in rows]), strings([r[1] for r in rows]), np.array([r[2] for r in rows]))


def _compounds(fronts: list[str], backs: list[str], known: set[str], label: str) -> list[str]:
    """Front and back put together, in an order that is drawn once and for all."""
    made = [f + b for f in fronts for b in backs if f[-2:].lower() != b[:2] and f.lower() != b and f + b not in known]
    made = list(dict.fromkeys(made))
    return [made[i] for i in Draw(_OWN_SEED, label).order(len(made))]
