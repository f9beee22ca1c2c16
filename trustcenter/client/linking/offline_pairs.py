"""`pairs.csv` of an outcome as an array: some tens of bytes a pair, however long its lines are."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trustcenter.client.jobs.csvstream import CsvInput, open_input
from trustcenter.client.linking.offline_run import OTHER_NAME, PAIRS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COLUMNS: Final = ("source_a", "record_a", "source_b", "record_b", "edges", "distance", "posterior", "class")
_WORDS: Final = {"non-match": 0, "possible": 1, "match": 2}
_EVERY: Final = 10_000  # pairs between two reports of progress


def read_pairs(
    directory: Path, place: Mapping[tuple[str, str], int], progress: Callable[[int, int], None] | None = None
) -> NDArray[np.void]:
    """PAIR of an outcome; `band` is not in the file, and `other_name` not in one of an older version.

    Args:
        directory: of the outcome.
        place: (source, record number) → number of the record.
        progress: called with (bytes read, size) now and then; may raise to cancel.

    Raises:
        LocalFileError: no such file or column, or not CSV in UTF-8.
        KeyError, ValueError: not what a match writes.
    """
    import numpy as np

    from linkage.pairtable import PAIR

    numbers = {name: array("i") for name in ("a", "b", "edges")}
    shares = {name: array("d") for name in ("closeness", "posterior")}
    classes, other = bytearray(), bytearray()
    stream, size = open_input(directory / PAIRS)
    with stream:
        lines = CsvInput(stream)
        at = [lines.column(name) for name in _COLUMNS]
        marked = lines.optional(OTHER_NAME)
        for number, fields in lines.rows():
            source_a, a, source_b, b, edges, distance, posterior, word = (fields[i] for i in at)
            numbers["a"].append(place[source_a, a])
            numbers["b"].append(place[source_b, b])
            numbers["edges"].append(int(edges))
            shares["closeness"].append(float(distance))
            shares["posterior"].append(float(posterior))
            classes.append(_WORDS[word])
            other.append(marked is not None and fields[marked] == "1")
            if progress is not None and number % _EVERY == 0:
                progress(lines.read, size)
    table = np.zeros(len(classes), PAIR)
    for name, values in (*numbers.items(), *shares.items()):
        table[name] = values
    table["class"], table["other_name"] = np.frombuffer(classes, np.uint8), np.frombuffer(other, np.bool_)
    return table
