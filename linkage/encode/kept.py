"""What an encoding has done so far: rows and map entries on the disk, piece by piece (docs/spec/encoding-work.md).

A piece is whole or not there, and names the encoding that it is of. So an encoding that was stopped in any way goes
on in the same directory with the first piece that is missing, and what was done by half is done again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.encode.secrets import Secrets
from linkage.errors import EncodeWorkBusyError, EncodeWorkError
from linkage.files import read_part, replace, write_part
from linkage.maps import map_dtype
from linkage.rows import ROW, Header, sort_order

I64 = NDArray[np.int64]

BUCKETS = 256  # of a piece, by the first byte of ref or record number
BEGUN = "encoding.json"
_LOCK = "lock"
_PIECE = "piece-"
_PIECES = _PIECE + "[0-9]" * 6  # of all files of a directory; 20 billion records have no more
_SCRATCH = ".encode-"  # of one process: worthless without it
_MAGIC = b"TCENCP1\n"
_ANEW = "name another directory with --work, or delete this one to begin anew"

_WHAT = {
    "study": "study",
    "version": "version of the study secret",
    "source": "name of the source",
    "fingerprint": "schema",
    "passes": "schema",
    "secrets": "study secret or site key",
}
_Counts = Annotated[tuple[int, ...], msgspec.Meta(min_length=BUCKETS, max_length=BUCKETS)]


class Begun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of which encoding a directory is.

    Attributes:
        format: of the directory.
        study: name of the study.
        version: version of its secret.
        source: name of the source.
        fingerprint: of the schema.
        passes: rows per record.
        secrets: tells other secrets; keyed.
        records: of the source.
        input: tells another input; keyed hash over all normalised records and ids.
    """

    format: Literal["trustcenter/encoding-work/1"] = "trustcenter/encoding-work/1"
    study: str
    version: int
    source: str
    fingerprint: str
    passes: int
    secrets: str
    records: int = 0
    input: str = ""

    @property
    def hash(self) -> str:
        """Stands in every piece."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a piece: its rows by the first byte of the ref, its map entries by that of the record number."""

    encoding: str
    number: int
    rows: _Counts
    map: _Counts
    sha256: str


@dataclass(frozen=True)
class _Piece:
    path: Path
    rows: I64  # where each bucket begins in the file, and the end: (BUCKETS + 1,)
    map: I64


@contextmanager
def place_of(work: Path | None, thrown_away: Path) -> Iterator[Path]:
    """The directory in which an encoding keeps its pieces: `work`, locked and swept, or one that nobody keeps.

    Raises:
        EncodeWorkBusyError: another process works there. EncodeWorkError: it cannot be made.
    """
    if work is None:
        yield thrown_away
        return
    import fcntl  # here, so that programs which keep nothing run on Windows

    try:
        work.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(work / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as e:
        raise EncodeWorkError("the working directory cannot be made or written", hint=e.strerror or "") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EncodeWorkBusyError(
                "another process encodes in this working directory", hint="wait for it, or name another with --work"
            ) from None
        for left in (*work.glob(_SCRATCH + "*"), *work.glob(f".{_PIECES}*"), *work.glob(f".{BEGUN}*")):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield work
    finally:
        os.close(handle)


@contextmanager
def scratch(place: Path) -> Iterator[Path]:
    """A directory in `place` that goes with the block."""
    made = place / (_SCRATCH + os.urandom(8).hex())
    made.mkdir(mode=0o700)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def forget(work: Path) -> None:
    """Remove what an encoding kept, once its output has taken its place; other files stay."""
    for path in (*work.glob(_PIECES), work / BEGUN, work / _LOCK):
        path.unlink(missing_ok=True)
    if not any(work.iterdir()):
        work.rmdir()


class Kept:
    """The pieces of one encoding in a directory."""

    def __init__(self, place: Path, header: Header, secrets: Secrets) -> None:
        """Look whether the directory is of this encoding, as far as that can be told before its input was read.

        Raises:
            EncodeWorkError: it is of another one, or damaged.
        """
        key = secrets.own("work")
        self._digest = hmac.new(key, secrets.shared("work"), "sha256")
        self._begun = Begun(
            study=header.study,
            version=header.version,
            source=header.source,
            fingerprint=header.fingerprint,
            passes=header.passes,
            secrets=self._digest.hexdigest(),
        )
        self._place = place
        self._pieces: list[_Piece] = []
        if (before := self._before()) is None:
            return
        for name, what in _WHAT.items():
            if getattr(before, name) != getattr(self._begun, name):
                raise EncodeWorkError(f"the working directory was begun with another {what}", hint=_ANEW)

    def see(self, records: int, data: bytes) -> None:
        """Some of the input, normalised; all of it comes once, in order."""
        self._begun = msgspec.structs.replace(self._begun, records=self._begun.records + records)
        self._digest.update(len(data).to_bytes(8, "big") + data)

    def begin(self) -> None:
        """All of the input was seen: begin, or go on.

        Raises:
            EncodeWorkError: the input is not that with which the directory was begun.
        """
        self._begun = msgspec.structs.replace(self._begun, input=self._digest.hexdigest())
        before = self._before()
        if before is None:
            replace(self._place / BEGUN, msgspec.json.encode(self._begun, order="sorted") + b"\n")
        elif before != self._begun:
            raise EncodeWorkError(
                "the source or the list of duplicates changed since the working directory was begun", hint=_ANEW
            )

    def has(self, number: int, records: int) -> bool:
        """Whether this piece is there, whole and of this encoding; the pieces are asked for in their order."""
        found = read_part(self._path(number), _MAGIC, _Head)
        if found is None:
            return False
        head, body = found
        whole = (
            (head.encoding, head.number) == (self._begun.hash, number)
            and (sum(head.rows), sum(head.map)) == (records * self._begun.passes, records)
            and len(body) == records * (self._begun.passes * ROW.itemsize + self._kind.itemsize)
            and hashlib.sha256(body).hexdigest() == head.sha256
        )
        if whole:
            self._add(self._path(number), head.rows, head.map, len(body))
        return whole

    def put(self, number: int, rows: NDArray[np.void], entries: NDArray[np.void]) -> None:
        """Keep a piece: its rows and its map entries, in any order."""
        of_rows, rows = _by_first_byte(rows, "ref")
        of_map, entries = _by_first_byte(entries, "record_number")
        body = [rows.view(np.uint8).data, entries.view(np.uint8).data]
        digest = hashlib.sha256()
        for part in body:
            digest.update(part)
        head = _Head(encoding=self._begun.hash, number=number, rows=of_rows, map=of_map, sha256=digest.hexdigest())
        path = self._path(number)
        write_part(path, _MAGIC, head, body)
        self._add(path, of_rows, of_map, rows.nbytes + entries.nbytes)

    def rows(self) -> Iterator[NDArray[np.void]]:
        """All rows, sorted by ref, in `BUCKETS` parts."""
        return self._sorted([(piece.path, piece.rows) for piece in self._pieces], ROW, "ref")

    def map(self) -> Iterator[NDArray[np.void]]:
        """All map entries, sorted by record number, in `BUCKETS` parts."""
        return self._sorted([(piece.path, piece.map) for piece in self._pieces], self._kind, "record_number")

    @property
    def _kind(self) -> np.dtype[np.void]:
        return map_dtype(self._begun.passes)

    def _path(self, number: int) -> Path:
        return self._place / f"{_PIECE}{number:06}"

    def _before(self) -> Begun | None:
        try:
            return msgspec.json.decode((self._place / BEGUN).read_bytes(), type=Begun)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise EncodeWorkError("the working directory is damaged, or of another version", hint=_ANEW) from None

    def _add(self, path: Path, rows: Sequence[int], entries: Sequence[int], length: int) -> None:
        begin = path.stat().st_size - length
        of_rows = begin + ROW.itemsize * np.cumsum([0, *rows])
        self._pieces.append(_Piece(path, of_rows, of_rows[-1] + self._kind.itemsize * np.cumsum([0, *entries])))

    @staticmethod
    def _sorted(places: Sequence[tuple[Path, I64]], kind: np.dtype[np.void], key: str) -> Iterator[NDArray[np.void]]:
        for bucket in range(BUCKETS):
            parts = [np.empty(0, kind)]
            for path, begins in places:
                begin, end = begins[bucket : bucket + 2].tolist()
                parts.append(np.fromfile(path, kind, (end - begin) // kind.itemsize, offset=begin))
            entries = np.concatenate(parts)
            yield entries[sort_order(entries[key])]


def _by_first_byte(entries: NDArray[np.void], key: str) -> tuple[tuple[int, ...], NDArray[np.void]]:
    """How many there are of each first byte of their key, and the entries in that order."""
    first = entries[key][:, 0]
    counts = np.bincount(first, minlength=BUCKETS).tolist()
    return tuple(counts), np.ascontiguousarray(entries[np.argsort(first, kind="stable")])
