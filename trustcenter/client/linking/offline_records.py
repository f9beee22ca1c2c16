"""The records of several sources, told one by one: at millions, a tuple of texts each would be most of the memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, overload

from trustcenter.client.jobs.csvstream import CsvInput, open_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Record = tuple[str, str, str]
_AT_ONCE = 50_000  # lines of ids


class Records(Sequence[Record]):
    """(source, record number, id or "") of each record, those of the first source first."""

    def __init__(self, names: Sequence[str], numbers: Sequence[NDArray[np.uint8]], ids: Sequence[list[str]]) -> None:
        """Keep what records are told from.

        Args:
            names: of the sources.
            numbers: per source (n, 16) u1.
            ids: per source its ids in the same order, "" where one is not known; or none at all.
        """
        self._names, self._numbers, self._ids = names, numbers, ids
        self._starts = [0, *accumulate(map(len, numbers))]

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> list[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | list[Record]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError
        source = bisect_right(self._starts, at) - 1
        place = at - self._starts[source]
        ids = self._ids[source]
        return self._names[source], self._numbers[source][place].tobytes().hex(), ids[place] if ids else ""

    def __iter__(self) -> Iterator[Record]:
        return (self[i] for i in range(len(self)))


def read_ids_of(path: Path, numbers: NDArray[np.uint8]) -> list[str]:
    """The ids of `ids.csv` in the order of the record numbers, "" for a record that is not there; none without a file.

    Args:
        path: of the file.
        numbers: (n, 16) u1, ascending.

    Raises:
        LocalFileError: not CSV in UTF-8, or without its columns.
    """
    import numpy as np

    if not path.exists():
        return []
    ids = [""] * len(numbers)
    known = np.ascontiguousarray(numbers).view("S16").reshape(-1)
    stream, _ = open_input(path)
    with stream:
        table = CsvInput(stream)
        number_at, id_at = table.column("record_number"), table.column("id")
        lines = ((fields[number_at], fields[id_at]) for _, fields in table.rows())
        while some := list(islice(lines, _AT_ONCE)):
            asked = np.array([_bytes(number) for number, _ in some], "S16")
            places = np.minimum(np.searchsorted(known, asked), max(len(known) - 1, 0))
            found = known[places] == asked if len(known) else np.zeros(len(asked), np.bool_)
            for (_, one), place, there in zip(some, places.tolist(), found.tolist(), strict=True):
                if there:
                    ids[place] = one
    return ids


def _bytes(number: str) -> bytes:
    try:
        return bytes.fromhex(number)[:16]
    except ValueError:
        return b""
