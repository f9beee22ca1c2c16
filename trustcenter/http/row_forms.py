"""The forms in which a chunk of rows may be sent: packed, or in one that other programs write more easily.

Each becomes the same packed rows (docs/spec/rows-file.md), and only those are checked, kept and compared. What a form
would make of few bytes is bounded before it is made.

Parquet is read in a process of its own: over some damaged files pyarrow ends the process that reads them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np

from linkage.rows import ROW
from trustcenter.errors import InternalError, UsageError
from trustcenter.instance.workers import Workers

PACKED: Final = "application/octet-stream"
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PARQUET: Final = "application/vnd.apache.parquet"
_WIDTHS: Final = {name: ROW[name].itemsize for name in ("ref", "token", "filter")}
_COLUMNS: Final = ("ref", "pass", "token", "filter")
_HINT: Final = (
    "columns ref, token (16 bytes), filter (32 bytes), pass (uint8), no nulls, not compressed, no dictionaries"
)
_MEMORY: Final = 4 * 2**30  # bytes of address space of the process that reads Parquet, most of it never used
_SECONDS: Final = 60.0  # that it may take for a chunk, with its start and the chunks before it


class _Packed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rows: bytes


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"number": "pass"}):
    ref: bytes
    number: int
    token: bytes
    filter: bytes


_row = msgspec.json.Decoder(_Row)


def packed(body: bytes, form: str, most: int) -> bytes:
    """The packed rows of a chunk, not yet checked.

    Args:
        body: as it was sent.
        form: its content type, one of FORMS.
        most: bytes of packed rows that a chunk may have.

    Raises:
        UsageError: it is not of this form.
    """
    return FORMS[form](body, most)


async def packed_apart(readers: Workers, body: bytes, form: str, most: int) -> bytes:
    """As `packed`, without holding anybody up; Parquet in a process of its own, whose end refuses the chunk only."""
    if form != PARQUET:
        return await asyncio.to_thread(packed, body, form, most)
    try:
        async with asyncio.timeout(_SECONDS):
            return await readers.compute(_bounded_parquet, body, most)
    except TimeoutError:
        raise _refused("it took too long to read: send smaller chunks, or packed rows") from None
    except InternalError:
        raise _refused(_HINT) from None


def _bounded_parquet(body: bytes, most: int) -> bytes:
    """`_parquet` in a process that does nothing else."""
    import resource  # where there are processes of a service

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no rows on the disk when it ends
    return _parquet(body, most)


def _json(body: bytes, most: int) -> bytes:
    try:
        return msgspec.json.decode(body, type=_Packed).rows
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _refused('{"rows": base64 of packed rows}') from None


def _lines(body: bytes, most: int) -> bytes:
    if body.count(b"\n") * ROW.itemsize > most:  # a row takes many times its bytes while it is read
        raise _refused(f"a chunk has at most {most // ROW.itemsize} rows")
    made = []
    for place, line in enumerate(body.splitlines(), 1):
        try:
            row = _row.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise _refused('a line is {"ref", "pass", "token", "filter"}, bytes in base64', f"row {place}") from None
        if not 0 <= row.number < 256 or any(len(getattr(row, name)) != width for name, width in _WIDTHS.items()):
            raise _refused("ref and token have 16 bytes, filter has 32, pass is a number below 256", f"row {place}")
        made.append(row.ref + bytes([row.number]) + row.token + row.filter)
    return b"".join(made)


def _parquet(body: bytes, most: int) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(
            "this service does not read Parquet", code="no_pyarrow", hint="send rows packed, as JSON or as NDJSON"
        ) from None
    wanted = {"pass": pa.uint8(), **{name: pa.binary(width) for name, width in _WIDTHS.items()}}
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        schema, about = file.schema_arrow, file.metadata
        named = len(schema) == len(wanted) and {name: schema.field(name).type for name in schema.names} == wanted
        if not named or not _bounded(about, most // ROW.itemsize):
            raise _refused(_HINT)
        table = file.read(columns=list(_COLUMNS), use_threads=False).combine_chunks()
    except (pa.ArrowException, OSError, LookupError, ValueError):
        raise _refused(_HINT) from None
    if any(column.null_count for column in table.columns):
        raise _refused(_HINT)
    rows = np.zeros(table.num_rows, ROW)
    for name in _COLUMNS:
        rows[name] = _values(table.column(name), _WIDTHS.get(name))
    return rows.tobytes()


def _bounded(about: Any, most: int) -> bool:
    """Whether a file has no more rows than it may, by what is read and not by what it says of itself as a whole.

    A row group of nulls has any number of rows in a few bytes.
    """
    rows = 0
    for group in map(about.row_group, range(about.num_row_groups)):
        rows += group.num_rows
        if not 0 < group.num_rows <= most or rows > most:
            return False
        for column in map(group.column, range(group.num_columns)):
            if not _plain(column) or column.num_values != group.num_rows:
                return False
    return bool(rows == about.num_rows)


def _plain(column: Any) -> bool:
    """Whether what a column takes in memory is what it takes in the file."""
    return column.compression == "UNCOMPRESSED" and not any("DICTIONARY" in one for one in column.encodings)


def _values(column: Any, width: int | None) -> Any:
    whole = column.combine_chunks()
    if width is None:
        return whole.to_numpy(zero_copy_only=False)
    data = b"".join(whole.to_pylist())
    return np.frombuffer(data, np.uint8).reshape(-1, width)


def _refused(hint: str, where: str = "") -> UsageError:
    return UsageError("the chunk is not of the form that was announced", code="bad_chunk_form", hint=hint, where=where)


FORMS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    PACKED: lambda body, _: body,
    JSON: _json,
    NDJSON: _lines,
    PARQUET: _parquet,
}
