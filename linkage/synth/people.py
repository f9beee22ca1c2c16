"""A population: households with addresses, and the people who live in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.synth import pools
from linkage.synth.config import SynthConfig
from linkage.synth.draw import Draw
from linkage.synth.pools import Strings

_SIZES = np.array([2, 3, 4, 5])
_SIZE_WEIGHTS = np.array([0.5, 0.22, 0.2, 0.08])
_SINGLE_PARENT = 0.15  # share of two-person households that are a parent and a child
_SAME_SURNAME, _DOUBLE_SURNAME = 0.78, 0.88  # couples: one surname; or a double name; else two surnames
_NEIGHBOURS = 0.08  # share of households in the house of another one
_NOBLE = 0.005
_SECOND_GIVEN_NAME = 0.3


@dataclass(frozen=True)
class People:
    """True data of n people, by column; people of one household stand together.

    Attributes:
        household: shape (n,), int64.
        sex: shape (n,), int8, 0 woman, 1 man.
        year, month, day: of birth, shape (n,), int64.
        given, second, surname: str; second given name or "".
        street, number: str.
        place: shape (n,), int64, index into `pools.places()`.
        origin: shape (n,), int64, 0 German, else 1 + index into `pools.ORIGINS`.
    """

    household: NDArray[np.int64]
    sex: NDArray[np.int8]
    year: NDArray[np.int64]
    month: NDArray[np.int64]
    day: NDArray[np.int64]
    given: Strings
    second: Strings
    surname: Strings
    street: Strings
    number: Strings
    place: NDArray[np.int64]
    origin: NDArray[np.int64]


def household_sizes(config: SynthConfig, n: int, mixed: int) -> NDArray[np.int64]:
    """Sizes of the households of n people; those that hold the first `mixed` people have several members."""
    draw = Draw(config.seed, "households")
    target = round(config.households * n)
    if target < 2:
        return np.ones(n, dtype=np.int64)
    sizes = _SIZES[draw.choose(target // 2 + 1, _SIZE_WEIGHTS)].astype(np.int64)
    ends = np.cumsum(sizes)
    count = int(np.searchsorted(ends, target)) + 1
    sizes = sizes[:count]
    sizes[-1] -= ends[count - 1] - target
    sizes = sizes[sizes > 0]
    first = int(np.searchsorted(np.cumsum(sizes), mixed, side="left")) + 1
    rest = np.concatenate([sizes[first:], np.ones(n - target, dtype=np.int64)])
    return np.concatenate([sizes[:first], rest[draw.order(len(rest))]])


def population(config: SynthConfig, sizes: NDArray[np.int64]) -> People:
    """People for households of these sizes."""
    households, n = len(sizes), int(sizes.sum())
    household = np.repeat(np.arange(households), sizes)
    starts = np.cumsum(sizes) - sizes
    position = np.arange(n) - starts[household]
    draw = Draw(config.seed, "people")

    parent_and_child = (sizes == 2) & draw.chance(households, _SINGLE_PARENT)
    origin = np.where(draw.chance(households, config.migration), 1 + draw.choose(households, pools.origin_shares()), 0)[
        household
    ]
    is_child = (position >= 2) | ((position == 1) & parent_and_child[household])
    is_partner = (position == 1) & ~is_child
    sex = draw.below(n, 2).astype(np.int8)
    partner = np.flatnonzero(is_partner)
    sex[partner] = np.where(draw.chance(len(partner), 0.97), 1 - sex[partner - 1], sex[partner - 1])

    age = _ages(draw, config, sizes, household, position, is_child, is_partner, starts)
    year = config.year - age
    born = _birthdays(draw, year, origin)
    surname = _surnames(draw, origin, household, starts, is_partner)
    twins = np.flatnonzero(is_child & (position >= 3) & draw.chance(n, config.twins))
    for i in twins.tolist():  # in order, so that triplets follow their elder
        year[i], born[i], surname[i] = year[i - 1], born[i - 1], surname[i - 1]
    month = born.astype("M8[M]").astype(np.int64) % 12 + 1
    day = (born - born.astype("M8[M]")).astype(np.int64) + 1
    year = born.astype("M8[Y]").astype(np.int64) + 1970

    given = given_names(draw, origin, sex, year)
    second = given_names(draw, origin, sex, year)
    second[~draw.chance(n, _SECOND_GIVEN_NAME) | (second == given)] = ""
    same = np.flatnonzero((given[1:] == given[:-1]) & (household[1:] == household[:-1]) & is_child[1:]) + 1
    given[same] = pools.given_names()["modern", 0].items[same % 50]  # no two children of one name

    street, number, place = addresses(draw, config, households)
    near = np.flatnonzero(draw.chance(households, _NEIGHBOURS))
    near = near[near > 0]
    street[near], number[near], place[near] = street[near - 1], number[near - 1], place[near - 1]
    return People(
        household,
        sex,
        year,
        month,
        day,
        given,
        second,
        surname,
        street[household],
        number[household],
        place[household],
        origin,
    )


def given_names(draw: Draw, origin: NDArray[np.int64], sex: NDArray[np.int8], year: NDArray[np.int64]) -> Strings:
    """Given names by origin, sex and year of birth: names of today spread from 1975 on."""
    n = len(sex)
    modern = draw.uniform(n) < np.clip((year - 1972) / 36.0, 0.0, 0.9)
    kind = np.where(origin > 0, origin + 1, modern.astype(np.int64))
    out = np.empty(n, dtype=np.object_)
    for i, name in enumerate(("german", "modern", *pools.ORIGINS)):
        for s in (0, 1):
            chosen = np.flatnonzero((kind == i) & (sex == s))
            out[chosen] = pools.given_names()[name, s].draw(draw, len(chosen))
    return out


def surnames(draw: Draw, origin: NDArray[np.int64]) -> Strings:
    """Surnames by origin."""
    out = np.empty(len(origin), dtype=np.object_)
    for i, name in enumerate(("german", *pools.ORIGINS)):
        chosen = np.flatnonzero(origin == i)
        out[chosen] = pools.surnames()[name].draw(draw, len(chosen))
    return out


def addresses(draw: Draw, config: SynthConfig, n: int) -> tuple[Strings, Strings, NDArray[np.int64]]:
    """Draw n addresses: streets, house numbers and indices of places."""
    where = pools.places()
    weights = where.weights
    if config.catchment:
        # Neighbouring postcodes; the same ones for every call of a configuration.
        count = min(config.catchment, len(weights))
        start = int(Draw(config.seed, "catchment").below(1, len(weights) - count + 1)[0])
        weights = np.zeros_like(weights)
        weights[start : start + count] = where.weights[start : start + count]
    place = draw.choose(n, weights)
    street = pools.streets().draw(draw, n)
    u = draw.uniform(n)
    cube = u * u * u
    base = (1 + 40 * u + 160 * cube * cube).astype(np.int64).astype(str)
    suffix = np.where(draw.chance(n, 0.09), np.array(list("aabbcd"))[draw.below(n, 6)], "")
    number = np.char.add(base, suffix).astype(np.object_)
    return street, number, place


def _ages(
    draw: Draw,
    config: SynthConfig,
    sizes: NDArray[np.int64],
    household: NDArray[np.int64],
    position: NDArray[np.int64],
    is_child: NDArray[np.bool_],
    is_partner: NDArray[np.bool_],
    starts: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Ages in whole years: patients are older than people, parents older than their children."""
    n = len(household)
    u = draw.uniform(n)
    root = np.sqrt(1 - u)
    alone = 18 + 78 * (1 - root * np.sqrt(root))
    family = 27 + 30 * u
    size = sizes[household]
    age = np.where(size >= 3, family, alone)
    head = age[starts[household]]
    age = np.where(is_partner, np.clip(head - 5 + 10 * draw.uniform(n), 18, 98), age)
    gap = 21 + 18 * draw.uniform(n)
    child = np.where(head - gap < 0, 2 * draw.uniform(n), head - gap)
    # Children of one family are not of one age: each later one is a little younger.
    age = np.where(is_child, np.maximum(0, child - 1.2 * (position - 2).clip(0)), age)
    return np.minimum(age.astype(np.int64), config.year - 1900)


def _birthdays(draw: Draw, year: NDArray[np.int64], origin: NDArray[np.int64]) -> NDArray[np.datetime64]:
    first = (year - 1970).astype("M8[Y]").astype("M8[D]")
    born = first + draw.below(len(year), 365)
    # Who came without papers was often registered as born on 1 January.
    default = draw.uniform(len(year)) < np.where(origin == 3, 0.1, np.where(origin > 0, 0.02, 0.0))
    return np.asarray(np.where(default, first, born))


def _surnames(
    draw: Draw,
    origin: NDArray[np.int64],
    household: NDArray[np.int64],
    starts: NDArray[np.int64],
    is_partner: NDArray[np.bool_],
) -> Strings:
    mine = surnames(draw, origin)
    noble = np.flatnonzero(draw.chance(len(mine), _NOBLE) & (origin == 0))
    mine[noble] = np.char.add("von ", mine[noble].astype(str)).astype(np.object_)
    shared = mine[starts[household]].copy()
    u = draw.uniform(len(mine))
    own = is_partner & (u >= _DOUBLE_SURNAME)
    double = is_partner & (u >= _SAME_SURNAME) & ~own
    single = np.flatnonzero((starts[household] == np.arange(len(mine))) & (u < 0.015))
    out = np.where(own, mine, shared)
    out[double] = joined(mine[double], shared[double])
    out[single] = joined(mine[single], np.roll(mine, 1)[single])
    return out


def joined(a: Strings, b: Strings) -> Strings:
    """Double names; a name of several words or with a hyphen is not doubled again."""
    out = [
        x if "-" in x or " " in x or "-" in y or " " in y or x == y else f"{x}-{y}" for x, y in zip(a, b, strict=True)
    ]
    return pools.strings(out)
