"""From a configuration to tables and the truth."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linkage.errors import SynthError
from linkage.synth.config import SynthConfig
from linkage.synth.copies import written
from linkage.synth.draw import Draw
from linkage.synth.people import household_sizes, population
from linkage.tables import Table

_CORE = -1


@dataclass(frozen=True)
class Synthetic:
    """Synthetic patients.

    Attributes:
        sites: site → table, rows in random order, ids of the site's own.
        truth: (site, id, person), sites in the order of the configuration, rows in the order of the tables.
    """

    sites: dict[str, Table]
    truth: list[tuple[str, str, str]]


def generate(config: SynthConfig) -> Synthetic:
    """Draw a population and what each site has written about its part of it.

    Raises:
        SynthError: the configuration cannot be fulfilled.
    """
    config.check()
    common = [config.common(s) for s in config.sites]
    own = [s.size - c for s, c in zip(config.sites, common, strict=True)]
    home, mixed = _homes(config, max(common), own)
    people = population(config, household_sizes(config, len(home), mixed))
    labels = Draw(config.seed, "labels").order(len(home))
    core = np.flatnonzero(home == _CORE)
    core = core[Draw(config.seed, "core").order(len(core))]

    sites: dict[str, Table] = {}
    truth: list[tuple[str, str, str]] = []
    for i, site in enumerate(config.sites):
        who = np.concatenate([core[: common[i]], np.flatnonzero(home == i)])
        who = who[Draw(config.seed, "order/" + site.name).order(len(who))]
        ids = _ids(config.seed, site.name, len(who))
        sites[site.name] = Table(ids, written(config, site.kind, site.name, people, who))
        truth += [(site.name, one, f"p{k:08}") for one, k in zip(ids, labels[who].tolist(), strict=True)]
    return Synthetic(sites, truth)


def write_csv(synthetic: Synthetic, directory: str | Path) -> list[Path]:
    """Write <site>.csv with id and columns, and truth.csv with site, id and person.

    Raises:
        SynthError: a file of that name exists; nothing is overwritten.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.csv" for name in synthetic.sites] + [folder / "truth.csv"]
    if any(p.exists() for p in paths):
        raise SynthError("a file of that name exists", hint="choose an empty directory")
    for path, table in zip(paths, synthetic.sites.values(), strict=False):
        with path.open("x", encoding="utf-8", newline="") as f:
            writer = csv.writer(f, lineterminator="\n")
            writer.writerow(["id", *table.columns])
            writer.writerows(zip(table.ids, *table.columns.values(), strict=True))
    with paths[-1].open("x", encoding="utf-8", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["site", "id", "person"])
        writer.writerows(synthetic.truth)
    return paths


def _homes(config: SynthConfig, core: int, own: list[int]) -> tuple[NDArray[np.int64], int]:
    """Which site each person belongs to (-1: the common pool), and how many of the first people are mixed.

    The first people are mixed: who lives together there goes to different sites. After them come blocks, in which
    households stay whole.
    """
    counts = [core, *own]
    shares = [0.3, *(s.relatives for s in config.sites)]
    mixed = [round(c * s) for c, s in zip(counts, shares, strict=True)]
    names = range(_CORE, len(own))
    first = np.repeat(list(names), mixed).astype(np.int64)
    first = first[Draw(config.seed, "mixed").order(len(first))]
    rest = np.repeat(list(names), [c - m for c, m in zip(counts, mixed, strict=True)]).astype(np.int64)
    return np.concatenate([first, rest]), len(first)


def _ids(seed: str, site: str, n: int) -> list[str]:
    """Ids of eight or more digits, unique, in no order, and not alike at two sites."""
    draw = Draw(seed, "ids/" + site)
    start = 10_000_000 + int(draw.below(1, 10_000_000)[0])
    numbers = start + np.cumsum(1 + draw.below(n, 60))
    return [str(x) for x in numbers[draw.order(n)].tolist()]
