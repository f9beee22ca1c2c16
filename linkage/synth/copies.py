"""What one site has written about its patients: the truth with life events, errors and its own habits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from linkage.synth import errors, people, pools
from linkage.synth.config import Profile, SiteKind, SynthConfig
from linkage.synth.draw import Draw
from linkage.synth.people import People
from linkage.synth.pools import Strings
from linkage.tables import FURTHER

Wrong = Callable[[str, float, float, float], str]
COLUMNS = ("given_name", "surname", "birth_date", "sex", "street", "house_number", "postcode", "town")
# Errors come together: a few records were taken by ear, in a hurry or from a bad copy.
CARELESS_SHARE, CARELESS, CAREFUL = 0.1, 4.0, 0.7
_XDT = 28  # characters of a name or street in the practice formats GDT and BDT


@dataclass(frozen=True)
class Rates:
    """Chances per record and field. The figures are ours, of the order that published audits of master data report."""

    typing_given: float = 0.03
    typing_surname: float = 0.03
    typing_street: float = 0.05
    typing_town: float = 0.025
    phonetic_given: float = 0.02
    phonetic_surname: float = 0.03
    phonetic_street: float = 0.015
    ocr: float = 0.006
    umlaut: float = 0.25
    double_surname: float = 0.35
    double_given: float = 0.25
    short_street: float = 0.45
    day_month_swapped: float = 0.006
    date_digit: float = 0.016
    postcode_digit: float = 0.018
    house_number: float = 0.04
    names_swapped: float = 0.005
    title: float = 0.012

    def scaled(self, factor: float) -> Rates:
        """All rates times a factor, at most 0.9."""
        return replace(self, **{k: min(0.9, v * factor) for k, v in vars(self).items()})


RATES: dict[Profile, Rates] = {
    "none": Rates().scaled(0.0),
    "light": Rates().scaled(0.4),
    "moderate": Rates(),
    "heavy": Rates().scaled(2.5),
}
MISSING = {
    "given_name": 0.006,
    "surname": 0.002,
    "birth_date": 0.012,
    "sex": 0.01,
    "street": 0.04,
    "house_number": 0.04,
    "postcode": 0.03,
    "town": 0.025,
}
_MISSING_FACTOR: dict[SiteKind, float] = {"hospital": 1, "practice": 0.7, "rescue": 5, "care": 1, "payer": 0.3}


def written(config: SynthConfig, kind: SiteKind, label: str, p: People, who: NDArray[np.int64]) -> dict[str, list[str]]:
    """Columns of a site for the people with these indices."""
    n = len(who)
    draw = Draw(config.seed, "copy/" + label)
    rates = RATES[config.errors]
    c: dict[str, Strings] = {"given_name": p.given[who].copy(), "surname": p.surname[who].copy()}
    _given_names(c, draw, kind, p.second[who])
    _life(c, config, draw, kind, label, p, who)
    care = np.where(draw.chance(n, CARELESS_SHARE), CARELESS, CAREFUL)
    _misspell(c, draw, rates, care)
    dates = _dates(config, draw, rates, care, kind, p, who)
    columns = {name: column.tolist() for name, column in c.items()}
    columns["birth_date"] = dates
    if config.insured:
        columns["insured_number"] = insured_numbers(config, label, p, who)
    columns["sex"] = pools.strings(["w", "m"])[p.sex[who]].tolist()
    for name in COLUMNS:
        rate = min(0.9, MISSING[name] * _MISSING_FACTOR[kind] * config.missing)
        column = columns[name]
        for i in np.flatnonzero(draw.chance(n, rate)).tolist():
            column[i] = ""
    if kind == "practice":
        _as_practice(columns)
    return {name: columns[name] for name in (*COLUMNS, *FURTHER, "insured_number") if name in columns}


@dataclass(frozen=True)
class Clerk:
    """Writes columns wrongly, in place; `care` is a factor on the rates per record, shape (n,)."""

    draw: Draw
    care: NDArray[np.float64]

    def spoil(self, column: Strings, rate: float, wrong: Wrong, among: NDArray[np.bool_] | None = None) -> None:
        """A slip: more frequent in careless records."""
        self._write(column, self.draw.uniform(len(column)) < rate * self.care, wrong, among)

    def vary(self, column: Strings, rate: float, wrong: Wrong, among: NDArray[np.bool_] | None = None) -> None:
        """A habit, not a slip: as frequent in all records."""
        self._write(column, self.draw.chance(len(column), rate), wrong, among)

    def _write(self, column: Strings, hit: NDArray[np.bool_], wrong: Wrong, among: NDArray[np.bool_] | None) -> None:
        at = np.flatnonzero(hit if among is None else hit & among)
        u = self.draw.uniform(3 * len(at)).reshape(-1, 3).tolist()
        for i, (a, b, c) in zip(at.tolist(), u, strict=True):
            column[i] = wrong(column[i], a, b, c)


def _given_names(c: dict[str, Strings], draw: Draw, kind: SiteKind, second: Strings) -> None:
    """Payers list all given names, others mostly the one that is used."""
    all_names = draw.chance(len(second), 0.95 if kind == "payer" else 0.15)
    for i in np.flatnonzero(all_names & (second != "")).tolist():
        c["given_name"][i] += " " + second[i]


def _life(
    c: dict[str, Strings],
    config: SynthConfig,
    draw: Draw,
    kind: SiteKind,
    label: str,
    p: People,
    who: NDArray[np.int64],
) -> None:
    """Marriages and moves: each record may be older or newer than the others of the person."""
    age = config.year - p.year[who]
    wed = (p.sex[who] == 0) & (age >= 20) & (age <= 70) & draw.chance(len(who), config.marriages)
    at = np.flatnonzero(wed)
    new = people.surnames(draw, p.origin[who[at]])
    double = draw.chance(len(at), 0.25)
    if config.history:
        told = _history(config, label, len(who))
        c["birth_name"] = _told(c["surname"], wed & told)
    c["surname"][at] = np.where(double, people.joined(c["surname"][at], new), new)

    where = pools.places()
    place = p.place[who].copy()
    c["street"], c["house_number"] = p.street[who].copy(), p.number[who].copy()
    # A rescue service often notes the scene instead of the dwelling.
    elsewhere = 1 - (1 - config.moves) * (1 - (0.2 if kind == "rescue" else 0.0))
    at = np.flatnonzero(draw.chance(len(who), elsewhere))
    street, number, far = people.addresses(draw, config, len(at))
    if config.history:
        moved = np.zeros(len(who), np.bool_)
        moved[at] = True
        old = (p.street[who], p.number[who], where.postcodes[place], where.towns[place])
        for name, column in zip(FURTHER[2:], old, strict=True):
            c[name] = _told(column, moved & told)
    c["street"][at], c["house_number"][at] = street, number
    place[at] = np.where(draw.chance(len(at), 0.5), far, place[at])
    c["postcode"], c["town"] = where.postcodes[place], where.towns[place]


def _history(config: SynthConfig, label: str, n: int) -> NDArray[np.bool_]:
    """Which records tell what was before; a stream of its own, so that nothing else depends on it."""
    return Draw(config.seed, "history/" + label).chance(n, config.history)


def _told(column: Strings, which: NDArray[np.bool_]) -> Strings:
    return np.asarray(np.where(which, column, pools.strings([""] * len(column))), dtype=np.object_)


def insured_numbers(config: SynthConfig, label: str, p: People, who: NDArray[np.int64]) -> list[str]:
    """Insured numbers with their check digits; one in 250 has another digit, and so mostly a wrong check digit."""
    letters = Draw(config.seed, "insured").below(len(p.sex), 26)[who].tolist()
    # Distinct for every person: 7,919 has no divisor in common with 10^8.
    digits = ((who * 7919 + 12_345_678) % 10**8).tolist()
    draw = Draw(config.seed, "insured/" + label)
    there, wrong = draw.chance(len(who), config.insured).tolist(), draw.chance(len(who), 0.004).tolist()
    out = []
    for letter, number, known, slip in zip(letters, digits, there, wrong, strict=True):
        text = f"{number:08}"
        products = [int(d) * (1 + i % 2) for i, d in enumerate(f"{letter + 1:02}{text}")]
        check = sum(x // 10 + x % 10 for x in products) % 10
        text = f"{chr(65 + letter)}{text}{(check + slip) % 10}"
        out.append(text if known else "")
    return out


def _misspell(c: dict[str, Strings], draw: Draw, r: Rates, care: NDArray[np.float64]) -> None:
    clerk = Clerk(draw, care)
    given, surname, street, town = c["given_name"], c["surname"], c["street"], c["town"]
    clerk.vary(surname, r.double_surname, errors.double_name, _holds(surname, "-"))
    clerk.vary(given, r.double_given, errors.joined_given_name, _holds(given, "-"))
    clerk.vary(street, r.short_street, errors.short_street)
    for column in (given, surname, street, town):
        special = np.fromiter((not s.isascii() for s in column), dtype=np.bool_, count=len(column))
        clerk.vary(column, r.umlaut, errors.umlaut, special)
    for column, typing, phonetic in (
        (given, r.typing_given, r.phonetic_given),
        (surname, r.typing_surname, r.phonetic_surname),
        (street, r.typing_street, r.phonetic_street),
        (town, r.typing_town, 0.0),
    ):
        clerk.spoil(column, typing, errors.typing)
        clerk.spoil(column, phonetic, errors.phonetic)
        clerk.spoil(column, r.ocr, errors.ocr)
    clerk.spoil(c["postcode"], r.postcode_digit, errors.one_digit)
    clerk.spoil(c["house_number"], r.house_number, errors.house_number)
    clerk.vary(given, r.title, lambda s, u, v, w: ("Dr. " if u < 0.8 else "Prof. Dr. ") + s)
    swapped = np.flatnonzero(draw.uniform(len(given)) < r.names_swapped * care)
    given[swapped], surname[swapped] = surname[swapped], given[swapped]


def _holds(column: Strings, mark: str) -> NDArray[np.bool_]:
    return np.fromiter((mark in s for s in column), dtype=np.bool_, count=len(column))


def _dates(
    config: SynthConfig,
    draw: Draw,
    r: Rates,
    care: NDArray[np.float64],
    kind: SiteKind,
    p: People,
    who: NDArray[np.int64],
) -> list[str]:
    """Dates of birth as the site writes them; forms check dates, so a wrong one is still a date."""
    n = len(who)
    y, m, d = p.year[who], p.month[who], p.day[who]
    swap = (draw.uniform(n) < r.day_month_swapped * care) & (d <= 12)
    m, d = np.where(swap, d, m), np.where(swap, m, d)
    wrong, which = draw.uniform(n) < r.date_digit * care, draw.below(n, 3)
    step = draw.uniform(n)
    d = np.where(wrong & (which == 0), 1 + (d + (27 * step).astype(np.int64)) % 28, d)
    m = np.where(wrong & (which == 1), 1 + (m + (11 * step).astype(np.int64)) % 12, m)
    leap = np.array([-10, -1, 1, 10, 9])[(5 * step).astype(np.int64)]
    y = np.where(wrong & (which == 2), np.minimum(y + leap, config.year), y)
    d = np.minimum(d, _days(y, m))
    rows = zip(y.tolist(), m.tolist(), d.tolist(), strict=True)
    if kind == "practice":
        return [f"{b:02}{a:02}{x:04}" for x, a, b in rows]
    if kind == "rescue":
        estimated = draw.chance(n, 0.05).tolist()
        return [str(x) if e else f"{b:02}.{a:02}.{x:04}" for (x, a, b), e in zip(rows, estimated, strict=True)]
    if kind == "care":
        return [f"{b:02}.{a:02}.{x:04}" for x, a, b in rows]
    return [f"{x:04}-{a:02}-{b:02}" for x, a, b in rows]


def _days(y: NDArray[np.int64], m: NDArray[np.int64]) -> NDArray[np.int64]:
    """Days of the months."""
    days = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[m]
    leap = (m == 2) & (y % 4 == 0) & ((y % 100 != 0) | (y % 400 == 0))
    return np.asarray(days + leap, dtype=np.int64)


def _as_practice(columns: dict[str, list[str]]) -> None:
    """xDT: street and number in one field, names and streets cut at 28 characters, patients without umlauts kept."""
    columns["street"] = [
        f"{s} {n}"[:_XDT] if s and n else s[:_XDT]
        for s, n in zip(columns["street"], columns["house_number"], strict=True)
    ]
    columns["house_number"] = ["" if s else n for s, n in zip(columns["street"], columns["house_number"], strict=True)]
    for name in ("given_name", "surname"):
        columns[name] = [s[:_XDT] for s in columns[name]]
