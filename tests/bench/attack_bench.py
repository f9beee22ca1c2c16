"""What an attacker at the comparator re-identifies who has everything but the keys.

He holds the rows, and the people in plaintext with all their errors: those of one site, or of both. He knows the
schema, so he knows which records share a block and, with secrets of his own, how far apart the base filters of any
two are. What he sees of a block is its size at each site and the distances inside it; the blocks of a pass are put
beside those of the plaintext by the assignment that explains the observed distances best, then the rows of a block
in the same way. Rows that stand alone in a block of one site show him nothing: they are guessed, as everything is in
the figure "chance".

Rows of one record cannot be told to belong together, so he attacks each pass by itself. He is not told which of his
guesses are right. Weaker than an attacker who also mines the columns of large blocks; nobody has built that one
here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from math import factorial, prod

import numpy as np
from accuracy_bench import synthetic
from linkage_bench import Row, febrl, secrets
from msgspec.structs import replace
from numpy.typing import NDArray
from plaintext_peer import Side
from scipy.optimize import linear_sum_assignment

from linkage import Secrets, load_schema, prepare
from linkage.encode import encode
from linkage.encode.blocks import plan
from linkage.encode.grams import BaseFilters
from linkage.schema import Schema
from linkage.synth import SiteSpec, SynthConfig

_TRIED = 720  # orders of the rows of a block that are tried one by one
_GERMAN = ("de-person/1", "de-person/3", "de-person/4", "de-person/2", "de-large/1", "de-lone/1", "de-names/1")
Block = tuple[tuple[int, ...], ...]  # per site, the rows in it
Measure = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class View:
    """One pass as the attacker has it.

    Attributes:
        cipher: blocks by token.
        plain: blocks by block value, rows numbered by record; dummies stand alone and are number -1.
        filters: (rows, 32) u1.
        bases: (records, 256) u1, base filters under secrets of his own.
        record: (rows,) which record a row is of, -1 for a dummy.
    """

    cipher: list[Block]
    plain: list[Block]
    record: NDArray[np.int64]
    filters: NDArray[np.uint8]
    bases: NDArray[np.uint8]
    taps: int

    def observed(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        """Bits that differ between rows."""
        return np.bitwise_count(self.filters[a] ^ self.filters[b]).sum(axis=-1).astype(np.float64)

    def expected(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        """Bits that are expected to differ between the rows of records."""
        share = np.bitwise_count(self.bases[a] ^ self.bases[b]).sum(axis=-1) / 2048
        return np.asarray(128 * (1 - (1 - 2 * share) ** self.taps))


def views(schema: Schema, sides: Mapping[str, Side]) -> Iterator[View]:
    """The passes of some sites. Records are numbered through all of them."""
    attacker = Secrets(b"\x08" * 32, b"\x09" * 32, "attack", 1)
    rows, owners, sites, plans, bases, first = [], [], [], [], [], 0
    for place, (name, (columns, ids, _)) in enumerate(sides.items()):
        prepared = prepare(schema, columns)
        made = encode(schema, prepared, ids, secrets(name))
        known = np.argsort(made.refs.reshape(-1, 16).view("S16")[:, 0])
        order = np.argsort(made.rows["ref"].view("S16")[:, 0])
        owner = np.empty(len(made.rows), np.int64)
        owner[order] = known // schema.P
        looked = plan(schema, prepared.components, prepared.n, prepared.further)
        rows.append(made.rows)
        owners.append(owner + first)
        sites.append(np.full(len(owner), place))
        plans.append((looked, first))
        masks = BaseFilters(schema, attacker.shared("gram")).make([prepared.values[f.name] for f in schema.fields])
        bases.append(np.packbits(masks, axis=1))
        first += prepared.n
    whole, owner, site, base = (np.concatenate(parts) for parts in (rows, owners, sites, bases))
    for at in range(len(schema.passes)):
        mine = whole["pass"] == at
        cipher: dict[bytes, list[list[int]]] = {}
        for row, (token, place) in enumerate(zip(whole["token"][mine], site[mine].tolist(), strict=True)):
            cipher.setdefault(bytes(token), [[] for _ in sides])[place].append(row)
        plain: dict[object, list[list[int]]] = {}
        alive: set[int] = set()
        for place, (looked, start) in enumerate(plans):
            for one in (r for r in looked.rows if r.at == at):
                for record, live in enumerate(one.live.tolist()):
                    key = tuple(p[record] for p in one.parts) if live else (place, one.nth, record, "dummy")
                    plain.setdefault(key, [[] for _ in sides])[place].append(start + record if live else -1)
                    alive.update([start + record] if live else [])
        # Of a record with several rows in a pass, its dummies count as rows to be found if another of them lives.
        record = np.array([r if r in alive else -1 for r in owner[mine].tolist()])
        yield View(
            [tuple(map(tuple, b)) for b in cipher.values()],
            [tuple(map(tuple, b)) for b in plain.values()],
            record, whole["filter"][mine], base, schema.encoding.taps,
        )  # fmt: skip


def guesses(view: View, chance: np.random.Generator, *, blind: bool) -> Iterator[tuple[int, int]]:
    """(row, record) for every row."""
    by_shape: dict[tuple[int, ...], tuple[list[Block], list[Block]]] = {}
    for blocks, which in ((view.cipher, 0), (view.plain, 1)):
        for block in blocks:
            by_shape.setdefault(tuple(map(len, block)), ([], []))[which].append(block)
    for shape, (cipher, plain) in by_shape.items():
        right = chance.permutation(len(plain))
        if sum(shape) > 1 and not blind:
            seen, means = _distances(view.observed, cipher, shape), _distances(view.expected, plain, shape)
            cost = chance.random((len(cipher), len(plain))) * 1e-6
            for column in range(seen.shape[1]):
                spread = np.maximum(means[:, column] * (1 - means[:, column] / 256), 1.0)
                cost += (seen[:, column, None] - means[None, :, column]) ** 2 / (2 * spread) + np.log(spread) / 2
            right = linear_sum_assignment(cost)[1]
        for block, at in zip(cipher, right.tolist(), strict=True):
            yield from _inside(view, block, plain[at], chance, blind)


def _distances(measure: Measure, blocks: Sequence[Block], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(blocks, pairs of rows): all distances inside each block, sorted within each pair of sites."""
    members = np.array([[row for part in block for row in part] for block in blocks])
    site = np.repeat(np.arange(len(shape)), shape)
    left, right = np.triu_indices(members.shape[1], 1)
    found = measure(members[:, left], members[:, right])
    kinds = site[left] * len(shape) + site[right]
    return np.concatenate([np.sort(found[:, kinds == kind], axis=1) for kind in np.unique(kinds)], axis=1)


def _inside(
    view: View, cipher: Block, plain: Block, chance: np.random.Generator, blind: bool
) -> Iterator[tuple[int, int]]:
    """Which row of a block is which record."""
    rows = [row for part in cipher for row in part]
    shuffled = [list(chance.permutation(part).astype(int)) if part else [] for part in plain]
    best = [record for part in shuffled for record in part]
    if len(rows) > 2 and not blind:
        seen = view.observed(*np.array([(a, b) for a in rows for b in rows]).T).reshape(len(rows), -1)
        means = view.expected(*np.array([(a, b) for a in best for b in best]).T).reshape(len(rows), -1)
        places = _best_order(seen, means, [len(part) for part in cipher])
        best = [best[place] for place in places]
    yield from zip(rows, best, strict=True)


def _best_order(seen: NDArray[np.float64], means: NDArray[np.float64], sizes: Sequence[int]) -> Sequence[int]:
    """Places of the records in the order of the rows, site by site."""
    starts = np.cumsum([0, *sizes])
    if prod(map(factorial, sizes)) <= _TRIED:
        orders = product(*(permutations(range(starts[i], starts[i + 1])) for i in range(len(sizes))))
        return min(
            ([at for part in order for at in part] for order in orders),
            key=lambda order: float(((seen - means[np.ix_(order, order)]) ** 2).sum()),
        )
    places: list[int] = []
    for i in range(len(sizes)):
        part = slice(starts[i], starts[i + 1])
        profile, wanted = np.sort(seen[part], axis=1), np.sort(means[part], axis=1)
        cost = ((profile[:, None] - wanted[None]) ** 2).sum(axis=2)
        places += (linear_sum_assignment(cost)[1] + starts[i]).tolist()
    return places


def attack(schema: Schema, sides: Mapping[str, Side], *, blind: bool) -> tuple[float, float, str]:
    """Shares of rows, and of records with any row, that are re-identified; and the pass that gives away most."""
    chance = np.random.default_rng(1)
    right = total = 0
    exposed: set[int] = set()
    worst = (0.0, "")
    for rule, view in zip(schema.passes, views(schema, sides), strict=True):
        made = guesses(view, chance, blind=blind)
        hits = [record for row, record in made if record >= 0 and view.record[row] == record]
        live = int((view.record >= 0).sum())
        right, total = right + len(hits), total + live
        exposed.update(hits)
        worst = max(worst, (len(hits) / max(live, 1), rule.name))
    records = sum(len(ids) for _, ids, _ in sides.values())
    return right / total, len(exposed) / records, f"{worst[1]} {worst[0]:.3f}"


def cases(size: int, profiles: Sequence[str]) -> Iterator[tuple[str, Schema, dict[str, Side]]]:
    """FEBRL 4 with the shipped schema and with the stricter profile; every German schema on its own people."""
    schema = load_schema("febrl/1")
    large = load_schema("de-large/1")
    if "febrl" in profiles:
        for one in (schema, replace(schema, profile=large.profile, passes=large.passes)):
            yield "FEBRL 4", one, {"a": febrl("a"), "b": febrl("b")}
    for schema in map(load_schema, _GERMAN):
        if schema.profile in profiles:
            sites = (SiteSpec("a", size), SiteSpec("b", size))
            config = SynthConfig("attack", sites, overlap=1.0, insured=0.5, history=0.5)
            yield "German", schema, synthetic(schema, config)


def attacks(options: argparse.Namespace) -> Iterator[Row]:
    """Every profile, one site and both."""
    for data, schema, sides in cases(int(float(options.attacked)), options.profiles):
        for label, chosen in (("one site", dict(list(sides.items())[:1])), ("both sites", sides)):
            rows, records, worst = attack(schema, chosen, blind=False)
            by_chance = attack(schema, chosen, blind=True)
            yield (
                f"{data}, {schema.profile}, {label}",
                f"rows {rows:.4f}, records {records:.3f}; worst pass {worst}",
                f"chance: rows {by_chance[0]:.4f}, records {by_chance[1]:.3f}",
            )
