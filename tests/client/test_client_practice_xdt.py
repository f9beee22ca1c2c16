"""xDT files against vectors made by hand, and no error repeats what stands in the file."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from trustcenter.client.errors import LocalFileError
from trustcenter.client.practice import read_export
from trustcenter.client.practice.xdt_patients import read_patients

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "practice" / "xdt.json").read_text(encoding="utf-8")
)


def name_of(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", VECTORS["valid"], ids=name_of)
def test_a_valid_file(case: dict[str, Any]) -> None:
    warnings: Counter[str] = Counter()
    rows = read_patients(bytes.fromhex(case["hex"]), case["charset"], warnings)
    assert [{k: v for k, v in row.items() if v} for row in rows] == case["rows"]
    assert +warnings == case["warnings"]


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=name_of)
def test_an_invalid_file(case: dict[str, Any]) -> None:
    with pytest.raises(LocalFileError) as caught:
        read_patients(bytes.fromhex(case["hex"]), case["charset"], Counter())
    assert (caught.value.code, caught.value.where) == (case["code"], case["where"])


@pytest.mark.parametrize("case", VECTORS["valid"][:2], ids=name_of)
def test_every_single_changed_byte_gives_rows_or_an_error_of_ours_without_values(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    refused = 0
    for at in range(len(data)):
        for byte in (b"\0", b"9", b"\r", b"\n", b"\xff"):
            changed = data[:at] + byte + data[at + 1 :]
            try:
                read_patients(changed, None, Counter())
            except LocalFileError as error:
                refused += 1
                said = f"{error.message} {error.hint} {error.where}"
                assert not any(word in said for word in ("ller", "rg", "1208", "Kiel", "Holsten", "24103"))
    assert refused > len(data)  # lengths and charsets are really checked


def test_a_cut_file_is_refused_or_loses_whole_lines_only() -> None:
    data = bytes.fromhex(VECTORS["valid"][0]["hex"])
    whole = VECTORS["valid"][0]["rows"][0]
    for end in range(len(data)):
        try:
            rows = read_patients(data[:end], None, Counter())
        except LocalFileError:
            continue
        assert all(whole[k] == v for row in rows for k, v in row.items() if v)


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b"0148000020\r\n", "xdt_length"),
        (b"\xef\xbb\xbf01380000020\r\n", "xdt_line"),
        (b"01480006301 \r\n", "xdt_charset"),
    ],
)
def test_a_damaged_xdt_file_is_not_taken_for_csv(tmp_path: Path, first: bytes, code: str) -> None:
    file = tmp_path / "export.gdt"
    file.write_bytes(first + b"01030001\r\n")
    with pytest.raises(LocalFileError) as caught:
        read_export(file)
    assert caught.value.code == code


def test_the_reader_knows_xdt_by_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "export.txt"
    file.write_bytes(bytes.fromhex(VECTORS["valid"][7]["hex"]))
    found = read_export(file)
    assert (found.format, found.table.ids) == ("xdt", ["7", "8"])
    assert found.table.columns["insured_number"] == ["A123456780", ""]
    assert "former_town" not in found.table.columns
