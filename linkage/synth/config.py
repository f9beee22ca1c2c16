"""What the generator is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from linkage.errors import SynthError

SiteKind = Literal["hospital", "practice", "rescue", "care", "payer"]
Profile = Literal["none", "light", "moderate", "heavy"]


@dataclass(frozen=True)
class SiteSpec:
    """One site.

    Attributes:
        name: file name of its table, lower-case letters, digits and hyphens.
        size: number of patients.
        kind: how it writes: a practice joins street and number and cuts at 28 characters (xDT), a rescue service
            leaves much out, a payer lists all given names.
        overlap: share of its patients that are taken from the common pool; None = as the configuration says.
        relatives: share of its own patients who may live in a household with patients of other sites.
    """

    name: str
    size: int
    kind: SiteKind = "hospital"
    overlap: float | None = None
    relatives: float = 0.3


@dataclass(frozen=True)
class SynthConfig:
    """A synthetic population and the sites that know parts of it.

    Every site takes its common patients from the same pool in the same order, so two sites have in common the
    smaller of their shares: with sizes 40,000 and 1,000 and an overlap of 0.1, a hundred people.

    Attributes:
        seed: any text; the same seed and configuration give the same bytes.
        sites: at least one.
        overlap: share of each site's patients from the common pool, 0..1.
        errors: how carefully records are written.
        households: share of people who live with somebody.
        twins: chance that two consecutive children of a household are twins.
        marriages: chance that a record carries an older or newer surname of a woman between 20 and 70.
        moves: chance that a record carries another address.
        migration: share of people with a Turkish, Slavic, Arabic or other name.
        missing: factor on the rates at which values are left out.
        catchment: number of postcodes in which everybody lives; 0 = the whole country.
        year: the present; nobody is born later.
        insured: chance that a record carries the insured number (KVNR); 0: there is no such column.
        history: chance that a record with a changed surname tells the birth name, and one with another address the
            former one; 0: there are no such columns.
    """

    seed: str
    sites: tuple[SiteSpec, ...]
    overlap: float = 0.3
    errors: Profile = "moderate"
    households: float = 0.6
    twins: float = 0.04
    marriages: float = 0.03
    moves: float = 0.12
    migration: float = 0.16
    missing: float = 1.0
    catchment: int = 0
    year: int = field(default=2025)
    insured: float = 0.0
    history: float = 0.0

    def common(self, site: SiteSpec) -> int:
        """Number of patients that a site takes from the common pool."""
        share = self.overlap if site.overlap is None else site.overlap
        return round(share * site.size)

    def check(self) -> None:
        """Refuse what cannot be fulfilled.

        Raises:
            SynthError: with the name of the attribute.
        """
        names = [s.name for s in self.sites]
        if not names or len(set(names)) != len(names):
            raise SynthError("sites need names that differ", where="sites")
        for s in self.sites:
            if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", s.name) or s.name == "truth":
                raise SynthError("a site is named in lower-case letters, digits and hyphens", where="sites")
            if s.size < 1 or s.size > 10_000_000:
                raise SynthError("a site has 1 to 10,000,000 patients", where="sites")
        shares = {
            "overlap": [self.overlap] + [s.overlap for s in self.sites if s.overlap is not None],
            "relatives": [s.relatives for s in self.sites],
            "households": [self.households],
            "twins": [self.twins],
            "marriages": [self.marriages],
            "moves": [self.moves],
            "migration": [self.migration],
            "insured": [self.insured],
            "history": [self.history],
        }
        for where, values in shares.items():
            if any(not 0.0 <= v <= 1.0 for v in values):
                raise SynthError("a share lies between 0 and 1", where=where)
        if not 0.0 <= self.missing <= 10.0:
            raise SynthError("the factor on missing values lies between 0 and 10", where="missing")
        if self.catchment < 0:
            raise SynthError("a number of postcodes is not negative", where="catchment")
        if not 1950 <= self.year <= 2100:
            raise SynthError("the year lies between 1950 and 2100", where="year")
