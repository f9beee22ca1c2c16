"""Directories as outputs: refused early, and filled in one step."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from trustcenter.client.errors import LocalFileError


def require_directory(path: Path, *, force: bool = False) -> None:
    """Check an output directory before any work starts.

    Raises:
        LocalFileError: it is there and not empty (without `force`), is a file, or its parent is missing.
    """
    if path.exists() and not path.is_dir():
        raise LocalFileError("the output is a file, not a directory", code="output_exists")
    if path.is_dir() and not force and any(not _is_begun(one, path) for one in path.iterdir()):
        raise LocalFileError(
            "the output directory is not empty", code="output_exists", hint="name a new one, or overwrite with --force"
        )
    if not path.parent.is_dir():
        raise LocalFileError(
            "the directory of the output does not exist", code="no_directory", hint="create it, then try again"
        )


def new_directory(path: Path, *, force: bool = False) -> None:
    """Make an output directory, mode 0700; raises as `require_directory`."""
    require_directory(path, force=force)
    if not path.is_dir():
        path.mkdir(mode=0o700)


@contextmanager
def filling(path: Path, *, force: bool = False, stale: Sequence[str] = ()) -> Iterator[Path]:
    """A directory for files that take their places in `path` only when the block ends without an exception.

    Whoever is stopped meanwhile leaves what was there before; raises as `require_directory`.

    Args:
        path: of the output.
        force: whether files there are overwritten.
        stale: names of files that would not fit the new ones: they go, if none of that name was made.
    """
    require_directory(path, force=force)
    with _begun(path, path if path.is_dir() else path.parent) as place:
        yield place
        new_directory(path, force=True)
        made = sorted(place.iterdir())
        if not force and any((path / file.name).exists() for file in made):
            raise LocalFileError("the output was created by somebody else meanwhile", code="output_exists")
        for name in stale:
            (path / name).unlink(missing_ok=True)
        for file in made:
            file.replace(path / file.name)


def _is_begun(one: Path, path: Path) -> bool:
    """Whether this is a directory in which somebody began to fill `path`."""
    return one.name.startswith(f".{path.name}-")


@contextmanager
def _begun(path: Path, beside: Path) -> Iterator[Path]:
    """A hidden directory that goes with the block; those of processes that were killed go now.

    It is locked as long as its process lives, and bears its name only when it is locked.
    """
    made = Path(tempfile.mkdtemp(dir=beside, prefix=".new-"))  # mkdtemp creates 0700
    handle = os.open(made, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems lock no directories: then nothing is swept there either
            fcntl.flock(handle, fcntl.LOCK_EX)
        made = made.rename(beside / made.name.replace(".new-", f".{path.name}-", 1))
        for left in [one for one in beside.iterdir() if _is_begun(one, path) and one != made]:
            _remove_if_left(left)
        yield made
    finally:
        shutil.rmtree(made)
        os.close(handle)


def _remove_if_left(place: Path) -> None:
    """Remove a directory of this kind, unless its process lives, or another one removes it."""
    with suppress(OSError):
        handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place)
        finally:
            os.close(handle)
