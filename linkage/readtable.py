"""A file of patients read whole; `linkage.readers` reads it in pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from linkage.readers import read_chunks
from linkage.tables import Table


def read_table(
    path: str | Path,
    *,
    id_column: str,
    mapping: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Table:
    """Read a CSV, Parquet or NDJSON file whole; arguments and errors as `linkage.readers.read_chunks`.

    Raises:
        RowError: an id is empty or occurs twice.
    """
    ids: list[str] = []
    columns: dict[str, list[str]] = {}
    for chunk in read_chunks(path, id_column=id_column, mapping=mapping, delimiter=delimiter, progress=progress):
        ids += chunk.ids
        for name, values in chunk.columns.items():
            columns.setdefault(name, []).extend(values)
    return Table(ids, columns)
