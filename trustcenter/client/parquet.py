"""Replace one column of a Parquet file, row group by row group (extra `parquet`: pyarrow).

Everything else of the schema stays: order, types, metadata, compression. The column itself becomes text, if it was
a number. Statistics and indexes of the input are not copied: they hold originals. Memory is that of one row group.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trustcenter.messages.api import ItemError

from .api import TrustCenter
from .errors import LocalFileError
from .files import replacing, require_writable
from .flow import Progress

if TYPE_CHECKING:
    from .tables import Ask, ColumnJob, ColumnResult

SUFFIX: Final = ".parquet"
_ROWS: Final = 2**16  # rows handed over at a time


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


async def parquet_column(
    center: TrustCenter, domain: str, job: ColumnJob, ask: Ask, result: ColumnResult, progress: Progress | None
) -> ColumnResult:
    """What `tables` does for CSV; called from there.

    Raises:
        LocalFileError: pyarrow is missing, an option does not go with Parquet, input or output.
    """
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    from .tables import RowsFailedError

    if job.delimiter is not None or job.encoding != "utf-8" or job.resume:
        raise LocalFileError(
            "--delimiter, --encoding and --resume are for text files, not for Parquet", code="bad_option"
        )
    outputs = [job.target, *([job.failed] if job.failed else [])]
    for target in outputs:
        require_writable(target, sources=(job.source,), force=job.force)
    if job.failed is not None and job.failed.resolve() == job.target.resolve():
        raise LocalFileError("output and --skip-failed are the same file", code="same_file")
    with ExitStack() as stack:
        with _readable():
            table = stack.enter_context(pq.ParquetFile(job.source))
            schema = table.schema_arrow
        at = _column(schema, job.column, job.into, pa)
        await center.domain(domain)
        new = _schema(schema, at, job.into, pa)
        compression = _compression(table.metadata)
        made = stack.enter_context(replacing(job.target, force=job.force))
        writer = stack.enter_context(pq.ParquetWriter(made, new, compression=compression))
        aside = None
        if job.failed is not None:
            made = stack.enter_context(replacing(job.failed, force=job.force))
            aside = stack.enter_context(pq.ParquetWriter(made, schema, compression=compression))
        total, done = table.metadata.num_rows, 0
        for group in range(table.num_row_groups):
            parts, failed = [], []
            with _readable():
                batches = table.iter_batches(batch_size=_ROWS, row_groups=[group])
            for batch in _safely(batches):
                served, refused = await _batch(center, batch, at, job.into, new, ask, result, done)
                parts.append(served)
                failed.append(refused)
                done += len(batch)
                if progress is not None:
                    progress(done, total)
            writer.write_table(pa.Table.from_batches(parts, new), row_group_size=max(1, sum(map(len, parts))))
            if aside is not None and any(map(len, failed)):
                aside.write_table(pa.Table.from_batches(failed, schema))
        if result.failed and job.failed is None:
            raise RowsFailedError(result)
    return result


async def _batch(
    center: TrustCenter, batch: Any, at: int, into: str | None, new: Any, ask: Ask, result: ColumnResult, before: int
) -> tuple[Any, Any]:
    """Served rows in the new schema, and those that were refused as they are."""
    import pyarrow as pa

    from .tables import FailedRow

    values = [None if value is None else str(value) for value in batch.column(at).to_pylist()]
    distinct = list(dict.fromkeys(value for value in values if value))
    answers: dict[str, str | None] = {}
    errors: dict[str, ItemError] = {}
    for part in _parts(distinct, center.settings.batch):
        pseudonyms, told = await ask(part)
        answers.update(zip(part, pseudonyms, strict=True))
        errors.update((part[error.index], error) for error in told)
    column: list[str] = []
    good: list[bool] = []
    for number, value in enumerate(values, before + 1):
        result.rows += 1
        pseudonym = answers.get(value) if value else None
        good.append(pseudonym is not None)
        if pseudonym is not None:
            column.append(pseudonym)
        else:
            error = errors.get(value or "")
            code, hint = (error.code, error.hint) if error else ("empty_value", "the field is empty")
            result.failed.append(FailedRow(number, code, hint))
    mask = pa.array(good, pa.bool_())
    kept = batch.filter(mask)
    columns = list(kept.columns)
    field = new.field(at if into is None else len(new) - 1)
    made = pa.array(column, field.type)
    if into is None:
        columns[at] = made
    else:
        columns.append(made)
    return pa.RecordBatch.from_arrays(columns, schema=new), batch.filter(pa.compute.invert(mask))


def _parts(values: list[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


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
