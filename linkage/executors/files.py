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

T = TypeVar("T", bound=msgspec.Struct)
_LINE = 1 << 16  # bytes of a header at most
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
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    end = data.find(b"\n", len(magic), len(magic) + _LINE)
    if not data.startswith(magic) or end < 0:
        return None
    try:
        header = msgspec.json.decode(data[len(magic) : end], type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return header, memoryview(data)[end + 1 :]


def sha256_of(path: Path, skip: int = 0) -> str:
    """Of a file but its first `skip` bytes, in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(skip)
        while piece := file.read(_READ):
            digest.update(piece)
    return digest.hexdigest()
