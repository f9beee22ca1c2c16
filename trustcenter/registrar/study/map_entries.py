"""The entries of a map (M4) as bytes: record number, flags and refs of each record (docs/spec/rooms.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trustcenter.errors import UsageError

NUMBER_BYTES = 16
REF_BYTES = 16
_HEADER = NUMBER_BYTES + 1
DECOY = 1


def require_strictly_sorted(numbers: Sequence[bytes]) -> None:
    """Refuse record numbers that repeat, or that say something of the order of a file.

    Raises:
        UsageError: they do.
    """
    for position in range(1, len(numbers)):
        if numbers[position - 1] == numbers[position]:
            raise UsageError(
                "a record number occurs twice in one upload",
                code="duplicate_record_number",
                hint="one person is one record of a source: deduplicate at the site first",
                where=f"record {position + 1}",
            )
        if numbers[position - 1] > numbers[position]:
            raise UsageError(
                "record numbers must be sorted",
                code="not_sorted",
                hint="sort them before sending: file order would tie them to hospital ids",
                where=f"record {position + 1}",
            )


@dataclass(frozen=True)
class Entries:
    """A parsed map: record numbers (n), decoy flags (n) and refs (n, P, 16)."""

    numbers: list[bytes]
    decoys: list[int]
    refs: NDArray[np.uint8]


def parse_entries(packed: bytes, passes: int) -> Entries:
    """Unpack the entries of a map.

    Raises:
        UsageError: wrong length, unsorted or repeated record numbers or refs, unknown flags.
    """
    width = _HEADER + passes * REF_BYTES
    if len(packed) == 0 or len(packed) % width:
        raise UsageError(
            "the map's length does not fit the number of passes of this study",
            code="malformed_map",
            hint="every record has exactly one ref per pass; make the map with trustcenter study upload",
        )
    table = np.frombuffer(packed, dtype=np.uint8).reshape(-1, width)
    numbers = [row.tobytes() for row in table[:, :NUMBER_BYTES]]
    require_strictly_sorted(numbers)
    flags = table[:, NUMBER_BYTES]
    if bool((flags > DECOY).any()):
        raise UsageError(
            "the map has an unknown flag",
            code="malformed_map",
            where=f"record {int((flags > 1).argmax()) + 1}",
        )
    return Entries(numbers, flags.tolist(), table[:, _HEADER:].reshape(len(table), passes, REF_BYTES))
