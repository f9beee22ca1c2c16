"""Directories as outputs: refused early, and filled in one step."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trustcenter.client.errors import LocalFileError


def require_directory(path: Path, *, force: bool = False) -> None:
    """Check an output directory before any work starts.

    Raises:
        LocalFileError: it is there and not empty (without `force`), is a file, or its parent is missing.
    """
    if path.exists() and not path.is_dir():
        raise LocalFileError("the output is a file, not a directory", code="output_exists")
    if path.is_dir() and any(path.iterdir()) and not force:
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
    beside = path if path.is_dir() else path.parent
    with tempfile.TemporaryDirectory(dir=beside, prefix=f".{path.name}-") as temporary:
        yield Path(temporary)
        new_directory(path, force=True)
        made = sorted(Path(temporary).iterdir())
        if not force and any((path / file.name).exists() for file in made):
            raise LocalFileError("the output was created by somebody else meanwhile", code="output_exists")
        for name in stale:
            (path / name).unlink(missing_ok=True)
        for file in made:
            file.replace(path / file.name)
