"""Linkage: the accuracy battery, every case beside plaintext Fellegi-Sunter on the same records.

The peer is `linkage_bench.plaintext`: recordlinkage's ECM with Jaro-Winkler, one-to-one, on our normalised values and
with our passes, uncapped, as candidates; the insured number is one more field where the case has it. Among more than
two sites it links every two of them by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

from linkage_bench import Row, Side, febrl, half_overlap, held_out, only, ours, plaintext

from linkage import load_schema
from linkage.evaluate import Quality
from linkage.schema import Schema
from linkage.synth import SiteSpec, SynthConfig, generate
from linkage.synth.config import Profile

_ERRORS: tuple[Profile, ...] = ("light", "moderate", "heavy")
_SITES = {2: 3000, 5: 1200}  # sites → patients of each
_MARGIN = 0.005


def case(schema: Schema, name: str, sides: dict[str, Side]) -> Iterator[Row]:
    """One line: ours, and the peer over every two sites."""
    mine, seconds = ours(schema, sides)
    found = true = right = 0
    spent = 0.0
    for a, b in combinations(sides.values(), 2):
        quality, one = plaintext(schema, a, b)
        found, true, right = found + quality.found, true + quality.true, right + quality.right
        spent += one
    peer = Quality(found, true, right)
    if true == 0:
        yield name, f"{mine.found} found, none to find ({seconds:.1f} s)", f"{peer.found} found ({spent:.1f} s)"
        return
    below = peer.f1 - mine.f1
    told = "" if below <= 0 else "  below" if below <= _MARGIN else "  MORE THAN 0.005 BELOW"
    yield name, f"{mine} ({seconds:.1f} s){told}", f"{peer} ({spent:.1f} s)"


def synthetic(schema: Schema, config: SynthConfig) -> dict[str, Side]:
    """The sites of a synthetic population, with the columns that the schema takes."""
    made = generate(config)
    numbers: dict[str, int] = {}
    persons = [numbers.setdefault(p, len(numbers)) for _, _, p in made.truth]
    sides: dict[str, Side] = {}
    start = 0
    for name, table in made.sites.items():
        sides[name] = (table.select(schema.columns), table.ids, persons[start : start + len(table)])
        start += len(table)
    return sides


def on_febrl() -> Iterator[Row]:
    """FEBRL 4 without the social security number; with names and birth date only; FEBRL 1 and 2."""
    a, b = febrl("a"), febrl("b")
    cases = {
        "FEBRL 4, all common": (a, b),
        "FEBRL 4, half common (partners replaced)": half_overlap(),
        "FEBRL 4, half common (3,333 a side)": (only(a, lambda p: p < 3333), only(b, lambda p: p >= 1667)),
        "FEBRL 4, 10 % common (2,632 a side)": (only(a, lambda p: p < 2632), only(b, lambda p: p >= 2368)),
    }
    schema = load_schema("febrl/1")
    for name, (left, right) in cases.items():
        yield from case(schema, name, {"a": left, "b": right})
    for number in (1, 2):
        left, right = held_out(number)
        yield from case(schema, f"FEBRL {number}", {"a": left, "b": right})


def hospitals() -> Iterator[Row]:
    """A hospital of 40,000 and practices of 1,000: a tenth in common, and nobody but relatives; three profiles."""
    cases = product(("de-person/1", "de-person/3", "de-large/1"), ("one", "two"), ((0.1, 0.3), (0.0, 1.0)))
    for name, seed, (overlap, relatives) in cases:
        schema = load_schema(name)
        config = SynthConfig(
            f"accuracy/hospital/{seed}/{overlap}",
            (SiteSpec("hospital", 40_000), SiteSpec("practice", 1000, overlap=overlap, relatives=relatives)),
            overlap=0.5,
            catchment=60,
        )
        told = f"{schema.profile}: hospital, practice with {overlap:.0%} ({seed})"
        yield from case(schema, told, synthetic(schema, config))


def matrix() -> Iterator[Row]:
    """Three degrees of errors, two and five sites, with and without insured numbers, four overlaps."""
    for errors, sites, insured, overlap in product(_ERRORS, _SITES, (0.0, 0.5), (0.0, 0.1, 0.5, 1.0)):
        schema = load_schema("de-person/2" if insured else "de-person/1")
        config = SynthConfig(
            f"accuracy/{errors}/{sites}/{insured}/{overlap}",
            tuple(SiteSpec(f"s{i}", _SITES[sites]) for i in range(sites)),
            overlap=overlap,
            errors=errors,
            insured=insured,
        )
        number = ", insured numbers" if insured else ""
        yield from case(schema, f"{errors}, {sites} sites{number}, {overlap:.0%} common", synthetic(schema, config))


def profiles() -> Iterator[Row]:
    """The named profiles on the same people, half in common; birth names and insured numbers known on half."""
    for errors in ("moderate", "heavy"):
        for name in (
            "de-person/1",
            "de-person/3",
            "de-person/2",
            "de-person/4",
            "de-large/1",
            "de-lone/1",
            "de-names/1",
        ):
            schema = load_schema(name)
            sites = (SiteSpec("a", 5000), SiteSpec("b", 5000))
            config = SynthConfig(
                f"accuracy/profiles/{errors}", sites, overlap=0.5, errors=errors, insured=0.5, history=0.5
            )
            yield from case(schema, f"{schema.profile}, {errors}", synthetic(schema, config))


def accuracy(parts: tuple[str, ...] = ("on_febrl", "hospitals", "profiles", "matrix")) -> Iterator[Row]:
    """All of them."""
    for name in parts:
        yield from globals()[name]()


if __name__ == "__main__":
    import sys

    for row in accuracy(tuple(sys.argv[1:]) or ("on_febrl", "hospitals", "profiles", "matrix")):
        print(*row, sep=" | ", flush=True)
