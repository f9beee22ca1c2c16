"""Patient tables: columns of strings under our own field names, and an id per row.

What is wrong with a table is said by position (row 1 is the first record) and by our own field names, never by its
content. `linkage.readers` reads the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from linkage.errors import ColumnError, RowError, TableError

FIELDS = ("given_name", "surname", "birth_date", "sex", "street", "house_number", "postcode", "town", "insured_number")
# Columns of further values (docs/spec/normalisation.md, section 10); a cell may hold several, with | between them.
FURTHER = ("birth_name", "former_surname", "former_street", "former_house_number", "former_postcode", "former_town")

# Names under which our fields are known elsewhere, in lower case, letters and digits only.
_ALIASES: dict[str, tuple[str, ...]] = {
    "given_name": ("givenname", "firstname", "vorname", "vornamen"),
    "surname": ("surname", "lastname", "familyname", "nachname", "familienname", "name"),
    "birth_date": ("birthdate", "dateofbirth", "dob", "geburtsdatum", "gebdatum", "gebdat", "geburtstag", "gebam"),
    "sex": ("sex", "gender", "geschlecht", "geschl"),
    "street": ("street", "address1", "strasse", "strassenr", "strassehausnr", "strassehausnummer", "adresse"),
    "house_number": ("housenumber", "streetnumber", "hausnummer", "hausnr", "hnr"),
    "postcode": ("postcode", "zip", "zipcode", "plz", "postleitzahl"),
    "town": ("town", "city", "suburb", "ort", "stadt", "wohnort"),
    "birth_name": ("birthname", "geburtsname", "maidenname"),
    "former_surname": ("formersurname", "formername", "früherername", "frueherername"),
    "former_street": ("formerstreet", "früherestrasse"),
    "former_house_number": ("formerhousenumber", "früherehausnummer"),
    "former_postcode": ("formerpostcode", "früherepostleitzahl", "frühereplz"),
    "former_town": ("formertown", "frühererort", "formercity"),
    "insured_number": (
        *("insurednumber", "kvnr", "versichertennummer", "versichertennr", "versichertenid", "versnr", "egknr"),
        *("krankenversichertennummer", "krankenversichertennr"),
    ),
}
_BY_ALIAS = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
_ALL = FIELDS + FURTHER


@dataclass(frozen=True)
class Table:
    """Rows of one site.

    Attributes:
        ids: the site's own id of each row, unique and not empty.
        columns: field name → values, all as long as `ids`; "" = missing.

    Raises:
        RowError: an id is empty or occurs twice.
        TableError: the columns differ in length.
    """

    ids: list[str]
    columns: dict[str, list[str]]

    def __post_init__(self) -> None:
        if any(len(c) != len(self.ids) for c in self.columns.values()):
            raise TableError("the columns differ in length")
        if len(set(self.ids)) == len(self.ids) and "" not in self.ids:
            return
        seen: dict[str, int] = {}
        for row, one in enumerate(self.ids, start=1):
            if not one:
                raise RowError("the id is empty", where=f"row {row}")
            if one in seen:
                raise RowError(
                    f"the id is the same as in row {seen[one]}",
                    hint="one row per id: take out the others, or give them ids of their own",
                    where=f"row {row}",
                )
            seen[one] = row

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Table({len(self.ids)} rows, fields={sorted(self.columns)})"

    def select(self, fields: Iterable[str]) -> dict[str, list[str]]:
        """The columns of these fields that the table has, in that order."""
        return {f: self.columns[f] for f in fields if f in self.columns}


@dataclass(frozen=True)
class Chunk:
    """Some consecutive records of a file.

    Attributes:
        first: number of the first of them, from 1.
        ids: the site's ids, without white space at the ends; not checked for repetitions.
        columns: field name → values, as long as `ids`; "" = missing.
    """

    first: int
    ids: list[str]
    columns: dict[str, list[str]]

    def __repr__(self) -> str:
        return f"Chunk({len(self.ids)} records from {self.first}, fields={sorted(self.columns)})"


def parse_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """Read "field=COLUMN" pairs, as they stand on a command line.

    Raises:
        ColumnError: no "=", an unknown field, or a field twice.
    """
    mapping: dict[str, str] = {}
    for i, pair in enumerate(pairs, start=1):
        name, separator, column = pair.partition("=")
        where = f"mapping {i}"
        if not separator or not column:
            raise ColumnError("a mapping is written field=COLUMN", where=where)
        if name not in _ALL:
            raise ColumnError("a mapping names an unknown field", hint="fields: " + ", ".join(_ALL), where=where)
        if name in mapping:
            raise ColumnError("a field is mapped twice", where=where)
        mapping[name] = column
    return mapping


def default_mapping(header: Sequence[str]) -> dict[str, str]:
    """Field → column by the names that are usual, without regard to case and to what is no letter or digit.

    Raises:
        ColumnError: two columns stand for one field.
    """
    mapping: dict[str, str] = {}
    for column in header:
        name = _BY_ALIAS.get(_plain(column))
        if name is None:
            continue
        if name in mapping:
            raise ColumnError("two columns stand for one field", hint="map the field to one of them", where=name)
        mapping[name] = column
    return mapping


@dataclass(frozen=True)
class Places:
    """Where the columns of a file are: position of the id, and field → position."""

    id_at: int
    at: dict[str, int]


def place_columns(header: Sequence[str], id_column: str, mapping: Mapping[str, str] | None) -> Places:
    """Find the id and the fields among the column names of a file.

    Raises:
        ColumnError: a needed column is not there or there twice, or no column is recognised.
    """
    chosen = dict(mapping) if mapping is not None else default_mapping(header)
    if unknown := [name for name in chosen if name not in _ALL]:
        raise ColumnError(f"{len(unknown)} mapped fields are unknown", hint="fields: " + ", ".join(_ALL))
    if not chosen:
        raise ColumnError(
            f"none of the {len(header)} columns is recognised",
            hint="map them, field=COLUMN; fields: " + ", ".join(_ALL),
        )
    places = {name: _find(header, column, name) for name, column in chosen.items()}
    return Places(_find(header, id_column, "id"), places)


def _find(header: Sequence[str], column: str, name: str) -> int:
    """Position of a column: by exact header, else without regard to case and separators."""
    exact = [i for i, h in enumerate(header) if h == column]
    found = exact or [i for i, h in enumerate(header) if _plain(h) == _plain(column)]
    if not found:
        raise ColumnError(
            f"the column for {name} is not among the {len(header)} columns of the file",
            hint="CSV names its columns in the first line; fields: id, " + ", ".join(_ALL),
            where=name,
        )
    if len(found) > 1:
        raise ColumnError(f"the column for {name} is there {len(found)} times", where=name)
    return found[0]


def _plain(column: str) -> str:
    """A column name as aliases are written: "Geb.-Datum", "geb_datum" and "GEBDATUM" are one."""
    return "".join(c for c in column.casefold() if c.isalnum())
