"""Patient tables from CSV files.

A table is columns of strings under our own field names, and an id per row. What is wrong with a file is said by
position (row 1 is the header line's first data row below it) and by our own field names, never by its content.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from linkage.errors import ColumnError, EncodingError, RowError, TableError

FIELDS = ("given_name", "surname", "birth_date", "sex", "street", "house_number", "postcode", "town", "insured_number")
DELIMITERS = (",", ";", "\t", "|")

# Names under which our fields are known elsewhere, in lower case without blanks, underscores and hyphens.
_ALIASES: dict[str, tuple[str, ...]] = {
    "given_name": ("givenname", "firstname", "vorname", "vornamen"),
    "surname": ("surname", "lastname", "familyname", "nachname", "familienname", "name"),
    "birth_date": ("birthdate", "dateofbirth", "dob", "geburtsdatum", "gebdatum", "gebdat"),
    "sex": ("sex", "gender", "geschlecht"),
    "street": ("street", "address1", "strasse", "straße", "adresse"),
    "house_number": ("housenumber", "streetnumber", "hausnummer", "hausnr"),
    "postcode": ("postcode", "zip", "zipcode", "plz", "postleitzahl"),
    "town": ("town", "city", "suburb", "ort", "stadt", "wohnort"),
    "insured_number": ("insurednumber", "kvnr", "versichertennummer", "krankenversichertennummer"),
}
_BY_ALIAS = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
_LONGEST_FIELD = 131_072  # characters in one cell


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
                    hint="one row per patient: remove duplicates first",
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
        if name not in FIELDS:
            raise ColumnError("a mapping names an unknown field", hint="fields: " + ", ".join(FIELDS), where=where)
        if name in mapping:
            raise ColumnError("a field is mapped twice", where=where)
        mapping[name] = column
    return mapping


def default_mapping(header: Sequence[str]) -> dict[str, str]:
    """Field → column by the names that are usual, without regard to case, blanks, underscores and hyphens.

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


def read_csv(
    path: str | Path,
    *,
    id_column: str,
    mapping: Mapping[str, str] | None = None,
    delimiter: str | None = None,
) -> Table:
    """Read a CSV file in UTF-8 (a byte order mark is fine) with a header line.

    Args:
        path: the file.
        id_column: header of the column with the site's own id.
        mapping: field → header; without it the usual names are recognised. Other columns are left out.
        delimiter: one of , ; tab |; without it the one that the header line has most of.

    Raises:
        EncodingError: not UTF-8, with the row.
        ColumnError: a needed column is not there or there twice, or no column is recognised.
        RowError: a row is longer or shorter than the header; an id is empty or occurs twice.
        TableError: there is no such file, it is empty, or a quotation is not closed.
    """
    rows = _rows(Path(path), delimiter)
    header = [c.strip() for c in next(rows)]
    chosen = dict(mapping) if mapping is not None else default_mapping(header)
    if unknown := [name for name in chosen if name not in FIELDS]:
        raise ColumnError(f"{len(unknown)} mapped fields are unknown", hint="fields: " + ", ".join(FIELDS))
    if not chosen:
        raise ColumnError(
            f"none of the {len(header)} columns is recognised",
            hint="map them, field=COLUMN; fields: " + ", ".join(FIELDS),
        )
    places = {name: _find(header, column, name) for name, column in chosen.items()}
    id_place = _find(header, id_column, "id")
    width = len(header)
    records: list[list[str]] = []
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            if not row:
                continue  # an empty line, often the last one
            raise RowError(f"the row has {len(row)} fields, the header {width}", where=f"row {number}")
        records.append(row)
    ids = [row[id_place].strip() for row in records]
    return Table(ids, {name: [row[i] for row in records] for name, i in places.items()})


def _rows(path: Path, delimiter: str | None) -> Iterator[list[str]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise TableError("there is no such file") from None
    except OSError as e:
        raise TableError("the file cannot be read", hint=e.strerror or "") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start)
        raise EncodingError(
            "the file is not UTF-8",
            hint="save or convert it as UTF-8; a guessed character set would silently cost matches",
            where=f"row {line}" if line else "header",
        ) from None
    if not text.strip():
        raise TableError("the file is empty")
    if "\0" in text:
        raise TableError("the file holds null characters", hint="is it UTF-16? save it as UTF-8")
    first = text.lstrip("\r\n").splitlines()[0]
    if delimiter is None:
        delimiter = max(DELIMITERS, key=first.count)
    elif delimiter not in DELIMITERS:
        raise TableError("the delimiter is not one of , ; tab |")
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(text.lstrip("\r\n").splitlines(keepends=True), delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise TableError("a quotation is not closed or not opened", where=f"line {reader.line_num}") from None
        yield row


def _find(header: Sequence[str], column: str, name: str) -> int:
    """Position of a column: by exact header, else without regard to case and separators."""
    exact = [i for i, h in enumerate(header) if h == column]
    found = exact or [i for i, h in enumerate(header) if _plain(h) == _plain(column)]
    if not found:
        raise ColumnError(
            f"the column for {name} is not among the {len(header)} columns of the file",
            hint="columns are named in the first line; fields: id, " + ", ".join(FIELDS),
            where=name,
        )
    if len(found) > 1:
        raise ColumnError(f"the column for {name} is there {len(found)} times", where=name)
    return found[0]


def _plain(column: str) -> str:
    return column.strip().casefold().replace("ß", "ss").replace("_", "").replace("-", "").replace(" ", "")
