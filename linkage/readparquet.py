"""Tables of patients from Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from linkage.errors import MissingExtraError, RowError, TableError
from linkage.tables import FURTHER, Chunk, Places


def read_parquet(
    path: Path, place: Callable[[Sequence[str]], Places], size: int, progress: Callable[[int, int], None] | None
) -> Iterator[Chunk]:
    """As `linkage.readers.read_chunks`, of a Parquet file; `place` finds the columns among their names."""
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("Parquet files need pyarrow", hint="pip install 'trustcenter[parquet]'") from None
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise TableError("there is no such file") from None
    except (pa.ArrowException, OSError):
        raise TableError("this is not a Parquet file") from None
    with file:
        header = file.schema_arrow.names
        places = place(header)

        def texts(column: Any, name: str) -> list[str]:
            kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
            if pa.types.is_list(kind) and name in FURTHER:
                column = pc.binary_join(column.cast(pa.list_(pa.string())), "|")
            elif pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_nested(kind):
                raise RowError(f"{name} is neither text nor a whole number nor a date", where=name)
            values: list[str] = column.cast(pa.string()).fill_null("").to_pylist()
            return values

        begun = 1
        wanted = list(dict.fromkeys([header[places.id_at], *(header[i] for i in places.at.values())]))
        batches = file.iter_batches(batch_size=size, columns=wanted)
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    break
                ids = [one.strip() for one in texts(batch.column(header[places.id_at]), "id")]
                columns = {name: texts(batch.column(header[i]), name) for name, i in places.at.items()}
            except (pa.ArrowException, OSError):
                raise TableError("the Parquet file is damaged, or a column is not text", where=f"row {begun}") from None
            yield Chunk(begun, ids, columns)
            begun += len(ids)
            if progress is not None:
                progress(begun - 1, file.metadata.num_rows)
        if begun == 1:
            yield Chunk(1, [], {name: [] for name in places.at})
