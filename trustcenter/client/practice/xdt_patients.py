"""Patients of an xDT file: the records of master data, field by field. Specification: docs/spec/practice-files.md."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from trustcenter.client.errors import LocalFileError

from . import xdt

MASTER_DATA: Final = frozenset({"6100", "6301"})  # BDT, GDT
# Fields that are read. All others, above all 3200 to 3210 (the main insured, another person), are left out.
_READ: Final = frozenset(
    "3000 3101 3102 3103 3105 3106 3107 3109 3110 3111 3112 3113 3119 3600".split()  # noqa: SIM905 - a table
)
_CUT: Final = 28  # bytes of a name in GDT; longer ones are cut there
_INSURED: Final = re.compile(r"[A-Z][0-9]{9}")
_POSTCODE_TOWN: Final = re.compile(r"(?:[A-Za-z]{1,3}[ -])?([0-9]{4,5})(?: +(.*))?")

Row = dict[str, str]


def read_patients(data: bytes, chosen: str | None, warnings: Counter[str]) -> list[Row]:
    """One row per record of master data: field name, or "id", → text.

    Args:
        data: the whole file.
        chosen: charset that a person says, or None.
        warnings: "field:what" → count, added to.

    Raises:
        LocalFileError: the file is damaged, its charset unknown, or it has no patient.
    """
    records = xdt.read_records(data)
    name = xdt.charset(records, chosen, warnings)
    rows = [_row(r, name, chosen is not None, warnings) for r in records if r.kind in MASTER_DATA]
    if not rows:
        raise LocalFileError(
            "the file has no record of a patient's master data",
            code="no_patients",
            hint="the practice software exports them as record 6100 (BDT) or 6301 (GDT)",
        )
    return rows


def split_town(text: str) -> tuple[str, str]:
    """Postcode and town that stand in one field; without digits in front all of it is the town."""
    found = _POSTCODE_TOWN.fullmatch(text.strip())
    return (found[1], found[2] or "") if found else ("", text.strip())


def _row(record: xdt.Record, name: str, chosen: bool, warnings: Counter[str]) -> Row:
    given: Row = {}
    for line in record.lines:
        if line.field not in _READ:
            warnings["file:length"] += not line.fits
            continue
        xdt.require_fit(line)
        value = xdt.text(line, name, chosen=chosen).strip()
        if value and line.field in given:
            warnings["file:repeated_field"] += given[line.field] != value
        elif value:
            given[line.field] = value
        if line.field in ("3101", "3102") and record.kind == "6301" and len(line.content) == _CUT:
            warnings[("surname" if line.field == "3101" else "given_name") + ":perhaps_cut"] += 1
    get = given.get
    number = get("3000") or get("3600", "")
    if not number:
        raise LocalFileError("the patient has no number", code="row_without_id", where=f"line {record.number}")
    postcode, town = split_town(get("3106", ""))
    day = get("3103", "")
    return {
        "id": number,
        "surname": get("3101", ""),
        "given_name": get("3102", ""),
        "birth_date": day if day.strip("0") else get("3111", ""),
        "sex": get("3110", ""),
        "street": get("3107", ""),
        "house_number": get("3109", ""),
        "postcode": get("3112") or postcode,
        "town": get("3113") or town,
        "insured_number": get("3119") or _card(get("3105", "")),
    }


def _card(number: str) -> str:
    """Field 3105 where it holds the insured number for life, not that of the old card."""
    return number if _INSURED.fullmatch(number) else ""
