"""Rows as bytes, and the two files of an offline linkage (docs/spec/rows-file.md).

A rows file is what a comparator may see; a map file is what a registrar may see. They belong apart.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.errors import RowsFileDamagedError, RowsFileError

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]

ROW = np.dtype([("ref", "u1", 16), ("pass", "u1"), ("token", "u1", 16), ("filter", "u1", 32)])
EDGE = np.dtype([("lo", "u1", 16), ("hi", "u1", 16), ("level", "u1")])

_ROWS_MAGIC = b"TCROWS1\n"
_HEADER_MAX = 4096  # bytes
SLAB = 1 << 20  # rows read at a time: 68 MB

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


def blank(filters: U8) -> bool:
    """Whether any of (n, 32) u1 has all bits 0 or all bits 1: by chance one in 10**76, so its encoder is broken."""
    words = np.ascontiguousarray(filters).view(np.uint64)
    near = words[(words[:, 0] == 0) | (words[:, 0] == np.uint64(2**64 - 1))]
    return bool((near == near[:, :1]).all(axis=1).any())


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
    return write_file(path, _ROWS_MAGIC, [rows.tobytes()], len(rows), header)


def write_row_parts(path: Path, parts: Iterable[NDArray[np.void]], n: int, header: dict[str, str | int]) -> Header:
    """As `write_rows`, of n rows in parts that follow each other in order; nobody looks whether they do."""
    return write_file(path, _ROWS_MAGIC, (part.tobytes() for part in parts), n, header)


def read_rows(path: Path) -> tuple[Header, NDArray[np.void]]:
    """Header and (n,) ROW of a rows file.

    Raises:
        RowsFileError: not a rows file, or one of a newer format.
        RowsFileDamagedError: cut, changed, not sorted, or a pass beyond the header's.
    """
    header, _ = open_rows(path)
    rows = np.empty(header.n, ROW)
    at = 0
    for part in stream_rows(path):
        rows[at : at + len(part)] = part
        at += len(part)
    return header, rows


def open_rows(path: Path) -> tuple[Header, int]:
    """Header of a rows file and where its body begins; the length is checked, the body not yet.

    Raises:
        RowsFileError: not a rows file, or one of a newer format.
        RowsFileDamagedError: the header is not in order, or the length is wrong.
    """
    with opened(path, "rows") as file:
        return head_of(file, _ROWS_MAGIC, "rows", lambda _: ROW.itemsize)


def stream_rows(path: Path, size: int = SLAB) -> Iterator[NDArray[np.void]]:
    """The rows of a file in parts of at most `size`; every part lies in the same memory as the one before.

    Nothing that came may be relied on before the last part came: only then is the hash known.

    Raises:
        RowsFileError, RowsFileDamagedError: as `read_rows`.
    """
    with opened(path, "rows") as file:
        header, _ = head_of(file, _ROWS_MAGIC, "rows", lambda _: ROW.itemsize)
        digest = hashlib.sha256()
        last = None
        buffer = np.empty(min(size, header.n), ROW)
        for start in range(0, header.n, size):
            rows = buffer[: min(size, header.n - start)]
            fill(file, rows)
            digest.update(rows.view(np.uint8).data)
            if int(rows["pass"].max()) >= header.passes:
                raise RowsFileDamagedError("a row has a pass that the header does not know")
            if not ascending(rows["ref"]) or (last is not None and bytes(rows["ref"][0]) <= last):
                raise RowsFileDamagedError("the rows are not sorted by ref, or a ref occurs twice")
            if blank(rows["filter"]):
                raise RowsFileDamagedError(
                    "a filter has zeros only, or ones only",
                    hint="no encoding makes one; two of them would count as equal. Encode the source again",
                )
            last = bytes(rows["ref"][-1])
            yield rows
        if digest.hexdigest() != header.sha256:
            raise RowsFileDamagedError("the file was cut or changed", hint="transfer or make it again")


def header_of(header: dict[str, str | int], n: int = 0) -> Header:
    """The header of a file of n entries whose hash is not known yet.

    Raises:
        RowsFileError: it lacks a key, or a name has more than 128 characters or none.
    """
    try:
        return msgspec.convert({**header, "n": n, "sha256": "0" * 64}, Header)
    except msgspec.ValidationError:
        raise RowsFileError(
            "study, source or schema are not such as a rows file can name", hint="names have 1 to 128 characters"
        ) from None


def write_file(path: Path, magic: bytes, parts: Iterable[bytes], n: int, header: dict[str, str | int]) -> Header:
    """Magic, header, body in parts; 0600, in one step."""
    made = header_of(header, n)
    digest = hashlib.sha256()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix="." + path.name)  # mkstemp creates 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(magic + _line(made))
            for part in parts:
                digest.update(part)
                file.write(part)
            made = msgspec.structs.replace(made, sha256=digest.hexdigest())
            file.seek(0)
            file.write(magic + _line(made))  # of the same length
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return made


def _line(header: Header) -> bytes:
    return msgspec.json.encode(header, order="sorted") + b"\n"


@contextmanager
def opened(path: Path, what: str) -> Iterator[IO[bytes]]:
    """A file to read, or an error that says what it should have been."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise RowsFileError(f"there is no such {what} file") from None
    with file:
        yield file


def head_of(file: IO[bytes], magic: bytes, what: str, size_of: Callable[[Header], int]) -> tuple[Header, int]:
    """Header and where the body begins, after a check of the file's length."""
    if file.read(len(magic)) != magic:
        raise RowsFileError(f"not a {what} file of this version", hint="made by `trustcenter linkage encode`?")
    line = file.readline(_HEADER_MAX)
    if not line.endswith(b"\n"):
        raise RowsFileDamagedError("the header has no end")
    line = line[:-1]
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RowsFileDamagedError("the header is not valid") from None
    if msgspec.json.encode(header, order="sorted") != line:
        raise RowsFileDamagedError("the header is not in canonical form")
    begin = file.tell()
    if os.fstat(file.fileno()).st_size - begin != header.n * size_of(header):
        raise RowsFileDamagedError("the file does not hold as many entries as its header says")
    return header, begin


def fill(file: IO[bytes], table: NDArray[np.void]) -> None:
    """Read just as much as the table holds."""
    if len(table) and file.readinto(table.view(np.uint8).data) != table.nbytes:  # type: ignore[attr-defined]
        raise RowsFileDamagedError("the file was cut or changed", hint="transfer or make it again")
