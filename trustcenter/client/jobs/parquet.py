"""One column of a Parquet file, read on its own and replaced row group by row group (extra `parquet`: pyarrow).

Everything else of the schema stays: order, types, metadata, compression. The column itself becomes text, if it was
a number. Statistics and indexes of the input are not copied: they hold originals. Memory is that of one row group;
row groups above `_GROUP_BYTES` are split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from trustcenter.client.errors import LocalFileError

if TYPE_CHECKING:
    from .rowjob import Refused

SUFFIX: Final = ".parquet"
_ROWS: Final = 2**14  # rows handed over at a time
_GROUP_BYTES: Final = 2**26  # bytes of a row group of the output, about, before compression


def is_parquet(path: Path) -> bool:
    """Whether a file counts as Parquet: by its name."""
    return path.suffix.lower() == SUFFIX


def require_pyarrow() -> None:
    """Check that the extra is installed.

    Raises:
        LocalFileError: it is not.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise LocalFileError(
            "Parquet files need pyarrow, which is not installed",
            code="no_pyarrow",
            hint="pip install 'trustcenter[parquet]'",
        ) from None


class ParquetColumn:
    """A column of an open file. Use as a context manager.

    Attributes:
        rows: of the file.
    """

    def __init__(self, source: Path, column: str, into: str | None) -> None:
        """Open the file and find the column.

        Raises:
            LocalFileError: pyarrow is missing, no Parquet, no such column, or one of another type.
        """
        require_pyarrow()
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._stack = ExitStack()
        with _readable():
            self._file = self._stack.enter_context(pq.ParquetFile(source, pre_buffer=False))
            self._schema = self._file.schema_arrow
            self._at = _column(self._schema, column, into, pa)
            self._name, self._into = column, into
            self.rows = int(self._file.metadata.num_rows)

    def __enter__(self) -> ParquetColumn:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def values(self, size: int) -> Iterator[list[str | None]]:
        """The column as texts, `size` at a time; nothing else is read."""
        with _readable():
            batches = self._file.iter_batches(batch_size=size, columns=[self._name])
        for batch in _safely(batches):
            yield _texts(batch.column(0))

    def rewrite(
        self, target: IO[bytes], aside: IO[bytes] | None, answer: Callable[[list[str | None]], Sequence[str | Refused]]
    ) -> None:
        """Write the file with a new column, and the rows that have no new value as they are.

        Args:
            target: the output.
            aside: a file for the rows without a new value, or None.
            answer: new values for texts of the column, called in the order of the file.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        new = _schema(self._schema, self._at, self._into, pa)
        compression = _compression(self._file.metadata)
        with ExitStack() as stack:
            writer = stack.enter_context(pq.ParquetWriter(target, new, compression=compression))
            other = (
                stack.enter_context(pq.ParquetWriter(aside, self._schema, compression=compression)) if aside else None
            )
            for group in range(self._file.num_row_groups):
                kept, left = _Group(writer, new, pa), _Group(other, self._schema, pa) if other else None
                with _readable():
                    batches = self._file.iter_batches(batch_size=_ROWS, row_groups=[group])
                for batch in _safely(batches):
                    answers = answer(_texts(batch.column(self._at)))
                    mask = pa.array([isinstance(item, str) for item in answers], pa.bool_())
                    kept.add(self._served(batch.filter(mask), [item for item in answers if isinstance(item, str)], new))
                    if left is not None:
                        left.add(batch.filter(pa.compute.invert(mask)))
                kept.end()
                if left is not None:
                    left.end()

    def _served(self, batch: Any, column: list[str], schema: Any) -> Any:
        import pyarrow as pa

        columns = list(batch.columns)
        at = self._at if self._into is None else len(schema) - 1
        columns[at : at + 1] = [pa.array(column, schema.field(at).type)]
        return pa.RecordBatch.from_arrays(columns, schema=schema)


class _Group:
    """Batches gathered into a row group, or into several if they are large."""

    def __init__(self, writer: Any, schema: Any, pa: Any) -> None:
        self._writer, self._schema, self._pa = writer, schema, pa
        self._parts: list[Any] = []
        self._bytes = 0

    def add(self, batch: Any) -> None:
        if len(batch):
            self._parts.append(batch)
            self._bytes += batch.nbytes
        if self._bytes > _GROUP_BYTES:
            self.end()

    def end(self) -> None:
        if self._parts:
            table = self._pa.Table.from_batches(self._parts, self._schema)
            self._writer.write_table(table, row_group_size=len(table))
        self._parts, self._bytes = [], 0


def _texts(column: Any) -> list[str | None]:
    return [None if value is None else str(value) for value in column.to_pylist()]


def _column(schema: Any, name: str, into: str | None, pa: Any) -> int:
    names = schema.names
    if names.count(name) != 1:
        raise LocalFileError(
            "the input has no column of that name" if name not in names else "a column name occurs twice",
            code="unknown_column" if name not in names else "bad_column",
        )
    if into is not None and into in names:
        raise LocalFileError("there is a column of the new name already", code="bad_column")
    at = int(names.index(name))
    kind = schema.field(at).type
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (_is_text(inner, pa) or pa.types.is_integer(inner)):
        raise LocalFileError(
            "the column is neither text nor whole numbers", code="bad_column", hint="convert it to text first"
        )
    return at


def _is_text(kind: Any, pa: Any) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _schema(schema: Any, at: int, into: str | None, pa: Any) -> Any:
    """The schema of the output: text instead of numbers or a dictionary, all else as it is."""
    field = schema.field(at)
    kind = field.type if _is_text(field.type, pa) else pa.string()
    if into is not None:
        return schema.append(pa.field(into, kind, nullable=False))
    changed = schema.set(at, field.with_type(kind))
    return changed.with_metadata(_pandas(schema.metadata, field.name))


def _pandas(metadata: dict[bytes, bytes] | None, name: str) -> dict[bytes, bytes] | None:
    """Pandas notes the types of columns; a number that became text must not be read back as a number."""
    if not metadata or b"pandas" not in metadata:
        return metadata
    try:
        notes = json.loads(metadata[b"pandas"])
        for column in notes["columns"]:
            if column.get("field_name") == name:
                column.update(pandas_type="unicode", numpy_type="object", metadata=None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return {k: v for k, v in metadata.items() if k != b"pandas"}
    return {**metadata, b"pandas": json.dumps(notes).encode()}


def _compression(metadata: Any) -> str:
    if not metadata.num_row_groups or not metadata.num_columns:
        return "snappy"
    name = str(metadata.row_group(0).column(0).compression).lower()
    return {"uncompressed": "none", "unknown": "snappy"}.get(name, name)


@contextmanager
def _readable() -> Iterator[None]:
    """Errors of pyarrow without their text, which may hold a value."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise LocalFileError("the input does not exist", code="no_input") from None
    except (pa.ArrowException, OSError, ValueError):
        raise LocalFileError("the input is not a readable Parquet file", code="bad_parquet") from None


def _safely(batches: Any) -> Iterator[Any]:
    while True:
        with _readable():
            try:
                batch = next(batches)
            except StopIteration:
                return
        yield batch
