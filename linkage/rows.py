"""Rows as bytes, and the two files of an offline linkage (docs/spec/rows-file.md).

A rows file is what a comparator may see; a map file is what a registrar may see. They belong apart.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.errors import RowsFileDamagedError, RowsFileError

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]

ROW = np.dtype([("ref", "u1", 16), ("pass", "u1"), ("token", "u1", 16), ("filter", "u1", 32)])
EDGE = np.dtype([("lo", "u1", 16), ("hi", "u1", 16), ("level", "u1")])

_ROWS_MAGIC = b"TCROWS1\n"
_MAP_MAGIC = b"TCRMAP1\n"
_HEADER_MAX = 4096  # bytes

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?![\s\S])")]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Second line of a rows or map file.

    Attributes:
        study: name of the study.
        version: version of its secret.
        source: name of the source.
        fingerprint: of the schema.
        passes: rows per record.
        n: rows (rows file) or records (map file).
        sha256: over everything behind this line.
    """

    study: _Name
    version: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    source: _Name
    fingerprint: _Hex
    passes: Annotated[int, msgspec.Meta(ge=1, le=64)]
    n: Annotated[int, msgspec.Meta(ge=0)]
    sha256: _Hex


def as_words(refs: U8) -> tuple[U64, U64]:
    """(n, 16) u1 → its two halves as unsigned numbers, whose order is the order of the bytes."""
    words = np.ascontiguousarray(refs).view(">u8").astype(np.uint64)
    return np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])


def sort_order(refs: U8) -> NDArray[np.int64]:
    """Indices that sort (n, 16) u1 bytewise."""
    high, low = as_words(refs)
    order = np.argsort(high)
    ordered = high[order]
    if (ordered[1:] == ordered[:-1]).any():
        # Equal first halves do not happen by chance, but the order must not depend on that.
        return np.lexsort((low, high))
    return order


def ascending(refs: U8) -> bool:
    """Whether (n, 16) u1 is sorted bytewise without repetition."""
    high, low = as_words(refs)
    return bool(((high[:-1] < high[1:]) | ((high[:-1] == high[1:]) & (low[:-1] < low[1:]))).all())


def write_rows(path: Path, rows: NDArray[np.void], header: dict[str, str | int]) -> Header:
    """Write a rows file (0600, replaced in one step).

    Args:
        path: where to.
        rows: (n,) ROW, sorted by ref.
        header: study, version, source, fingerprint, passes.

    Raises:
        RowsFileError: the rows are not of dtype ROW or not sorted by ref.
    """
    if rows.dtype != ROW or not ascending(rows["ref"]):
        raise RowsFileError("rows must be of dtype ROW, sorted by ref, each ref once")
    return _write(path, _ROWS_MAGIC, rows.tobytes(), len(rows), header)


def read_rows(path: Path) -> tuple[Header, NDArray[np.void]]:
    """Header and (n,) ROW of a rows file.

    Raises:
        RowsFileError: not a rows file, or one of a newer format.
        RowsFileDamagedError: cut, changed, not sorted, or a pass beyond the header's.
    """
    header, body = _read(path, _ROWS_MAGIC, "rows")
    rows = _shaped(header, body, ROW)
    if len(rows) and int(rows["pass"].max()) >= header.passes:
        raise RowsFileDamagedError("a row has a pass that the header does not know")
    if not ascending(rows["ref"]):
        raise RowsFileDamagedError("the rows are not sorted by ref, or a ref occurs twice")
    return header, rows


def map_dtype(passes: int) -> np.dtype[np.void]:
    """One entry of a map: record number, flags (bit 0: decoy), refs of the record in ascending order."""
    return np.dtype([("record_number", "u1", 16), ("flags", "u1"), ("refs", "u1", (passes, 16))])


def pack_map(record_numbers: U8, refs: U8) -> NDArray[np.void]:
    """Map entries sorted by record number, so that the order of a hospital's file does not show.

    Args:
        record_numbers: (n, 16) u1.
        refs: (n, P, 16) u1, sorted within each record.
    """
    entries = np.zeros(len(record_numbers), map_dtype(refs.shape[1]))
    order = sort_order(record_numbers)
    entries["record_number"] = record_numbers[order]
    entries["refs"] = refs[order]
    return entries


def write_map(path: Path, record_numbers: U8, refs: U8, header: dict[str, str | int]) -> Header:
    """Write a map file (0600, replaced in one step); arguments as `pack_map`, header as `write_rows`."""
    return _write(path, _MAP_MAGIC, pack_map(record_numbers, refs).tobytes(), len(record_numbers), header)


def read_map(path: Path) -> tuple[Header, NDArray[np.void]]:
    """Header and entries of a map file.

    Raises:
        RowsFileError: not a map file, or one of a newer format.
        RowsFileDamagedError: cut or changed, record numbers not ascending, or an unknown flag.
    """
    header, body = _read(path, _MAP_MAGIC, "map")
    entries = _shaped(header, body, map_dtype(header.passes))
    if not ascending(entries["record_number"]):
        raise RowsFileDamagedError("the record numbers are not sorted, or one occurs twice")
    if (entries["flags"] > 1).any():
        raise RowsFileDamagedError("an entry has a flag that this version does not know")
    return header, entries


def _write(path: Path, magic: bytes, body: bytes, n: int, header: dict[str, str | int]) -> Header:
    try:
        made = msgspec.convert({**header, "n": n, "sha256": hashlib.sha256(body).hexdigest()}, Header)
    except msgspec.ValidationError:
        raise RowsFileError("the header lacks a key or has a value out of range") from None
    line = msgspec.json.encode(made, order="sorted") + b"\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix="." + path.name)  # mkstemp creates 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(magic)
            file.write(line)
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return made


def _read(path: Path, magic: bytes, what: str) -> tuple[Header, bytes]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RowsFileError(f"there is no such {what} file") from None
    if not data.startswith(magic):
        raise RowsFileError(f"not a {what} file of this version", hint="made by `trustcenter linkage encode`?")
    end = data.find(b"\n", len(magic), len(magic) + _HEADER_MAX)
    if end < 0:
        raise RowsFileDamagedError("the header has no end")
    line = data[len(magic) : end]
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RowsFileDamagedError("the header is not valid") from None
    if msgspec.json.encode(header, order="sorted") != line:
        raise RowsFileDamagedError("the header is not in canonical form")
    body = data[end + 1 :]
    if hashlib.sha256(body).hexdigest() != header.sha256:
        raise RowsFileDamagedError("the file was cut or changed", hint="transfer or make it again")
    return header, body


def _shaped(header: Header, body: bytes, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    if len(body) != header.n * dtype.itemsize:
        raise RowsFileDamagedError("the file does not hold as many entries as its header says")
    return np.frombuffer(bytearray(body), dtype)  # a copy: kernels want writable memory
