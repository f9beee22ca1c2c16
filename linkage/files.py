"""Files that are either whole or not there, and say of themselves whether they are."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=msgspec.Struct)
LINE = 1 << 16  # bytes of a header at most
_READ = 1 << 22


@contextmanager
def new(path: Path) -> Iterator[IO[bytes]]:
    """A file (0600) that takes its name only if the block ends well; nothing stays otherwise."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix="." + path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def replace(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file in one step."""
    with new(path) as file:
        for part in parts:
            file.write(part)


def write_part(path: Path, magic: bytes, header: msgspec.Struct, body: Iterable[bytes | memoryview]) -> None:
    """Magic, header as one line of canonical JSON, body."""
    replace(path, magic, msgspec.json.encode(header, order="sorted") + b"\n", *body)


def read_part(path: Path, magic: bytes, kind: type[T]) -> tuple[T, memoryview] | None:
    """Header and body, or None if there is no such file; the hash of the body is the caller's to check."""
    try:
        with path.open("rb", buffering=0) as file:
            data = bytearray(os.fstat(file.fileno()).st_size)  # compiled loops take what can be written
            if file.readinto(data) != len(data):
                return None
    except FileNotFoundError:
        return None
    header, begin = _head_of(data, magic, kind)
    return None if header is None else (header, memoryview(data)[begin:])


def read_head(path: Path, magic: bytes, kind: type[T]) -> tuple[T, int] | None:
    """Header of such a file and where its body begins, or None if there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(len(magic) + LINE)
    except FileNotFoundError:
        return None
    header, begin = _head_of(data, magic, kind)
    return None if header is None else (header, begin)


def mapped(file: IO[bytes], kind: np.dtype[np.void], begin: int, n: int) -> NDArray[np.void]:
    """(n,) of an open file's content, read where it is used; what is written into it stays in this process.

    It stays what it is if the file is closed, or another one takes its name.
    """
    if not n:
        return np.empty(0, kind)
    # Copy on write and not read-only: compiled loops take what can be written.
    return np.asarray(np.memmap(file, kind, "c", begin, (n,)))


def _head_of(data: bytes | bytearray, magic: bytes, kind: type[T]) -> tuple[T | None, int]:
    """Header of a part, None if there is none, and where its body begins."""
    end = data.find(b"\n", len(magic), len(magic) + LINE)
    if not data.startswith(magic) or end < 0:
        return None, 0
    try:
        return msgspec.json.decode(data[len(magic) : end], type=kind), end + 1
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None, 0


def sha256_of(path: Path, skip: int = 0) -> str:
    """Of a file but its first `skip` bytes, in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(skip)
        while piece := file.read(_READ):
            digest.update(piece)
    return digest.hexdigest()
