"""The plaintext peers: Fellegi-Sunter on names, dates and addresses in the clear, one-to-one.

All on our normalised values, with our passes, uncapped, as candidates:

* `ecm`: recordlinkage's ECM as it comes: a field agrees or does not (names by Jaro-Winkler from 0.85 on), its own cut.
  Where families live it tells households from strangers instead of people: among the candidates relatives are many
  more than matches.
* `levels`: what somebody would do about that who knows Splink. Fields agree in levels, a missing value says nothing,
  and where families live the address is one comparison. How often strangers agree is counted on pairs of records drawn
  by chance; how often matches do is estimated (EM) among candidates of one birth date, for the birth date itself among
  those of one name; how many matches there are, over all pairs of records. Its own cut (1/2), and the best one in
  hindsight. Chosen among eight ways on six synthetic cases that nothing is judged on.
* `known`: the same with the weights counted from the truth and the best cut in hindsight: about what Fellegi-Sunter can
  reach with these levels. No bound: weights that are counted class by class need not put pairs into the best order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plaintext_model import F8, I64, ROUNDS, Model, chances

from linkage import prepare
from linkage.evaluate import Quality
from linkage.schema import Schema

Columns = dict[str, list[str]]
Side = tuple[Columns, list[str], list[int]]

_ADDRESS = ("street", "house_number", "postcode", "town")
_CHANCE = 300_000  # pairs of records drawn to see how often strangers agree


@dataclass(frozen=True)
class Case:
    """Two sides and their candidates.

    Attributes:
        schema: whose values and passes.
        left: n normalised values of each field.
        right: m of each.
        a: (k,) candidates, number of the record on the left.
        b: (k,) on the right.
        true: (k,) bool.
        common: people on both sides.
        frames: the two tables of recordlinkage, and its index of the candidates.
    """

    schema: Schema
    left: dict[str, list[str]]
    right: dict[str, list[str]]
    a: I64
    b: I64
    true: NDArray[np.bool_]
    common: int
    frames: tuple[Any, Any, Any]

    @classmethod
    def of(cls, schema: Schema, a: Side, b: Side) -> Case:
        """Normalise both and find the candidates."""
        import pandas as pd
        import recordlinkage

        made = [prepare(schema, columns) for columns, _, _ in (a, b)]
        frames = [
            pd.DataFrame({**m.values, **{f"part {k}": v for k, v in m.components.items()}}).replace("", None)
            for m in made
        ]
        indexer = recordlinkage.Index()
        for rule in schema.passes:
            indexer.block([f"part {part}" for part in rule.parts])
        index = indexer.index(*frames)
        i, j = (index.get_level_values(k).to_numpy(np.int64) for k in (0, 1))
        people = np.array(a[2]), np.array(b[2])
        common = len(np.intersect1d(*people))
        return cls(schema, made[0].values, made[1].values, i, j, people[0][i] == people[1][j], common, (*frames, index))

    @property
    def sizes(self) -> tuple[int, int]:
        """(n, m)."""
        return len(self.frames[0]), len(self.frames[1])

    def winners(self, score: F8, least: float = -np.inf) -> I64:
        """Candidates with a score above the least that win one-to-one, best first."""
        taken: tuple[set[int], set[int]] = (set(), set())
        won: list[int] = []
        some = np.flatnonzero(score > least)
        order = some[np.argsort(-score[some], kind="stable")]
        for k, x, y in zip(order.tolist(), self.a[order].tolist(), self.b[order].tolist(), strict=True):
            if x not in taken[0] and y not in taken[1]:
                taken[0].add(x)
                taken[1].add(y)
                won.append(k)
                if len(won) == min(self.sizes):
                    break
        return np.array(won, np.int64)

    def quality(self, chosen: I64) -> Quality:
        """Of these candidates."""
        return Quality(len(chosen), self.common, int(self.true[chosen].sum()))

    def best(self, won: I64) -> Quality:
        """With as many of the winners as is best, looked up in the truth."""
        right = np.cumsum(self.true[won])
        f1 = 2 * right / (np.arange(1, len(won) + 1) + max(self.common, 1))
        return self.quality(won[: int(f1.argmax()) + 1] if self.common and len(won) else won[:0])


def ecm(case: Case) -> Quality:
    """recordlinkage as it comes."""
    import recordlinkage

    left, right, index = case.frames
    compare = recordlinkage.Compare()
    known = [f.kind for f in case.schema.fields]
    for field in ("given_name", "surname", "street", "town"):
        if field in known:
            compare.string(field, field, method="jarowinkler", threshold=0.85)
    for field in ("birth_date", "postcode", "house_number", "insured_number"):
        if field in known:
            compare.exact(field, field)
    vectors = compare.compute(index, left, right)
    classifier = recordlinkage.ECMClassifier()
    matched = classifier.fit_predict(vectors)
    probability = classifier.prob(vectors)
    chosen = vectors.index.isin(matched)
    return case.quality(case.winners(np.where(chosen, probability.to_numpy(), -1.0), -0.5))


def levels(case: Case) -> tuple[Quality, Quality]:
    """Levels of agreement: with its own cut, and with the best one in hindsight."""
    vectors, sizes = compared(case)
    kinds = [f.kind for f in case.schema.fields if not (_together(case.schema) and f.kind in _ADDRESS)]  # it comes last
    names, born = [kinds.index("given_name"), kinds.index("surname")], kinds.index("birth_date")
    chance = np.random.default_rng(1)
    drawn = replace(case, a=chance.integers(0, case.sizes[0], _CHANCE), b=chance.integers(0, case.sizes[1], _CHANCE))
    strangers = Model.counted(compared(drawn)[0], sizes, np.stack((np.zeros(_CHANCE), np.ones(_CHANCE)))).other
    of_date = Model.fit(vectors[vectors[:, born] == 2], sizes, strangers, [born])
    of_names = Model.fit(vectors[(vectors[:, names] >= 2).all(axis=1)], sizes, strangers, names)
    match = [(of_names if k == born else of_date).match[k] for k in range(len(sizes))]
    model = Model(0.0, match, strangers)
    for _ in range(ROUNDS):
        model = replace(model, prior=float(chances(model.score(vectors)).sum()) / (case.sizes[0] * case.sizes[1]))
    won = case.winners(score := model.score(vectors))
    return case.quality(won[score[won] > 0]), case.best(won)


def known(case: Case) -> Quality:
    """Weights and cut by the truth."""
    vectors, sizes = compared(case)
    if not case.true.any():
        return case.quality(np.empty(0, np.int64))
    shares = np.stack((case.true, ~case.true)).astype(np.float64)
    return case.best(case.winners(Model.counted(vectors, sizes, shares).score(vectors)))


def compared(case: Case) -> tuple[I64, list[int]]:
    """(k, fields) levels of agreement, -1 where a value is missing; and how many levels each field has."""
    columns, sizes = [], []
    for field in case.schema.fields:
        level, size = _LEVELS.get(field.kind, (_equal, 2))
        columns.append(_column(case.left[field.name], case.right[field.name], case.a, case.b, level))
        sizes.append(size)
    vectors, kinds = np.stack(columns, axis=1), [f.kind for f in case.schema.fields]
    return _one_address(vectors, sizes, kinds) if _together(case.schema) else (vectors, sizes)


def _together(schema: Schema) -> bool:
    """Whether the address is one comparison: not in FEBRL, where nobody lives with anybody and each part errs alone."""
    return schema.rules == "german/1" and any(f.kind == "street" for f in schema.fields)


def _one_address(vectors: I64, sizes: list[int], kinds: Sequence[str]) -> tuple[I64, list[int]]:
    """Street, number, postcode and town as one comparison, since they are no evidence of their own each: 3 all agree,
    2 the street, 1 postcode or town, 0 else."""
    street, number, postcode, town = (vectors[:, kinds.index(kind)] for kind in _ADDRESS)
    near = (postcode == 2) | (town >= 2)
    level = np.select([(street >= 2) & (number != 0) & near, (street >= 2) & near, near], [3, 2, 1], 0)
    level[(street < 0) & (postcode < 0)] = -1
    rest = [k for k, kind in enumerate(kinds) if kind not in _ADDRESS]
    return np.column_stack((vectors[:, rest], level)), [*(sizes[k] for k in rest), 4]


def _column(left: list[str], right: list[str], a: I64, b: I64, level: Callable[[str, str], int]) -> I64:
    """Every two values that meet are compared once."""
    values, codes = np.unique(np.array([*left, *right]), return_inverse=True)
    key = codes[a] * len(values) + codes[len(left) + b]
    pairs, inverse = np.unique(key, return_inverse=True)
    x, y = (values[part].tolist() for part in np.divmod(pairs, len(values)))
    made = [level(p, q) if p and q else -1 for p, q in zip(x, y, strict=True)]
    return np.array(made, np.int64)[inverse]


def _equal(x: str, y: str) -> int:
    return int(x == y)


def _name(x: str, y: str) -> int:
    from jellyfish import jaro_winkler_similarity

    if x == y:
        return 3
    alike = jaro_winkler_similarity(x, y)
    return 2 if alike >= 0.92 else 1 if alike >= 0.8 else 0


def _digits(x: str, y: str) -> int:
    """2 equal, 1 one digit differs or the same digits stand in another order, 0 else."""
    if x == y:
        return 2
    return int(len(x) == len(y) and (sum(p != q for p, q in zip(x, y, strict=True)) == 1 or sorted(x) == sorted(y)))


_LEVELS: dict[str, tuple[Callable[[str, str], int], int]] = {
    **dict.fromkeys(("given_name", "surname", "street", "town"), (_name, 4)),
    **dict.fromkeys(("birth_date", "postcode"), (_digits, 3)),
}


@dataclass(frozen=True)
class Peers:
    """What the peers find among the people of some sides, every two of them by themselves.

    Attributes:
        ecm: recordlinkage as it comes.
        levels: levels of agreement, own cut.
        best: the same, best cut in hindsight of every two sides.
        known: weights and cut by the truth.
        seconds: of all.
    """

    ecm: Quality
    levels: Quality
    best: Quality
    known: Quality
    seconds: float

    @classmethod
    def of(cls, schema: Schema, sides: Sequence[Side]) -> Peers:
        """Run them all."""
        start = time.perf_counter()
        sums = np.zeros((4, 3), np.int64)
        for a, b in combinations(sides, 2):
            case = Case.of(schema, a, b)
            for row, q in zip(sums, (ecm(case), *levels(case), known(case)), strict=True):
                row += (q.found, q.true, q.right)
        return cls(*(Quality(*row) for row in sums.tolist()), time.perf_counter() - start)

    def __str__(self) -> str:
        if not self.ecm.true:
            return f"ECM {self.ecm.found}, levels {self.levels.found} found ({self.seconds:.0f} s)"
        return (
            f"ECM {self.ecm.f1:.4f}; levels {self.levels.f1:.4f} (best cut {self.best.f1:.4f}, "
            f"weights and cut by the truth {self.known.f1:.4f}) ({self.seconds:.0f} s)"
        )


def plaintext(schema: Schema, a: Side, b: Side) -> tuple[Quality, float]:
    """recordlinkage's ECM alone, and its seconds."""
    start = time.perf_counter()
    return ecm(Case.of(schema, a, b)), time.perf_counter() - start
