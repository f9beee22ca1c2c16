"""Reading what was committed out of a write-ahead log, beside the connection that writes it.

Every frame carries a checksum over all frames before it, so a half-written tail, frames of a transaction that was
undone, and those left over from before the log was restarted are all told apart from what was committed.

File format: https://www.sqlite.org/fileformat2.html, section 4.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

HEADER: Final = 32  # bytes of the log's header
FRAME: Final = 24  # bytes of a frame's header
_MAGIC: Final = 0x377F0682  # the low bit says in which byte order the checksums read words
_FORMAT: Final = 3007000
_FRAMES_PER_READ: Final = 1024
_MASK: Final = 0xFFFFFFFF


class WalGapError(Exception):
    """The log was restarted before everything in it was read."""


@dataclass(frozen=True)
class Position:
    """How far a log was read.

    Attributes:
        checkpoint: sequence number of the log, one more at each restart.
        salts: the two random numbers in its header.
        frames: read so far.
        sums: checksum over all of them.
    """

    checkpoint: int
    salts: tuple[int, int]
    frames: int
    sums: tuple[int, int]


@dataclass(frozen=True)
class Committed:
    """What the transactions between two positions made of the database: the last content of each page."""

    pages: dict[int, bytes]  # by page number, from 1
    size: int  # of the database after them, in pages
    page_bytes: int


class WalReader:
    """Follows one log. Not for two threads at once."""

    def __init__(self, database: Path, position: Position | None = None) -> None:
        """Begin at `position`, or with the first frame of the log as it is."""
        self._path = database.with_name(database.name + "-wal")
        self._descriptor = -1
        self._page_bytes = 0
        self.position = position
        self._read_before_checkpoint = position

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def checkpointing(self) -> None:
        """Everything was read and the log is about to be copied back: it may be restarted at this position."""
        self._read_before_checkpoint = self.position

    def read(self, *, keep: bool = True) -> Committed | None:
        """What was committed since the position; None if nothing was.

        Args:
            keep: whether the pages are wanted; False only moves the position.

        Raises:
            WalGapError: the log was restarted by somebody who did not let it be read first.
            OSError: it cannot be read.
        """
        header = self._header()
        if header is None:
            return None
        if self.position is None or header.salts != self.position.salts:
            if self.position is not None and (
                header.checkpoint != self.position.checkpoint + 1 or self.position != self._read_before_checkpoint
            ):
                raise WalGapError
            self.position = header
        return self._frames(self.position, keep)

    def _header(self) -> Position | None:
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
        raw = os.pread(self._descriptor, HEADER, 0)
        if len(raw) < HEADER:
            return None
        words = np.frombuffer(raw, ">u4").tolist()
        if words[0] | 1 != _MAGIC | 1 or words[1] != _FORMAT:
            return None
        self._order = ">u4" if words[0] & 1 else "<u4"
        sums = _checksum((0, 0), np.frombuffer(raw[:24], self._order).tolist())
        if sums != (words[6], words[7]):
            return None  # being rewritten
        self._page_bytes = words[2]
        return Position(words[3], (words[4], words[5]), 0, sums)

    def _frames(self, start: Position, keep: bool) -> Committed | None:
        step = FRAME + self._page_bytes
        weights, transition = _weights(self._page_bytes)
        (a, b), (c, d) = transition
        pages: dict[int, bytes] = {}
        open_: dict[int, bytes] = {}  # of a transaction whose commit was not seen yet
        size, frames, (s0, s1) = 0, start.frames, start.sums
        done = start
        while raw := os.pread(self._descriptor, step * _FRAMES_PER_READ, HEADER + frames * step):
            count = len(raw) // step
            table = np.frombuffer(raw, np.uint8, count * step).reshape(count, step)
            heads = np.ascontiguousarray(table[:, :FRAME]).view(">u4").astype(np.uint32)
            own = (heads[:, 2] == start.salts[0]) & (heads[:, 3] == start.salts[1])
            count = int(count if own.all() else own.argmin())
            if not count:
                break
            words = table[:count].view(self._order).astype(np.uint32, copy=False)
            sums = [np.einsum("ij,j->i", words, weight).tolist() for weight in weights]
            for i, (number, commit, _, _, w0, w1) in enumerate(heads[:count].tolist()):
                s0, s1 = (a * s0 + b * s1 + sums[0][i]) & _MASK, (c * s0 + d * s1 + sums[1][i]) & _MASK
                if (s0, s1) != (w0, w1):
                    return self._made(done, start, pages, size)
                if keep:
                    open_[number] = raw[i * step + FRAME : (i + 1) * step]
                frames += 1
                if commit:
                    pages.update(open_)
                    open_.clear()
                    size, done = commit, Position(start.checkpoint, start.salts, frames, (s0, s1))
            if not own.all() or len(raw) < step * _FRAMES_PER_READ:
                break
        return self._made(done, start, pages, size)

    def _made(self, done: Position, start: Position, pages: dict[int, bytes], size: int) -> Committed | None:
        if done == start:
            return None
        self.position = done
        return Committed(pages, size, self._page_bytes)


def continues(database: Path, position: Position) -> bool:
    """Whether the log beside a database holds everything up to `position` unchanged, and so what came after it."""
    reader = WalReader(database)
    try:
        header = reader._header()
        if header is None or (header.checkpoint, header.salts) != (position.checkpoint, position.salts):
            return False
        step = FRAME + reader._page_bytes
        if not position.frames:
            return True
        # The checksum in a frame covers everything before it: equal at this frame means equal up to it, unless
        # somebody forged it, who could as well have written the pages.
        assert reader._descriptor >= 0
        raw = os.pread(reader._descriptor, FRAME, HEADER + (position.frames - 1) * step)
        return len(raw) == FRAME and tuple(np.frombuffer(raw, ">u4").tolist()[4:]) == position.sums
    finally:
        reader.close()


def _checksum(start: tuple[int, int], words: list[int]) -> tuple[int, int]:
    s0, s1 = start
    for first, second in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + first + s1) & _MASK
        s1 = (s1 + second + s0) & _MASK
    return s0, s1


@lru_cache(2)
def _weights(page_bytes: int) -> tuple[NDArray[np.uint32], tuple[tuple[int, int], tuple[int, int]]]:
    """The checksum of a frame as a linear map modulo 2^32: weights of its words, and what it makes of the sum before.

    A frame's checksum covers the first 8 bytes of its header and its page. Both words of a pair enter as
    s0 += x + s1; s1 += y + s0, so (s0, s1) becomes M (s0, s1) + B (x, y) with M = (1 1; 1 2) and B = (1 0; 1 1).
    """
    words = FRAME // 4 + page_bytes // 4
    covered = [0, 1, *range(FRAME // 4, words)]
    weights = np.zeros((2, words), np.uint32)
    m = ((1, 0), (0, 1))  # M to the power of the pairs that follow
    for place in range(len(covered) - 2, -1, -2):
        (a, b), (c, d) = m
        weights[:, covered[place]] = ((a + b) & _MASK, (c + d) & _MASK)
        weights[:, covered[place + 1]] = (b, d)
        m = ((a + b) & _MASK, (a + 2 * b) & _MASK), ((c + d) & _MASK, (c + 2 * d) & _MASK)
    return weights, m
