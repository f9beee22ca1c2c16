"""A segment: rows sorted by pass, token and ref, with an entrance per prefix of a token. Never changed once written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from linkage.errors import TokenIndexDamagedError

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

MAGIC = b"TCSEGM1\n"
WORDS = 9  # of an entry: the packed row and the number of its source
ENTRY = 8 * WORDS
HEAD = 32  # bytes: magic, passes, bits, entries
_PER_PREFIX = 64  # entries on average: 4.6 KB, what a disk reads at once
_MOST_BITS = 20
_TOGETHER = 1024  # entries whose tokens may begin alike; more are somebody's choice, and are sorted in another way
_GAP = 64 * 1024 // ENTRY  # entries that are read along rather than jumped over
_ONCE = 1 << 18  # entries read at a time: 19 MB


def bits_for(rows: int, passes: int) -> int:
    """Bits of a token that choose an entrance, for so many rows."""
    return min(_MOST_BITS, max(0, (rows // passes // _PER_PREFIX).bit_length()))


def in_order(entries: U64) -> U64:
    """Entries of one pass sorted by token, then ref."""
    from linkage.kernels.join import group_rows, order_runs

    entries = np.ascontiguousarray(entries)
    order, starts = np.empty(len(entries), np.int64), np.empty(len(entries) + 1, np.int64)
    runs = group_rows(entries, _TOGETHER, order, starts)
    if runs < 0:
        order = np.lexsort((entries[:, 7], entries[:, 6], entries[:, 1], entries[:, 0]))
    else:
        order_runs(entries, order, starts[: runs + 1])
    done: U64 = np.ascontiguousarray(entries[order])
    return done


def write(path: Path, passes: int, rows: int, blocks: Iterable[tuple[int, U64]]) -> tuple[int, str]:
    """Write a segment durably.

    Args:
        path: where to; a file there is replaced.
        passes: P.
        rows: an estimate of the number of entries, which fixes how fine the entrances are.
        blocks: (pass, (n, 9) u8 sorted), ascending by pass and token.

    Returns:
        number of entries and SHA-256 of the body (entrances, then entries).
    """
    bits = bits_for(rows, passes)
    counts = np.zeros((passes << bits) + 1, np.int64)
    n = 0
    begin = HEAD + 8 * len(counts)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as file:
        file.seek(begin)
        for number, entries in blocks:
            if not len(entries):
                continue
            prefix = _prefixes(entries[:, 0], bits) + (number << bits)
            first = int(prefix[0])  # ascending: only these entrances are touched
            here = np.bincount(prefix - first)
            counts[first + 1 : first + 1 + len(here)] += here
            file.write(np.ascontiguousarray(entries).data)
            n += len(entries)
        file.seek(0)
        file.write(MAGIC + b"".join(x.to_bytes(8, "little") for x in (passes, bits, n)))
        file.write(np.cumsum(counts).astype("<i8").data)
        digest = hashlib.sha256()
        file.flush()
        file.seek(HEAD)
        while piece := file.read(1 << 22):
            digest.update(piece)
        os.fsync(file.fileno())
    return n, digest.hexdigest()


def _prefixes(high: U64, bits: int) -> I64:
    if not bits:
        return np.zeros(len(high), np.int64)
    found: I64 = (high >> np.uint64(64 - bits)).astype(np.int64)
    return found


@dataclass(frozen=True)
class Segment:
    """An open segment.

    Attributes:
        file: its file.
        bits: of an entrance.
        starts: (P * 2**bits + 1,) i8, first entry of each entrance, and the end.
        begin: where the entries begin.
    """

    file: IO[bytes]
    bits: int
    starts: I64
    begin: int

    @classmethod
    def open(cls, path: Path, passes: int, n: int) -> Segment:
        """Open a segment; only its entrances are read.

        Raises:
            TokenIndexDamagedError: the file is missing, or is not what the manifest says.
        """
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            raise TokenIndexDamagedError("a file of the index is missing", hint="build it again") from None
        head = file.read(HEAD)
        found, bits, rows = (int.from_bytes(head[at : at + 8], "little") for at in (8, 16, 24))
        size = 8 * ((passes << min(bits, _MOST_BITS)) + 1)
        if not head.startswith(MAGIC) or found != passes or rows != n or bits > _MOST_BITS:
            file.close()
            raise TokenIndexDamagedError("a file of the index is not what the manifest says", hint="build it again")
        starts = np.frombuffer(file.read(size), "<i8").astype(np.int64)
        whole = os.fstat(file.fileno()).st_size == HEAD + size + n * ENTRY
        if not whole or len(starts) * 8 != size or starts[-1] != n or (np.diff(starts) < 0).any():
            file.close()
            raise TokenIndexDamagedError("a file of the index was cut or changed", hint="build it again")
        return cls(file, bits, starts, HEAD + size)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def find(self, number: int, wanted: U64) -> U64:
        """Entries of a pass whose token begins with one of these.

        Args:
            number: of the pass.
            wanted: (k,) u8, first halves of tokens, ascending, each once.
        """
        if not len(wanted):
            return np.empty((0, WORDS), np.uint64)
        at = np.unique(_prefixes(wanted, self.bits)) + (number << self.bits)
        first, last = self.starts[at], self.starts[at + 1]
        apart = np.flatnonzero(first[1:] - last[:-1] > _GAP) + 1
        hits = []
        for begin, end in zip(
            first[np.concatenate(([0], apart))].tolist(), last[np.concatenate((apart - 1, [-1]))].tolist(), strict=True
        ):
            for part in self._read(begin, end):
                near = np.minimum(np.searchsorted(wanted, part[:, 0]), len(wanted) - 1)
                hits.append(part[wanted[near] == part[:, 0]])
        return np.concatenate(hits) if hits else np.empty((0, WORDS), np.uint64)

    def range(self, number: int, first: int, end: int, bits: int) -> U64:
        """Entries of a pass whose token's first `bits` bits, as a number, lie in first <= x < end."""
        entries = []
        if bits <= self.bits:
            up = self.bits - bits
            a = self.starts[(number << self.bits) + (first << up)]
            b = self.starts[(number << self.bits) + (end << up)]
            entries = list(self._read(int(a), int(b)))
        else:
            down = bits - self.bits
            a = self.starts[(number << self.bits) + (first >> down)]
            b = self.starts[(number << self.bits) + -(-end >> down)]
            for part in self._read(int(a), int(b)):
                prefix = _prefixes(part[:, 0], bits)
                entries.append(part[(prefix >= first) & (prefix < end)])
        return np.concatenate(entries) if entries else np.empty((0, WORDS), np.uint64)

    def _read(self, begin: int, end: int) -> Iterator[U64]:
        for start in range(begin, end, _ONCE):
            n = min(_ONCE, end - start)
            data = os.pread(self.file.fileno(), n * ENTRY, self.begin + start * ENTRY)
            if len(data) != n * ENTRY:
                raise TokenIndexDamagedError("a file of the index was cut", hint="build it again")
            yield np.frombuffer(data, "<u8").reshape(n, WORDS)
