"""Linkage: the accuracy battery, every case beside plaintext Fellegi-Sunter on the same records (`plaintext_peer`).

Among more than two sites the peers link every two of them by themselves. Profiles of the same fields are measured on
the same people, and the peers once, on the candidates of the first of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

from linkage_bench import Row, febrl, half_overlap, held_out, only, ours
from msgspec.structs import replace
from plaintext_peer import Peers, Side

from linkage import load_schema
from linkage.schema import Schema
from linkage.synth import SiteSpec, SynthConfig, generate
from linkage.synth.config import Profile

_ERRORS: tuple[Profile, ...] = ("light", "moderate", "heavy")
_SITES = {2: 3000, 5: 1200}  # sites → patients of each
_MARGIN = 0.005
Sides = dict[str, Side]


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        name: for people, and to be asked for.
        schemas: that it is measured under, of the same fields.
        make: the sides.
    """

    name: str
    schemas: Sequence[Schema]
    make: Callable[[], Sides]

    def rows(self) -> Iterator[Row]:
        """Ours under every schema; it is said where it is more than 0.005 below a peer that has a cut of its own."""
        sides = self.make()
        peers = Peers.of(self.schemas[0], list(sides.values()))
        for schema in self.schemas:
            mine, seconds = ours(schema, sides)
            gaps = {"ECM": peers.ecm.f1 - mine.f1, "levels": peers.levels.f1 - mine.f1}
            below = ", ".join(f"{gap:.4f} below {name}" for name, gap in gaps.items() if gap > _MARGIN)
            text = f"{mine} ({seconds:.1f} s)" if mine.true else f"{mine.found} found, none to find"
            text += f"  {below.upper()}" if below else ""
            yield f"{self.name}: {schema.profile}", text, str(peers) if schema is self.schemas[0] else ""


def synthetic(schema: Schema, config: SynthConfig) -> Sides:
    """The sites of a synthetic population, with the columns that the schema takes."""
    made = generate(config)
    numbers: dict[str, int] = {}
    persons = [numbers.setdefault(p, len(numbers)) for _, _, p in made.truth]
    sides: Sides = {}
    start = 0
    for name, table in made.sites.items():
        sides[name] = (table.select(schema.columns), table.ids, persons[start : start + len(table)])
        start += len(table)
    return sides


def _german(name: str, schemas: Sequence[str], config: SynthConfig) -> Case:
    loaded = [load_schema(one) for one in schemas]
    return Case(name, loaded, partial(synthetic, loaded[0], config))


def of_febrl() -> list[Schema]:
    """The schema of FEBRL under three profiles."""
    schema = load_schema("febrl/1")
    others = (load_schema(name) for name in ("de-person/3", "de-large/1"))
    return [schema, *(replace(schema, profile=other.profile, passes=other.passes) for other in others)]


def on_febrl() -> Iterator[Case]:
    """FEBRL 4 without the social security number, and with names and birth date only; FEBRL 1 and 2."""
    sides: dict[str, Callable[[], tuple[Side, Side]]] = {
        "FEBRL 4, all common": lambda: (febrl("a"), febrl("b")),
        "FEBRL 4, half common (partners replaced)": half_overlap,
        "FEBRL 4, half common (3,333 a side)": partial(_part, 3333, 1667),
        "FEBRL 4, 10 % common (2,632 a side)": partial(_part, 2632, 2368),
        "FEBRL 1": partial(held_out, 1),
        "FEBRL 2": partial(held_out, 2),
    }
    for name, make in sides.items():
        yield Case(name, of_febrl(), partial(_named, make))
    whole, names = load_schema("febrl/1"), load_schema("de-names/1")
    few = replace(whole, profile=names.profile, passes=names.passes, fields=whole.fields[:3])
    for name in list(sides)[:2]:
        yield Case(f"{name}, names and birth date", [few], partial(_named, sides[name], [f.name for f in few.fields]))


def _named(make: Callable[[], tuple[Side, Side]], fields: Sequence[str] | None = None) -> Sides:
    """Both sides, with some of their columns."""
    chosen = [({k: c[k] for k in fields or c}, ids, people) for c, ids, people in make()]
    return dict(zip("ab", chosen, strict=True))


def _part(end: int, start: int) -> tuple[Side, Side]:
    """People below `end` on one side, from `start` on on the other."""
    return only(febrl("a"), lambda p: p < end), only(febrl("b"), lambda p: p >= start)


def hospitals() -> Iterator[Case]:
    """A hospital of 40,000 and practices of 1,000: a tenth in common, and nobody but relatives; three profiles."""
    for seed, (overlap, relatives) in product(("one", "two"), ((0.1, 0.3), (0.0, 1.0))):
        config = SynthConfig(
            f"accuracy/hospital/{seed}/{overlap}",
            (SiteSpec("hospital", 40_000), SiteSpec("practice", 1000, overlap=overlap, relatives=relatives)),
            overlap=0.5,
            catchment=60,
        )
        schemas = ("de-person/1", "de-person/3", "de-large/1")
        yield _german(f"hospital, practice with {overlap:.0%} ({seed})", schemas, config)


def matrix() -> Iterator[Case]:
    """Three degrees of errors, two and five sites, with and without insured numbers, four overlaps."""
    for errors, sites, insured, overlap in product(_ERRORS, _SITES, (0.0, 0.5), (0.0, 0.1, 0.5, 1.0)):
        config = SynthConfig(
            f"accuracy/{errors}/{sites}/{insured}/{overlap}",
            tuple(SiteSpec(f"s{i}", _SITES[sites]) for i in range(sites)),
            overlap=overlap,
            errors=errors,
            insured=insured,
        )
        number = ", insured numbers" if insured else ""
        schemas = ("de-person/2", "de-person/4") if insured else ("de-person/1", "de-person/3")
        yield _german(f"matrix, {errors}, {sites} sites{number}, {overlap:.0%} common", schemas, config)


def profiles() -> Iterator[Case]:
    """The named profiles on the same people, half in common; birth names and insured numbers known on half."""
    groups = (
        ("de-person/1", "de-person/3", "de-large/1", "de-lone/1"),
        ("de-person/2", "de-person/4"),
        ("de-names/1",),
    )
    for errors, schemas in product(("moderate", "heavy"), groups):
        sites = (SiteSpec("a", 5000), SiteSpec("b", 5000))
        config = SynthConfig(f"accuracy/profiles/{errors}", sites, overlap=0.5, errors=errors, insured=0.5, history=0.5)
        yield _german(f"profiles, {errors}", schemas, config)


PARTS = {"febrl": on_febrl, "hospitals": hospitals, "profiles": profiles, "matrix": matrix}


def accuracy(options: argparse.Namespace) -> Iterator[Row]:
    """All parts or some, all cases or those whose name holds a text."""
    for part in options.accuracy_parts:
        for case in PARTS[part]():
            if options.only in case.name:
                yield from case.rows()
