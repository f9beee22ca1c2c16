"""Two notes beside the chains of a continuous backup: how far it is, and where an orderly stop has left it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from trustcenter.client.files import replacing
from trustcenter.messages.common import Count

POSITION: Final = "position.json"
ALIVE: Final = "alive.json"

T = TypeVar("T")


class Stopped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`position.json`: the database file that the last segment has led to."""

    format: Literal["trustcenter/position/1"]
    chain: str
    number: Count
    digest: str
    file: tuple[int, int, int, int]  # device, inode, bytes, nanoseconds of its last change


class Alive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`alive.json`: everything committed before `time` is in the backup."""

    format: Literal["trustcenter/alive/1"]
    chain: str
    number: Count
    time: str


def alive(target: Path) -> Alive | None:
    """What was last said of the backup, None if nothing that can be read."""
    return decoded(target / ALIVE, Alive)


def stopped(target: Path) -> Stopped | None:
    """Where the last orderly stop has left it, None if nothing that can be read."""
    return decoded(target / POSITION, Stopped)


def identity(database: Path) -> tuple[int, int, int, int]:
    """What tells whether a database file was touched."""
    status = database.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def say_alive(target: Path, chain: str, number: int, time: str) -> None:
    """Note that everything committed before `time` is in the chain, whose last segment is `number`."""
    _write(target / ALIVE, Alive("trustcenter/alive/1", chain, number, time))


def say_stopped(target: Path, chain: str, number: int, digest: str, database: Path) -> None:
    """Note that a database file is what the segment `number`, of this digest, has led to."""
    _write(target / POSITION, Stopped("trustcenter/position/1", chain, number, digest, identity(database)))


def decoded(path: Path, kind: type[T]) -> T | None:
    """A small file of JSON, None if it is not there or is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _write(path: Path, content: msgspec.Struct) -> None:
    with replacing(path, force=True) as stream:
        stream.write(msgspec.json.encode(content) + b"\n")
