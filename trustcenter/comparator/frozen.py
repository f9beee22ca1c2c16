"""What a window compares, settled before it begins."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Frozen:
    """What one window compares.

    Attributes:
        study: its name.
        number: of the study in the store.
        window: number of the window.
        passes: P.
        levels: bounds on differing bits.
        caps: per pass, rows that one source may have in a block.
        uploads: (number, source index) of everything live.
        fresh: numbers of the uploads among them that no applied window compared.
        sources: names.
        rows: live rows per source.
        fresh_rows: of the fresh uploads.
    """

    study: str
    number: int
    window: int
    passes: int
    levels: tuple[int, ...]
    caps: tuple[int, ...]
    uploads: tuple[tuple[int, int], ...]
    fresh: frozenset[int]
    sources: tuple[str, ...]
    rows: tuple[int, ...]
    fresh_rows: int
