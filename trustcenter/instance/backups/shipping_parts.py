"""What a continuous backup starts from, what waits to be written out, and what failed. No lock, no thread."""

from __future__ import annotations

import logging
import os
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from trustcenter.store.wal import Committed, Position, WalReader, continues

from . import chain as chains
from . import chain_notes, manifest
from .chain import Chain

_log = logging.getLogger(__name__)


@dataclass
class Batch:
    """What becomes one segment."""

    committed: Committed
    position: Position
    time: datetime
    closed: bool = False  # later pages go into another segment: it is being written, or a base follows

    @property
    def weight(self) -> int:
        """Bytes of its pages."""
        return len(self.committed.pages) * self.committed.page_bytes


class Pending:
    """What was committed and is not on the target yet, oldest first."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def weight(self) -> int:
        """Bytes that wait."""
        return sum(batch.weight for batch in self._batches)

    def add(self, committed: Committed, position: Position, time: datetime) -> int:
        """Add what was committed to the last batch, if that is open; how many batches this made: 0 or 1."""
        batch, last = Batch(committed, position, time), self._batches[-1] if self._batches else None
        if last is None or last.closed:
            self._batches.append(batch)
            return 1
        pages = {**last.committed.pages, **committed.pages}
        batch.committed = Committed(pages, committed.size, committed.page_bytes)
        self._batches[-1] = batch
        return 0

    def take(self) -> Batch:
        """The oldest, which is written now; it stays until it is `done`."""
        self._batches[0].closed = True
        return self._batches[0]

    def done(self) -> None:
        """The oldest is on the target."""
        self._batches.popleft()

    def close(self) -> None:
        """What comes from now on goes into another segment."""
        if self._batches:
            self._batches[-1].closed = True

    def clear(self) -> None:
        """Forget what waits."""
        self._batches.clear()


class Trouble:
    """Failures of one room's backup: counted, and said in the log once until it works again."""

    def __init__(self, room: str) -> None:
        self.count = 0
        self.lasts = False
        self._room = room

    def note(self, error: BaseException) -> None:
        """One more."""
        self.count += 1
        if not self.lasts:
            self.lasts = True
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
            _log.error("the continuous backup of the %s fails: %s", self._room, reason)


@dataclass(frozen=True)
class End:
    """The end of the newest chain, which the database continues."""

    chain: Chain
    reader: WalReader
    number: int  # of its last segment
    digest: str  # of that
    based: datetime  # time of its newest base
    instance: str


def find_end(target: Path, database: Path, instance: str) -> End | None:
    """Where a backup goes on; None where the database does not continue the newest chain.

    Args:
        target: the directory of the backup.
        database: the file.
        instance: whose chain it has to be; "" where that is not known yet.
    """
    found = chains.chains(target)
    if not found:
        return None
    chain = found[-1]
    numbers = chain.numbers()
    number = numbers[-1] if numbers else 0
    bases = chain.bases()
    if not bases or bases[-1].number > number:
        return None
    of = manifest.read(chain.copy(bases[-1].number)).instance
    if instance and instance != of:
        return None
    digest = chain.digest(number)
    stopped, head = chain_notes.stopped(target), chain.head(number) if number else None
    here = (chain.name, number, digest, chain_notes.identity(database))
    if stopped is not None and (stopped.chain, stopped.number, stopped.digest, stopped.file) == here:
        reader = WalReader(database)
    elif head is not None and continues(database, head.wal.position()):
        reader = WalReader(database, head.wal.position())
    else:
        return None
    return End(chain, reader, number, digest, datetime.fromisoformat(bases[-1].time), of)
