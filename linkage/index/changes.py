"""One change at a time, and each from one state to the next in one step."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linkage.errors import TokenIndexBusyError
from linkage.index.manifest import Manifest, flush_folder, read, write

_LOCK = "lock"


@contextmanager
def changing(folder: Path) -> Iterator[Manifest]:
    """The state to change, locked against other processes; what earlier changes left by half is removed.

    Raises:
        TokenIndexBusyError: another process changes the index.
    """
    read(folder)  # says so where there is none, before a lock file is made
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise TokenIndexBusyError("another process changes the index", hint="try again later") from None
        state = read(folder)
        _sweep(folder, state)
        yield state
    finally:
        os.close(handle)


def become(folder: Path, before: Manifest, state: Manifest) -> None:
    """The files are durable and named before the manifest names them."""
    flush_folder(folder)
    write(folder, state)
    for part in (*before.segments, *before.retired):
        if part not in (*state.segments, *state.retired):
            (folder / part.name).unlink()


def _sweep(folder: Path, state: Manifest) -> None:
    """Remove what changes left behind that never came to their end."""
    named = {p.name for p in (*state.segments, *state.retired)}
    for path in folder.iterdir():
        if re.fullmatch(r"(seg|del)-[0-9]{10}", path.name) and path.name not in named:
            path.unlink()
        elif path.name.startswith(".load-"):
            shutil.rmtree(path)
