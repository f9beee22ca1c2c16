"""Files of an instance exchanged for those of a backup: written beside their places first, then all at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from trustcenter.config import Config
from trustcenter.instance.parts import head_facts
from trustcenter.instance.places import RESTORE_PENDING
from trustcenter.owner import give
from trustcenter.store.connections import open_writer

STAGED: Final = ".restore"
REPLACED: Final = ".replaced"


def is_newer(present: Path, coming: Path) -> bool:
    """The head never goes back: an older one would let an older database through unseen."""
    mine, other = head_facts(present), head_facts(coming)
    assert other is not None
    same = mine is not None and (mine["instance"], mine["database"]) == (other["instance"], other["database"])
    return same and mine is not None and (mine["epoch"], mine["log_size"]) > (other["epoch"], other["log_size"])


@contextmanager
def staging() -> Iterator[list[Path]]:
    """Files written beside their places; whatever is still there at the end is thrown away."""
    staged: list[Path] = []
    try:
        yield staged
    finally:
        for path in staged:
            path.unlink(missing_ok=True)


def exchange(config: Config, staged: Sequence[Path]) -> list[str]:
    """Put staged files in their places; names of the files that were there and are kept.

    A crash in between leaves `restore.pending`, with which nothing opens the instance.
    """
    base = Path(config.base)
    kept: list[str] = []
    pending = base / RESTORE_PENDING
    coming = [path for path in staged if path.exists()]
    for path in coming:
        if path.name.endswith(".db" + STAGED):
            _fold(path.with_name(path.name.removesuffix(STAGED)))
    pending.touch(mode=0o600)
    _flush(base)
    for path in coming:
        target = path.with_name(path.name.removesuffix(STAGED))
        if target.exists():
            old = target.with_name(target.name + REPLACED)
            old.unlink(missing_ok=True)
            os.link(target, old)
            kept.append(old.name)
        give(path, target if target.exists() else target.parent)
        for suffix in ("-wal", "-shm"):
            leftover = target.with_name(target.name + suffix)
            if target.suffix == ".db" and leftover.exists():  # it could not be folded in: it belongs to the old file
                leftover.replace(target.with_name(target.name + REPLACED + suffix))
        path.replace(target)
        _flush(target.parent)
    pending.unlink()
    _flush(base)
    return kept


def _fold(path: Path) -> None:
    """Copy the write-ahead log of the database that is replaced into it, so that it is kept whole."""
    if not path.is_file():
        return
    with suppress(Exception), closing(open_writer(path)) as conn:  # a damaged one is kept as it is
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _flush(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
