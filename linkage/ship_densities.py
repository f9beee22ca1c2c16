"""Makes the densities that ship: `python -m linkage.ship_densities SCHEMA > linkage/data/densities/PROFILE.json`.

From the generator alone, under seeds used for nothing else: three degrees of carelessness, two sizes of catchment,
records of the same year and records that are years apart. No count comes from FEBRL; but figures on FEBRL 4 were seen
while the list of populations and the rule were settled, so FEBRL 4 is not held out (docs/benchmarks.md says what is).
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from functools import reduce
from operator import add

import msgspec

from linkage.calibrate import calibrate
from linkage.decide import Counts
from linkage.normalise import prepare
from linkage.schema import Schema, load
from linkage.synth import SiteSpec, SynthConfig, generate
from linkage.synth.config import Profile

_SIZES = {0: 20_000, 40: 8_000}  # catchment in postcodes (0: the country) → patients of each of two sites


# More than there are: of all relatives twins are the rarest and the easiest to take for one person.
_TWINS = 0.12


def _config(errors: Profile, catchment: int, apart: bool) -> SynthConfig:
    config = SynthConfig(
        seed=f"densities/1/{errors}/{catchment}/{'apart' if apart else 'near'}",
        sites=(SiteSpec("left", _SIZES[catchment]), SiteSpec("right", _SIZES[catchment])),
        overlap=0.5,
        errors=errors,
        catchment=catchment,
        twins=_TWINS,
    )
    return replace(config, moves=0.25, marriages=0.05, missing=3.0) if apart else config


_ERRORS: tuple[Profile, ...] = ("light", "moderate", "heavy")
# Grade of matches → the populations it is counted in.
GRADES = {
    errors + ("-apart" if apart else ""): [_config(errors, catchment, apart) for catchment in _SIZES]
    for errors in _ERRORS
    for apart in (False, True)
}


def grades(schema: Schema) -> dict[str, list[SynthConfig]]:
    """The populations of a schema. Where it takes further values or insured numbers, one half of every population has
    them, in grades of its own: sites that lack them are sites of the first half.
    """
    if not schema.several and schema.field_of("insured_number") is None:
        return GRADES
    halves = {g: [replace(c, sites=tuple(map(_halved, c.sites))) for c in configs] for g, configs in GRADES.items()}
    more = {
        f"{g}-more": [replace(c, seed=f"{c.seed}/more", insured=0.5, history=0.5) for c in configs]
        for g, configs in halves.items()
    }
    return {**halves, **more}


def _halved(site: SiteSpec) -> SiteSpec:
    return replace(site, size=site.size // 2)


def count(schema: Schema, config: SynthConfig, grade: str) -> Counts:
    """Counts from two sites of a synthetic population whose truth is known."""
    made = generate(config)
    left, right = (prepare(schema, made.sites[s.name].select(schema.columns)) for s in config.sites)
    n = left.n
    home = {person: i for i, (_, _, person) in enumerate(made.truth[:n])}
    return calibrate(schema, left, right, [home.get(person, -1) for _, _, person in made.truth[n:]], grade=grade)


def main(schema_name: str) -> None:
    """Write the pooled counts to standard output."""
    schema = load(schema_name)
    populations = grades(schema)
    counts = [count(schema, config, grade) for grade, configs in populations.items() for config in configs]
    pooled = reduce(add, counts)
    everything = [c for configs in populations.values() for c in configs]
    recipe = msgspec.json.encode([msgspec.to_builtins(c) for c in everything])
    provenance = {
        "command": f"python -m linkage.ship_densities {schema_name}",
        "schema": f"{schema.name} {schema.fingerprint}",
        "population": f"{len(everything)} pairs of sites, half of their patients in common; three degrees of errors, "
        "two sizes of catchment, written in the same year or years apart; "
        f"{_TWINS:.0%} of consecutive children are twins"
        + ("; half of them with insured numbers, birth names and former addresses" if populations != GRADES else ""),
        "seeds": ", ".join(c.seed for c in everything),
        "configuration_sha256": hashlib.sha256(recipe).hexdigest(),
    }
    sys.stdout.buffer.write(msgspec.structs.replace(pooled, provenance=provenance).encode())


if __name__ == "__main__":
    main(sys.argv[1])
