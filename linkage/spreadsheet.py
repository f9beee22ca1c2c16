"""Cells that a person opens in a spreadsheet: none may begin like a formula, and what was changed can be undone.

A cell that begins with = + - @, a tab or a line end is taken for a formula by spreadsheets, and may then call programs
or addresses. It gets an apostrophe before it, as does a cell that begins with an apostrophe, so that taking one away
gives back what was there.
"""

from __future__ import annotations

from typing import Final

_BEGINNINGS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")


def guarded(cell: str) -> str:
    """The cell as it may stand in a file for people."""
    return "'" + cell if cell.startswith(_BEGINNINGS) else cell


def unguarded(cell: str) -> str:
    """What a cell was before `guarded`; a spreadsheet that swallowed the apostrophe does no harm."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_BEGINNINGS) else cell
