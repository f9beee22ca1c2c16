"""Files that come and go in parts: what operators bring to a room, and fetch from it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from trustcenter.errors import NotFoundError, UsageError

from . import room_files

PART_BYTES: Final = 2**23


async def put(folder: Path, file: str, part: int, content: bytes) -> None:
    """Keep a part of a file that is brought; the first part ends every other file.

    Args:
        folder: of the room.
        file: SHA-256 of the whole, 64 hex digits.
        part: its number, from 0.
        content: at most `PART_BYTES`; all parts but the last are as long.

    Raises:
        UsageError: a part that is too long.
    """
    if len(content) > PART_BYTES:
        raise UsageError("a part of a file is at most 8 MiB", code="part_too_large", where="part")
    path = folder / f"{file}.incoming"

    def write() -> None:
        if part == 0:
            for other in folder.glob("*.incoming"):
                other.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as stream:
            stream.seek(part * PART_BYTES)
            stream.write(content)

    await asyncio.to_thread(write)


async def whole(folder: Path, file: str) -> Path:
    """A file that was brought, all of it.

    Raises:
        NotFoundError: it was not, or parts are missing.
    """
    path = folder / f"{file}.incoming"
    if not path.is_file() or await asyncio.to_thread(room_files.digest_of, path) != file:
        raise NotFoundError(
            "this file was not brought, or parts of it are missing", code="room_file_incomplete", hint="send it again"
        )
    return path


async def get(path: Path, file: str, part: int) -> bytes:
    """A part of a file that lies ready; empty after the last.

    Raises:
        NotFoundError: there is none, or another one meanwhile.
    """

    def read() -> bytes:
        with path.open("rb") as stream:
            stream.seek(part * PART_BYTES)
            return stream.read(PART_BYTES)

    if not path.is_file() or (part == 0 and await asyncio.to_thread(room_files.digest_of, path) != file):
        raise NotFoundError("this file is not here any more", code="no_room_file", hint="have it made again")
    return await asyncio.to_thread(read)
