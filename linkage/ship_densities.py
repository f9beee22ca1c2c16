"""Makes the densities that ship: `python -m linkage.ship_densities SCHEMA > linkage/data/densities/PROFILE.json`.

From the generator alone, under seeds used for nothing else: three degrees of carelessness, records of the same year and
records that are years apart (the grades of matches), and three places to live (the kinds of relatives and strangers).
No count comes from FEBRL; but figures on FEBRL 4 were seen while the rule was settled, so FEBRL 4 is not held out
(docs/benchmarks.md says what is).
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice
from operator import add

import msgspec

from linkage.calibrate import calibrate_several
from linkage.decide import Counts
from linkage.normalise import prepare
from linkage.schema import Schema, load
from linkage.synth import SiteSpec, SynthConfig, generate
from linkage.synth.config import Profile

_ERRORS: tuple[Profile, ...] = ("light", "moderate", "heavy")
GRADES = tuple(errors + apart for errors in _ERRORS for apart in ("", "-apart"))


@dataclass(frozen=True)
class _Place:
    """Where the patients of some sites live.

    Attributes:
        catchment: postcodes; 0: the country.
        sites: patients of each; every site meets the first.
        overlap: share of their patients that are the first one's too, as far as it has them.
    """

    catchment: int
    sites: tuple[int, ...]
    overlap: float


# From nobody's neighbour to a thousand patients a postcode, and from equals to a hospital with its practices.
KINDS = {
    "country": _Place(0, (20_000, 20_000), 0.5),
    "town": _Place(40, (8_000, 8_000), 0.5),
    "city": _Place(30, (30_000, *[1_500] * 6), 0.2),
}


def population(grade: str, kind: str, part: str = "") -> SynthConfig:
    """The sites that are counted for a grade and a kind."""
    place = KINDS[kind]
    errors, _, apart = grade.partition("-")
    config = SynthConfig(
        seed=f"densities/2/{grade}/{kind}{part}",
        sites=tuple(SiteSpec(f"s{i}", size) for i, size in enumerate(place.sites)),
        overlap=place.overlap,
        errors=_ERRORS[_ERRORS.index(errors)],
        catchment=place.catchment,
    )
    return replace(config, moves=0.25, marriages=0.05, missing=3.0) if apart else config


def populations(schema: Schema) -> list[tuple[str, str, SynthConfig]]:
    """(grade, kind, configuration) of all. Where the schema takes further values or insured numbers, one half of every
    population has them, in grades of its own: sites that lack them are sites of the first half.
    """
    every = [(grade, kind, population(grade, kind)) for grade in GRADES for kind in KINDS]
    if not schema.several and schema.field_of("insured_number") is None:
        return every
    more = [
        (f"{g}-more", kind, replace(population(g, kind, "/more"), insured=0.5, history=0.5)) for g, kind, _ in every
    ]
    return every + more


def count(schema: Schema, config: SynthConfig, grade: str, kind: str) -> Counts:
    """Counts from the sites of a synthetic population whose truth is known: each of them meets the first."""
    made = generate(config)
    columns = [prepare(schema, made.sites[s.name].select(schema.columns)) for s in config.sites]
    people = iter([person for _, _, person in made.truth])
    home = {person: i for i, person in enumerate(islice(people, columns[0].n))}
    copies = [(c, [home.get(person, -1) for person in islice(people, c.n)]) for c in columns[1:]]
    return calibrate_several(schema, columns[0], copies, grade=grade, kind=kind)


def main(schema_name: str) -> None:
    """Write the pooled counts to standard output."""
    schema = load(schema_name)
    everything = populations(schema)
    pooled = reduce(add, (count(schema, config, grade, kind) for grade, kind, config in everything))
    recipe = msgspec.json.encode([msgspec.to_builtins(config) for _, _, config in everything])
    provenance = {
        "command": f"python -m linkage.ship_densities {schema_name}",
        "schema": f"{schema.name} {schema.fingerprint}",
        "population": "; ".join(
            f"{kind}: sites of {', '.join(map(str, place.sites))}, {place.overlap:.0%} in common, "
            + (f"{place.catchment} postcodes" if place.catchment else "all postcodes")
            for kind, place in KINDS.items()
        )
        + "; three degrees of errors, written in the same year or years apart"
        + ("; half of them with insured numbers, birth names and former addresses" if schema.several else ""),
        "seeds": ", ".join(config.seed for _, _, config in everything),
        "configuration_sha256": hashlib.sha256(recipe).hexdigest(),
    }
    sys.stdout.buffer.write(msgspec.structs.replace(pooled, provenance=provenance).encode())


if __name__ == "__main__":
    main(sys.argv[1])
