"""Outputs that are never left half: written beside the target, flushed, then renamed, mode 0600."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import LocalFileError


def require_writable(target: Path, *, sources: tuple[Path, ...] = (), force: bool = False) -> None:
    """Check an output path before any work starts.

    Raises:
        LocalFileError: the target is one of the sources, exists (without `force`), is a directory, or its
            directory is missing or not writable.
    """
    for source in sources:
        if _same(source, target):
            raise LocalFileError("input and output are the same file", code="same_file", hint="choose another --output")
    if target.is_dir():
        raise LocalFileError("the output is a directory", code="output_is_directory", hint="name a file")
    if target.exists() and not force:
        raise LocalFileError(
            "the output exists already",
            code="output_exists",
            hint="choose another name; where the command has --force, that overwrites",
        )
    directory = target.parent
    if not directory.is_dir():
        raise LocalFileError(
            "the directory of the output does not exist",
            code="no_directory",
            hint="create it, then try again",
        )
    if not os.access(directory, os.W_OK):
        raise LocalFileError("the directory of the output is not writable", code="not_writable")


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return a.resolve() == b.resolve()


@contextmanager
def replacing(target: Path, *, force: bool = False) -> Iterator[IO[bytes]]:
    """A binary file that takes the target's name only when the block ends without an exception.

    The file has mode 0600 from the start; it and its directory are flushed to disk. Without `force` a file
    that appeared meanwhile is left alone.

    Raises:
        LocalFileError: the target exists (without `force`).
    """
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(partial, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 20) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if not force and target.exists():
            raise LocalFileError(
                "the output was created by somebody else meanwhile",
                code="output_exists",
                hint="choose another name; where the command has --force, that overwrites",
            )
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    flush_directory(target.parent)


async def save(pieces: AsyncIterator[bytes], target: Path, *, force: bool = False) -> int:
    """Write what comes as it comes; the number of bytes.

    Raises:
        LocalFileError: as `require_writable` says, before the first piece is asked for.
    """
    require_writable(target, force=force)
    size = 0
    with replacing(target, force=force) as stream:
        async for piece in pieces:
            stream.write(piece)
            size += len(piece)
    return size


def flush_directory(directory: Path) -> None:
    """Make a rename in a directory durable; Windows has no such call."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
