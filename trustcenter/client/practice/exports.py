"""One export file or folder in, one table out: the columns that linkage takes, whatever the file was.

Nothing is written. Everything is held in memory, once: a practice has some ten thousand patients.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from linkage.errors import RowError
from linkage.tables import FIELDS, FURTHER, Table
from trustcenter.client.errors import LocalFileError

from . import csv_patients, fhir_patients, fhir_xml, xdt, xdt_patients

FORMATS: Final = ("xdt", "csv", "fhir")
_MAX_BYTES: Final = 2**29  # of one file; a practice's export has some megabytes
_FHIR_ENDS: Final = (".json", ".ndjson", ".xml")
# What people give by mistake: beginning of the file → what to do.
_OTHERS: Final = (
    (b"PK\x03\x04", "a spreadsheet: save it as CSV (UTF-8); an archive of exports: unpack it and name the folder"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet or document of Office: save it as CSV (UTF-8)"),
    (b"\x1f\x8b", "a packed file: unpack it first"),
    (b"%PDF", "a PDF: let the practice software export BDT, GDT, CSV or FHIR"),
)
_ADDRESS: Final = ("street", "house_number", "postcode", "town")

Row = dict[str, str]


@dataclass(frozen=True)
class Export:
    """Patients of an export.

    Attributes:
        format: xdt, csv or fhir.
        table: one row per patient; a column that is empty throughout is left out.
        warnings: "field:what" → count. Never a value.
    """

    format: str
    table: Table
    warnings: Counter[str] = field(default_factory=Counter)

    def __repr__(self) -> str:
        return f"Export({self.format}, {len(self.table)} patients)"


def read_export(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002 - the word of the option
    charset: str | None = None,
    id_column: str | None = None,
    id_system: str | None = None,
    mapping: dict[str, str] | None = None,
    delimiter: str | None = None,
    scene: bool = False,
) -> Export:
    """Read an export.

    Args:
        path: a file, or a folder of FHIR files (archive export).
        format: one of `FORMATS`; without it, it is found out from the beginning of the file.
        charset: of xDT and CSV, where the file does not say it.
        id_column: of CSV: the site's own id; without it the usual names are recognised.
        id_system: of FHIR: system of the site's own identifier.
        mapping: of CSV: field → column.
        delimiter: of CSV.
        scene: addresses are of a scene (rescue service), not of a dwelling: they are left out.

    Raises:
        LocalFileError: not readable, not of its format, charset unknown.
        TableError: of CSV: see `linkage.tables`. RowError: an id is empty or there twice.
    """
    if format is not None and format not in FORMATS:
        raise LocalFileError("this format is not known", code="bad_format", hint="one of: " + ", ".join(FORMATS))
    warnings: Counter[str] = Counter()
    if path.is_dir():
        found = "fhir"
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in _FHIR_ENDS)
        rows = _fhir(files, id_system, warnings)
    else:
        data = _bytes(path, "")
        found = format or _kind(data)
        if found == "xdt":
            rows = xdt_patients.read_patients(data, charset, warnings)
        elif found == "fhir":
            rows = _fhir([path], id_system, warnings)
        else:
            rows = csv_patients.read_patients(data, charset, id_column, mapping, delimiter)
    if scene:
        for row in rows:
            left_out = [row.pop(name, "") for name in _ADDRESS]
            warnings["address:scene_left_out"] += any(left_out)
    return Export(found, _table(rows), +warnings)


def _table(rows: list[Row]) -> Table:
    columns = {name: [row.get(name, "") for row in rows] for name in FIELDS + FURTHER}
    kept = {name: values for name, values in columns.items() if any(values)}
    if not kept:
        raise RowError("no patient has any of the fields", hint="fields: " + ", ".join(FIELDS))
    return Table([row["id"] for row in rows], kept)


def _kind(data: bytes) -> str:
    for beginning, hint in _OTHERS:
        if data.startswith(beginning):
            raise LocalFileError("the file is no export as text", code="not_an_export", hint=hint)
    if xdt.is_xdt(data[:16]):
        return "xdt"
    return "fhir" if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[", b"<") else "csv"


def _bytes(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise LocalFileError("there is no such file", code="no_input", where=where) from None
    except OSError:
        raise LocalFileError("the file cannot be read", code="unreadable_input", where=where) from None
    if len(data) > _MAX_BYTES:
        raise LocalFileError("the file is larger than 512 MiB", code="input_too_large", where=where)
    if not data.strip():
        raise LocalFileError("the file is empty", code="empty_file", where=where)
    return data


def _fhir(files: list[Path], id_system: str | None, warnings: Counter[str]) -> list[Row]:
    found: list[tuple[str, dict[str, Any]]] = []
    for number, path in enumerate(files, start=1):
        # Not the name of the file: it may be the patient's.
        place = f"file {number}" if len(files) > 1 else ""
        data = _bytes(path, place)
        for position, document in _documents(data, place):
            found += [(position, patient) for patient in fhir_patients.patients(document)]
    rows = fhir_patients.rows(found, id_system, warnings)
    if not rows:
        raise LocalFileError("there is no Patient in the input", code="no_patients")
    return rows


def _documents(data: bytes, place: str) -> Iterator[tuple[str, Any]]:
    """Position and content of the one document of a file, or of each line of NDJSON."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        yield place or "file 1", fhir_xml.parse(data, place)
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LocalFileError("this is no FHIR JSON in UTF-8", code="bad_fhir", where=place) from None
    try:
        yield place or "file 1", json.loads(text)
    except (ValueError, RecursionError):
        pass
    else:
        return
    for number, line in enumerate(text.split("\n"), start=1):
        where = f"{place}, line {number}".removeprefix(", ")
        if line.strip():
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError):
                raise LocalFileError("this is no FHIR JSON in UTF-8", code="bad_fhir", where=where) from None
