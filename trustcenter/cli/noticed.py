"""What reading and normalisation noticed in a source, in words for whoever can mend it there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from linkage.wording import counted

from . import output

_FEW: Final = 3  # live passes
WORDS: Final = {  # of docs/spec/normalisation.md and practice-files.md
    "ambiguous_order": "day and month could be either way round, so the date counts as missing",
    "charset_overridden": "the file declares another charset than was said",
    "impossible": "there is no such day",
    "implausible_year": "the year cannot be one of birth, so the date counts as missing",
    "length": "lines that are not read have another length than declared",
    "no_column": "the source has none",
    "no_letters": "holds no letter, so it counts as missing",
    "no_phonetic_code": "a name in another script",
    "not_active": "left out: not active, or replaced by another one",
    "older_version": "left out: there is a later version",
    "padded": "got back a zero in front, as spreadsheets lose it",
    "partial": "day or month is missing",
    "perhaps_cut": "as long as a field of GDT can be, so perhaps cut",
    "placeholder": "stands for an unknown value, so it counts as missing",
    "repeated_field": "a field is there twice; the first one counts",
    "scene_left_out": "left out: it is that of the scene",
    "title_only": "a title and no name, so it counts as missing",
    "two_digit_year": "the year has two digits, so the date counts as missing",
    "unparsable": "cannot be read, so it counts as missing",
    "wrong_check_digit": "the check digit is wrong, so it counts as missing",
}


def say(records: int, few_passes: int, warnings: Mapping[str, int]) -> None:
    """Print what was noticed, as counts, and how many records can hardly be linked.

    Args:
        records: of the source.
        few_passes: of these, those with fewer than three passes that are live.
        warnings: "field:what" → in how many records.
    """
    if "street:no_column" not in warnings:  # the number stands behind the street
        warnings = {text: count for text, count in warnings.items() if text != "house_number:no_column"}
    for text, count in sorted(warnings.items()):
        field, _, what = text.partition(":")
        output.note(f"noticed {output.plain(field)} ({count}): {output.plain(WORDS.get(what, what))}")
    if few_passes:
        output.note(
            f"{few_passes:,} of {counted(records, 'record')} with too few fields filled in"
            f" (fewer than {_FEW} live passes): can hardly be linked"
        )
