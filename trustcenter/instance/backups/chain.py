"""The directory of a continuous backup: segments and bases, written once; docs/spec/continuous-backup.md."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, NoReturn

import msgspec

from trustcenter.client.files import flush_directory
from trustcenter.clock import stamp
from trustcenter.errors import VerificationError
from trustcenter.messages.common import Count, Hex16, Hex32
from trustcenter.store.wal import Committed, Position

from .chain_notes import decoded

_HEADER_BYTES_MAX: Final = 4096
_SEGMENT: Final = ".segment"
_BASE: Final = ".base"
_COPY: Final = ".tc"


class Wal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a segment ends in the write-ahead log."""

    checkpoint: Count
    salts: tuple[Count, Count]
    frames: Count
    sums: tuple[Count, Count]

    def position(self) -> Position:
        """As the reader of the log has it."""
        return Position(self.checkpoint, self.salts, self.frames, self.sums)


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a segment."""

    format: Literal["trustcenter/segment/1"]
    instance: Hex16
    room: Literal["registrar", "comparator"]
    chain: str
    number: Count
    previous: str
    time: str
    page_bytes: Count
    size: Count
    count: Count
    wal: Wal
    sha256: Hex32


class Base(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a base is."""

    format: Literal["trustcenter/base/1"]
    chain: str
    number: Count
    previous: str
    time: str
    bytes: Count
    sha256: Hex32


@dataclass(frozen=True)
class Chain:
    """A chain by its directory."""

    path: Path

    @property
    def name(self) -> str:
        """The directory's name, which begins with the time."""
        return self.path.name

    def numbers(self, suffix: str = _SEGMENT) -> list[int]:
        """Of its segments, or of its bases, ascending."""
        stems = (entry.name.removesuffix(suffix) for entry in os.scandir(self.path) if entry.name.endswith(suffix))
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def bases(self) -> list[Base]:
        """Its complete bases, oldest first.

        Raises:
            VerificationError: one is damaged.
        """
        found = []
        for number in self.numbers(_BASE):
            base = decoded(self.path / f"{number:010}{_BASE}", Base)
            if base is None or (base.chain, base.number) != (self.name, number):
                damaged("a base of the continuous backup is damaged", f"base {number}")
            found.append(base)
        return found

    def segment(self, number: int) -> Path:
        """Where a segment lies."""
        return self.path / f"{number:010}{_SEGMENT}"

    def copy(self, number: int) -> Path:
        """Where the backup file of a base lies."""
        return self.path / f"{number:010}{_COPY}"

    def head(self, number: int) -> Segment | None:
        """The first line of a segment, nothing verified; None if it is none."""
        try:
            with self.segment(number).open("rb") as stream:
                return msgspec.json.decode(stream.readline(_HEADER_BYTES_MAX), type=Segment)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def digest(self, number: int) -> str:
        """SHA-256 of a whole segment; empty for number 0."""
        return file_digest(self.segment(number)) if number else ""

    def remove(self, *, below: int | None = None) -> None:
        """Throw away everything, or everything that the base `below` makes superfluous."""
        for number in self.numbers(_BASE):
            if below is None or number < below:
                (self.path / f"{number:010}{_BASE}").unlink(missing_ok=True)
                self.copy(number).unlink(missing_ok=True)
        for number in self.numbers():
            if below is None or number <= below:
                self.segment(number).unlink(missing_ok=True)
        if below is None:
            shutil.rmtree(self.path)


def chains(target: Path) -> list[Chain]:
    """The chains in a directory, oldest first."""
    found = (path for path in target.iterdir() if path.is_dir() and path.name[8:9] == "T")
    # By the time before the Z. Names of earlier releases end it with the second, and so precede those within it.
    return [Chain(path) for path in sorted(found, key=lambda path: path.name.split("Z"))]


def is_target(path: Path) -> bool:
    """Whether a directory holds a continuous backup."""
    return path.is_dir() and bool(chains(path))


def new_chain(target: Path, now: datetime) -> Chain:
    """Begin a chain."""
    path = target / f"{now:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"
    path.mkdir(mode=0o700)
    flush_directory(target)
    return Chain(path)


def write_segment(
    chain: Chain,
    number: int,
    previous: str,
    committed: Committed,
    position: Position,
    *,
    time: str,
    of: tuple[str, str],
) -> str:
    """Write one segment durably; returns its SHA-256.

    Args:
        chain: where.
        number: its own.
        previous: SHA-256 of the one before.
        committed: the pages.
        position: where it ends in the log.
        time: when it was read.
        of: instance and room.

    Raises:
        OSError: it cannot be written, or its name is taken.
    """
    body = b"".join(
        part for page in sorted(committed.pages) for part in (page.to_bytes(4, "big"), committed.pages[page])
    )
    head = Segment(
        "trustcenter/segment/1", of[0], of[1], chain.name, number, previous, time,  # type: ignore[arg-type]
        committed.page_bytes, committed.size, len(committed.pages),
        Wal(position.checkpoint, position.salts, position.frames, position.sums), hashlib.sha256(body).hexdigest(),
    )  # fmt: skip
    line = msgspec.json.encode(head) + b"\n"
    _store(chain.segment(number), (line, body))
    return hashlib.sha256(line + body).hexdigest()


def write_base(chain: Chain, number: int, previous: str, time: str) -> None:
    """Declare the backup file of a base complete."""
    copy = chain.copy(number)
    base = Base("trustcenter/base/1", chain.name, number, previous, time, copy.stat().st_size, file_digest(copy))
    _store(chain.path / f"{number:010}{_BASE}", (msgspec.json.encode(base) + b"\n",))


def read_segment(chain: Chain, number: int, previous: str, of: tuple[str, str]) -> tuple[Segment, bytes, str]:
    """A verified segment: its first line, what follows, and the SHA-256 of the whole file.

    Raises:
        VerificationError: `where` names the segment.
    """
    where = f"segment {number}"
    try:
        content = chain.segment(number).read_bytes()
        line, _, body = content.partition(b"\n")
        head = msgspec.json.decode(line, type=Segment)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        damaged("a segment of the continuous backup is damaged", where)
    if head.count * (4 + head.page_bytes) != len(body) or hashlib.sha256(body).hexdigest() != head.sha256:
        damaged("a segment of the continuous backup is damaged", where)
    if (head.instance, head.room, head.chain, head.number) != (*of, chain.name, number):
        damaged("a segment of the continuous backup is out of its place", where)
    if head.previous != previous:
        damaged("a segment does not continue the one before it", where)
    return head, body, hashlib.sha256(content).hexdigest()


def pages(segment: Segment, body: bytes) -> Iterator[tuple[int, bytes]]:
    """Page numbers and pages of a verified segment."""
    step = 4 + segment.page_bytes
    for at in range(0, len(body), step):
        yield int.from_bytes(body[at : at + 4], "big"), body[at + 4 : at + step]


def expire(target: Path, now: datetime, days: float) -> None:
    """Throw away what no restore to a moment of the last `days` needs."""
    limit = stamp(now - timedelta(days=days))
    found = chains(target)
    for at in range(len(found) - 1, -1, -1):
        old = [base for base in found[at].bases() if base.time <= limit]
        if old:
            found[at].remove(below=old[-1].number)
            for chain in found[:at]:
                chain.remove()
            return


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _store(path: Path, parts: tuple[bytes, ...]) -> None:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)  # unlike a rename it never replaces what another writer put there
    finally:
        partial.unlink()
    flush_directory(path.parent)


def damaged(message: str, where: str) -> NoReturn:
    """Raise for a part of a continuous backup that cannot be used."""
    raise VerificationError(
        message,
        code="backup_damaged",
        hint="restore to a moment before it with --to, or an ordinary backup",
        where=where,
    ) from None
