"""A corrupted copy of a site's own records, made at the site and thrown away: what calibration counts on.

The slips are those of the generator (`linkage.synth.errors`). Another address or surname is that of another record of
the same source, so that the copy has the names and streets of the place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from linkage.synth import errors
from linkage.synth.config import Profile
from linkage.synth.copies import CAREFUL, CARELESS, CARELESS_SHARE, MISSING, RATES, Clerk, Wrong
from linkage.synth.draw import Draw
from linkage.synth.pools import strings

_MOVES = 0.12
_MARRIAGES = 0.03
_ADDRESS = ("street", "house_number", "postcode", "town")


def corrupted(
    columns: Mapping[str, Sequence[str]],
    *,
    seed: str,
    degree: Profile = "moderate",
    moves: float = _MOVES,
    marriages: float = _MARRIAGES,
) -> dict[str, list[str]]:
    """The same records in the same order, as another site might have written them.

    Args:
        columns: raw values by field, all of one length; columns that are no field of a person stay as they are.
        seed: any text; the same one gives the same copy.
        degree: how careless the other site is; "none" leaves spellings, but people still move.
        moves: share of records with the address of another one.
        marriages: share of records with the surname of another one.
    """
    made = {name: strings(list(column)) for name, column in columns.items()}
    n = len(next(iter(made.values()), ()))
    draw, rates = Draw(seed, "corrupt"), RATES[degree]
    elsewhere, renamed = draw.chance(n, moves), draw.chance(n, marriages)
    other, bride = draw.below(n, max(n, 1)), draw.below(n, max(n, 1))
    for name in _ADDRESS:
        if name in made:
            made[name] = np.where(elsewhere, made[name][other], made[name])
    if "surname" in made:
        made["surname"] = np.where(renamed, made["surname"][bride], made["surname"])
    clerk = Clerk(draw, np.where(draw.chance(n, CARELESS_SHARE), CARELESS, CAREFUL))
    slips: tuple[tuple[str, float, Wrong], ...] = (
        ("given_name", rates.typing_given, errors.typing),
        ("given_name", rates.phonetic_given, errors.phonetic),
        ("given_name", rates.ocr, errors.ocr),
        ("surname", rates.typing_surname, errors.typing),
        ("surname", rates.phonetic_surname, errors.phonetic),
        ("surname", rates.ocr, errors.ocr),
        ("street", rates.typing_street, errors.typing),
        ("street", rates.phonetic_street, errors.phonetic),
        ("town", rates.typing_town, errors.typing),
        ("birth_date", rates.date_digit, _date_digit),
        ("postcode", rates.postcode_digit, errors.one_digit),
        ("house_number", rates.house_number, errors.house_number),
        ("insured_number", rates.date_digit, _date_digit),
    )
    for name in ("given_name", "surname", "street", "town"):
        if name in made:
            clerk.vary(made[name], rates.umlaut, errors.umlaut, _foreign(made[name]))
    if "surname" in made:
        clerk.vary(made["surname"], rates.double_surname, errors.double_name)
    for name, rate, wrong in slips:
        if name in made:
            clerk.spoil(made[name], rate, wrong)
    for name, rate in MISSING.items():
        if name in made:
            made[name] = np.where(draw.chance(n, rate), strings([""] * n), made[name])
    return {name: column.tolist() for name, column in made.items()}


def _foreign(column: np.ndarray[tuple[int], np.dtype[np.object_]]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.fromiter((not s.isascii() for s in column), np.bool_, len(column))


def _date_digit(value: str, u: float, v: float, w: float) -> str:
    """Another digit at one place of a date in whatever form; separators stay."""
    places = [i for i, c in enumerate(value) if c.isascii() and c.isdigit()]
    if not places:
        return value
    i = places[int(v * len(places))]
    return value[:i] + str((int(value[i]) + 1 + int(w * 9)) % 10) + value[i + 1 :]


def halves(n: int, seed: str) -> tuple[list[int], list[int], list[int]]:
    """Two sides of two thirds of n records each, one third in common, so that each has people of its own.

    Returns:
        records of the one side, records of the other, and for each of the other the place of its original on the one
        side, or -1.
    """
    order = Draw(seed, "halves").order(n).tolist()
    left, right = order[: n - n // 3], order[n // 3 :]
    place = {record: at for at, record in enumerate(left)}
    return left, right, [place.get(record, -1) for record in right]
