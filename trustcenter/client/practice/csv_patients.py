"""CSV exports of practice, rescue and insurer software: their charsets, separators and columns of two things."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Final

from linkage import separator
from linkage.errors import ColumnError, RowError, TableError
from linkage.tables import place_columns
from trustcenter.client.errors import LocalFileError
from trustcenter.client.jobs import csvdialect

from .xdt_patients import split_town

_DELIMITERS: Final = (";", ",", "\t", "|")
_IDS: Final = ("patientennummer", "patientennr", "patientnr", "patnr", "patientenid", "patientid", "patid", "pid", "id")
_TOWNS: Final = ("plzort", "plzwohnort", "postleitzahlort")
_NAMES: Final = ("namevorname", "nachnamevorname", "patientenname")

Row = dict[str, str]


def read_patients(
    data: bytes,
    charset: str | None,
    id_column: str | None,
    mapping: Mapping[str, str] | None,
    delimiter: str | None,
) -> list[Row]:
    """One row per record: field name, or "id", → text.

    Postcode and town in one column, and "surname, given name" in one, are taken apart where their headers say so.

    Raises:
        LocalFileError: the charset is not known, or the file is not in it.
        ColumnError, RowError, TableError: columns missing or ambiguous, a ragged row, broken quotes.
    """
    text = _decode(data, charset).lstrip("\r\n")
    first, end, below = text.partition("\n")
    if (told := separator.told(first + end)) is not None:
        delimiter, text = delimiter or told, below
    # A comma inside a quoted name is no separator.
    first = "".join(text.split("\n", 1)[0].split('"')[::2])
    chosen = delimiter or max(_DELIMITERS, key=first.count)
    if chosen not in _DELIMITERS:
        raise TableError("the delimiter is not one of , ; tab |")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=chosen, strict=True)
    try:
        header = [cell.strip() for cell in next(reader)]
        # Below a table spreadsheets leave rows of nothing but separators.
        body = [(number, row) for number, row in enumerate(reader, start=1) if any(map(str.strip, row))]
    except (csv.Error, StopIteration):
        raise TableError("a quotation is not closed or not opened", where=f"line {reader.line_num}") from None
    plain = [_plain(cell) for cell in header]
    town_at, name_at = _one(plain, _TOWNS), _one(plain, _NAMES)
    id_name = id_column if id_column is not None else _id_column(header, plain)
    try:
        places = place_columns(header, id_name, mapping)
        at, id_at = places.at, places.id_at
    except ColumnError:
        if mapping is not None or (town_at is None and name_at is None) or id_name not in header:
            raise
        at, id_at = {}, header.index(id_name)  # a file of joined columns only
    rows: list[Row] = []
    for number, cells in body:
        if len(cells) != len(header):
            raise RowError(f"the row has {len(cells)} fields, the header {len(header)}", where=f"row {number}")
        row = {"id": cells[id_at].strip(), **{name: cells[i].strip() for name, i in at.items()}}
        if mapping is None and town_at is not None and "town" not in at:
            postcode, row["town"] = split_town(cells[town_at])
            row.setdefault("postcode", postcode)
        if mapping is None and name_at is not None and "surname" not in at:
            surname, _, given = cells[name_at].partition(",")
            row["surname"] = surname.strip()
            row.setdefault("given_name", given.strip())
        rows.append(row)
    return rows


def _decode(data: bytes, charset: str | None) -> str:
    try:
        codec, mark = csvdialect.charset(data[:64], charset or "auto")
    except LocalFileError as error:  # the same option has another name elsewhere
        hint = error.hint.replace("--encoding", "--charset")
        raise LocalFileError(error.message, code=error.code, hint=hint) from None
    try:
        text = data[len(mark) :].decode(codec)
    except UnicodeDecodeError:
        raise LocalFileError(
            "the file is not in this charset" if charset else "the file is not UTF-8",
            code="bad_encoding",
            hint="German Windows programs mostly write --charset cp1252; a wrong guess would silently cost matches",
        ) from None
    if "\0" in text:
        raise TableError("the file holds null characters", hint="is it UTF-16? say --charset utf-16")
    return text


def _id_column(header: list[str], plain: list[str]) -> str:
    found = _one(plain, _IDS)
    if found is None:
        raise ColumnError(
            "no column, or more than one, is known as the patient number",
            hint="is it the right file? then name the column: --id-column",
        )
    return header[found]


def _one(plain: list[str], known: tuple[str, ...]) -> int | None:
    """Position of the only column that has one of these names."""
    at = [i for i, cell in enumerate(plain) if cell in known]
    return at[0] if len(at) == 1 else None


def _plain(cell: str) -> str:
    return "".join(c for c in cell.casefold().replace("ß", "ss") if c.isalnum())
