"""The forms in which a chunk of rows may be sent: packed, or in one that other programs write more easily.

Each becomes the same packed rows (docs/spec/rows-file.md), and only those are checked, kept and compared. What a form
would make of few bytes is bounded before it is made.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np

from linkage.rows import ROW
from trustcenter.errors import UsageError_

PACKED: Final = "application/octet-stream"
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PARQUET: Final = "application/vnd.apache.parquet"
_WIDTHS: Final = {name: ROW[name].itemsize for name in ("ref", "token", "filter")}
_COLUMNS: Final = ("ref", "pass", "token", "filter")


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
        UsageError_: it is not of this form.
    """
    return FORMS[form](body, most)


def _json(body: bytes, most: int) -> bytes:
    try:
        return msgspec.json.decode(body, type=_Packed).rows
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _refused('{"rows": base64 of packed rows}') from None


def _lines(body: bytes, most: int) -> bytes:
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
        raise UsageError_(
            "this service does not read Parquet", code="no_pyarrow", hint="send rows packed, as JSON or as NDJSON"
        ) from None
    wanted = {"pass": pa.uint8(), **{name: pa.binary(width) for name, width in _WIDTHS.items()}}
    hint = "columns ref, token (16 bytes), filter (32 bytes), pass (uint8), no nulls, not compressed, no dictionaries"
    try:
        file = pq.ParquetFile(io.BytesIO(body))
        schema, about = file.schema_arrow, file.metadata
        plain = {name: schema.field(name).type for name in schema.names} == wanted and all(
            _plain(about.row_group(group).column(place))
            for group in range(about.num_row_groups)
            for place in range(about.num_columns)
        )
        if not plain or about.num_rows * ROW.itemsize > most:
            raise _refused(hint)
        table = file.read(columns=list(_COLUMNS), use_threads=False).combine_chunks()
    except (pa.ArrowException, OSError, KeyError):
        raise _refused(hint) from None
    if any(column.null_count for column in table.columns):
        raise _refused(hint)
    rows = np.zeros(table.num_rows, ROW)
    for name in _COLUMNS:
        rows[name] = _values(table.column(name), _WIDTHS.get(name))
    return rows.tobytes()


def _plain(column: Any) -> bool:
    """Whether what a column takes in memory is what it takes in the file."""
    return column.compression == "UNCOMPRESSED" and not any("DICTIONARY" in one for one in column.encodings)


def _values(column: Any, width: int | None) -> Any:
    whole = column.combine_chunks()
    if width is None:
        return whole.to_numpy(zero_copy_only=False)
    data = b"".join(whole.to_pylist())
    return np.frombuffer(data, np.uint8).reshape(-1, width)


def _refused(hint: str, where: str = "") -> UsageError_:
    return UsageError_("the chunk is not of the form that was announced", code="bad_chunk_form", hint=hint, where=where)


FORMS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    PACKED: lambda body, _: body,
    JSON: _json,
    NDJSON: _lines,
    PARQUET: _parquet,
}
