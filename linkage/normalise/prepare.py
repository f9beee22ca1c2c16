"""Columns of raw values in, normalised values and block components out.

Every distinct value of a column is normalised once: names, dates, postcodes and towns repeat, and what is left
per record are dictionary look-ups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from linkage.errors import ColumnsError
from linkage.normalise import dates, febrl, identifiers, names, places
from linkage.normalise.further import Further, of_addresses, of_names
from linkage.phonetics import cologne_letters, soundex
from linkage.schema import Kind, Schema
from linkage.tables import FURTHER

T = TypeVar("T")


@dataclass(frozen=True)
class Prepared:
    """Normalised records, by column. All lists have length n; "" is a missing value.

    Attributes:
        n: number of records.
        values: field name → value for the filter.
        components: component name → part of a block value, for every component that a pass of the schema uses.
        warnings: "field:what" → count. Never a value.
        further: further values of records, by group; empty unless they were asked for.
    """

    n: int
    values: dict[str, list[str]]
    components: dict[str, list[str]]
    warnings: Counter[str] = field(default_factory=Counter)
    further: tuple[Further, ...] = ()

    def __repr__(self) -> str:
        return f"Prepared(n={self.n}, fields={sorted(self.values)})"


class _Memo(dict[str, T], Generic[T]):
    """A function remembered by argument; look-ups of known values run at the speed of a dict."""

    def __init__(self, function: Callable[[str], T]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: str) -> T:
        value = self[key] = self._function(key)
        return value


def prepare(schema: Schema, columns: Mapping[str, Sequence[str]], *, further: bool | None = None) -> Prepared:
    """Normalise records under the rules of a schema.

    Args:
        schema: names the fields, the rules and the components that are wanted.
        columns: field name → raw values, "" for missing. A field without a column is missing in all records, and
            counted as such in the warnings; the columns of further values (`linkage.tables.FURTHER`) may be there
            too; any other column is refused.
        further: find further values (birth names, parts of double names, former addresses) as well; by default
            if a pass of the schema takes them.

    Raises:
        ColumnsError: a column that is no field of the schema, columns of different length, or none at all.
    """
    n = _check(schema, columns)
    work = _Work(schema, columns, n)
    work.run()
    further = schema.several if further is None else further
    # With further values, pairs of parts are put together anew, so that both parts are needed.
    parts = [part for c in schema.components for part in c.strip("{}").split(",")] if schema.several else []
    components = {c: work.components[c] for c in dict.fromkeys([*schema.components, *parts])}
    return Prepared(n, work.values, components, work.warnings, work.further() if further else ())


def _check(schema: Schema, columns: Mapping[str, Sequence[str]]) -> int:
    known = [f.name for f in schema.fields]
    if any(name not in known and name not in FURTHER for name in columns):
        raise ColumnsError("a column is no field of the schema", hint="fields: " + ", ".join(known))
    if not any(name in known for name in columns):
        raise ColumnsError("no column of the schema is there", hint="fields: " + ", ".join(known))
    lengths = {len(c) for c in columns.values()}
    if len(lengths) > 1:
        raise ColumnsError("the columns differ in length")
    return lengths.pop()


class _Work:
    """One call of `prepare`."""

    def __init__(self, schema: Schema, columns: Mapping[str, Sequence[str]], n: int) -> None:
        self.schema, self.columns, self.n = schema, columns, n
        self.german = schema.rules == "german/1"
        self.code = cologne_letters if schema.phonetics == "cologne" else soundex
        self.values: dict[str, list[str]] = {}
        self.components: dict[str, list[str]] = {}
        self.warnings: Counter[str] = Counter()

    def run(self) -> None:
        german = self.german
        self._name("given_name", names.given_name if german else febrl.name, "G", "g3")
        self._name("surname", names.surname if german else febrl.name, "S", "s3")
        self._birth_date()
        self._address()
        self._simple("postcode", places.postcode if german else febrl.postcode, "pc")
        self._simple("town", places.town if german else febrl.text)
        self._simple("sex", identifiers.sex)
        self._insured_number()
        for pair, a, b in (("{g3,s3}", "g3", "s3"), ("{G,S}", "G", "S")):
            if pair in self.schema.components:
                self.components[pair] = _unordered(self.components[a], self.components[b])

    def further(self) -> tuple[Further, ...]:
        """Further values of every group that the schema has fields for; none under febrl/1."""
        if not self.german:
            return ()
        found: list[Further] = []
        groups: tuple[Literal["surname", "given_name"], ...] = ("surname", "given_name")
        for group in groups:
            if (own := self.schema.field_of(group)) is not None:
                raw = self.columns.get(own.name) or [""] * self.n
                found.append(of_names(group, raw, self.columns, self.code))
        if self.schema.field_of("street") or self.schema.field_of("postcode"):
            found.append(of_addresses(self.columns, self.n))
        return tuple(found)

    def _column(self, kind: Kind) -> tuple[str, Sequence[str]] | None:
        """Field name and raw values of a kind, or None if the schema has no such field."""
        known = self.schema.field_of(kind)
        if known is None:
            return None
        column = self.columns.get(known.name)
        if column is None:
            self.warnings[f"{known.name}:no_column"] += self.n
            column = [""] * self.n
        return known.name, column

    def _count(self, name: str, warnings: list[str]) -> None:
        for what, count in Counter(warnings).items():
            if what:
                self.warnings[f"{name}:{what}"] += count

    def _name(self, kind: Kind, rule: Callable[[str], names.Name], code: str, three: str) -> None:
        if (found := self._column(kind)) is None:
            return
        name, column = found

        def entry(raw: str) -> tuple[str, str, str, str]:
            value, head, warning = rule(raw)
            # A head holds letters only, so ASCII means a-z.
            phonetic = self.code(head if head.isascii() else "".join(c for c in head if "a" <= c <= "z"))
            if head and not phonetic:
                warning = warning or "no_phonetic_code"
            return value, phonetic, head[:3], warning

        self.values[name], self.components[code], self.components[three], warnings = _spread(entry, column, 4)
        self._count(name, warnings)

    def _birth_date(self) -> None:
        if (found := self._column("birth_date")) is None:
            return
        name, column = found
        rule = dates.birth_date if self.german else febrl.birth_date
        values, self.components["y"], self.components["md~"], warnings = _spread(rule, column, 4)
        self.values[name] = values
        self._count(name, warnings)

    def _address(self) -> None:
        street = self._column("street")
        number = self._column("house_number")
        split = self.german and number is not None
        numbers = [""] * self.n
        if number is not None:
            (numbers,) = _spread(
                lambda raw: (places.house_number(raw) if self.german else febrl.text(raw)[0],), number[1], 1
            )
        if street is not None:
            if self.german:
                whole, bare, inside, warnings = _spread(places.street, street[1], 4)
                self._count(street[0], warnings)
            else:
                (whole,) = _spread(lambda raw: febrl.text(raw)[:1], street[1], 1)
            if split:
                rows = zip(whole, bare, inside, numbers, strict=True)
                joined = [
                    places.address(places.Street(w, b, i), n) if i or not w[-3:].isalpha() else (w, n)
                    for w, b, i, n in rows
                ]
                whole = [s for s, _ in joined]
                numbers = [n for _, n in joined]
            self.values[street[0]] = whole
            (self.components["ad4"],) = _spread(lambda s: (s[:4],), whole, 1)
        if number is not None:
            self.values[number[0]] = numbers
            rule = places.leading_number if self.german else str
            (self.components["no"],) = _spread(lambda s: (rule(s),), numbers, 1)

    def _simple(self, kind: Kind, rule: Callable[[str], tuple[str, str]], component: str | None = None) -> None:
        if (found := self._column(kind)) is None:
            return
        name, column = found
        self.values[name], warnings = _spread(rule, column, 2)
        if component:
            self.components[component] = self.values[name]
        self._count(name, warnings)

    def _insured_number(self) -> None:
        if (found := self._column("insured_number")) is None:
            return
        name, column = found
        self.values[name], self.components["kv"], warnings = _spread(identifiers.insured_number, column, 3)
        self._count(name, warnings)


def _spread(rule: Callable[[str], tuple[str, ...]], column: Sequence[str], width: int) -> list[list[str]]:
    """Apply a rule to a column, once per distinct value; one list per element of its result."""
    results = list(map(_Memo(rule).__getitem__, column))
    return [[r[i] for r in results] for i in range(width)]


def _unordered(a: list[str], b: list[str]) -> list[str]:
    """The two parts of each record in ascending order, so that swapped names still meet; "" if either is missing."""
    return [(f"{x} {y}" if x <= y else f"{y} {x}") if x and y else "" for x, y in zip(a, b, strict=True)]
