"""Further values: birth name, double names, several given names, former addresses (specification, section 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from linkage.normalise import names, places

Group = Literal["surname", "given_name", "address"]
SEPARATOR = "|"

# Group → kinds of field that a further value replaces, and the components it has.
KINDS: dict[Group, tuple[str, ...]] = {
    "surname": ("surname",),
    "given_name": ("given_name",),
    "address": ("street", "house_number", "postcode", "town"),
}
COMPONENTS: dict[Group, tuple[str, ...]] = {
    "surname": ("S", "s3"),
    "given_name": ("G", "g3"),
    "address": ("ad4", "no", "pc"),
}


@dataclass(frozen=True)
class Further:
    """Further values of one group. All lists have the length of `record`.

    Attributes:
        group: "surname", "given_name" or "address".
        record: number of the record of each, ascending; a record may have none or several.
        values: kind of field → normalised value.
        components: component → part of a block value.
    """

    group: Group
    record: list[int]
    values: dict[str, list[str]]
    components: dict[str, list[str]]

    def __repr__(self) -> str:
        return f"Further({self.group}, {len(self.record)} values)"


def of_names(
    group: Literal["surname", "given_name"],
    own: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    code: Callable[[str], str],
) -> Further:
    """Further surnames or given names.

    Args:
        group: which.
        own: raw values of the field itself.
        columns: the columns of the table, of which birth_name and former_surname are read.
        code: phonetic code of a head.
    """
    record: list[int] = []
    found: list[str] = []
    known: dict[str, tuple[str, ...]] = {}
    rule = names.further_surnames if group == "surname" else names.further_given_names
    extra = [columns.get(name) if group == "surname" else None for name in ("birth_name", "former_surname")]
    for i, raw in enumerate(own):
        inside = known.get(raw)
        if inside is None:
            inside = known[raw] = rule(raw)
        if any(column and column[i] for column in extra):
            inside = tuple(dict.fromkeys(_surnames(raw, inside, *(column[i] if column else "" for column in extra))))
        for value in inside:
            record.append(i)
            found.append(value)
    heads = [value.split(" ")[0] for value in found]
    coded = {head: code("".join(c for c in head if "a" <= c <= "z")) for head in set(heads)}
    a, b = COMPONENTS[group]
    return Further(group, record, {group: found}, {a: [coded[h] for h in heads], b: [h[:3] for h in heads]})


def _surnames(raw: str, inside: tuple[str, ...], born: str, former: str) -> Iterator[str]:
    """In the order of the specification; the surname itself is none."""
    main = names.surname(raw).value
    parts = main.split(" ")[1:]
    in_text = [v for v in inside if v not in parts]
    columns = [[names.surname(text) for text in cell.split(SEPARATOR)] for cell in (born, former)]
    values = [[n.value for n in column] for column in columns]
    double = [p for column in values for v in column for p in v.split(" ")[1:]]
    for value in (*values[0], *in_text, *values[1], *(v for v in inside if v in parts), *double):
        if value and value != main:
            yield value


def of_addresses(columns: Mapping[str, Sequence[str]], n: int) -> Further:
    """Former addresses, from the columns former_street, former_house_number, former_postcode and former_town."""
    kinds = KINDS["address"]
    cells = [columns.get("former_" + kind) for kind in kinds]
    record: list[int] = []
    rows: list[tuple[str, str, str, str]] = []
    if any(column is not None for column in cells):
        for i in range(n):
            texts = [column[i] if column is not None else "" for column in cells]
            if not any(texts):
                continue
            parts = zip_longest(*(t.split(SEPARATOR) for t in texts), fillvalue="")
            for address in dict.fromkeys(_address(*part) for part in parts):
                if address[0] or address[2]:
                    record.append(i)
                    rows.append(address)
    values = {kind: [row[k] for row in rows] for k, kind in enumerate(kinds)}
    components = {
        "ad4": [row[0][:4] for row in rows],
        "no": [places.leading_number(row[1]) for row in rows],
        "pc": [row[2] for row in rows],
    }
    return Further("address", record, values, components)


def _address(street: str, number: str, postcode: str, town: str) -> tuple[str, str, str, str]:
    name, number = places.address(places.street(street), places.house_number(number))
    return name, number, places.postcode(postcode)[0], places.town(town)[0]
