"""Durable files: read with a limit, create once, replace atomically, lock.

Content to be written comes as a Secret, because an error of the disk is logged with local variables by some.
Each function says which of its effects survive a power failure when it returns.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ._guard import Secret

PRIVATE_MODE: Final = 0o600
LOCK_WAIT_SECONDS: Final = 10.0
_LOCK_POLL_SECONDS: Final = 0.01
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)  # not on Windows
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


class TooLargeError(Exception):
    """A file is larger than its reader allows."""


def read_limited(path: Path, limit: int) -> bytes:
    """The whole file.

    Raises:
        TooLargeError: more than `limit` bytes; never more than that is read.
        OSError: as usual.
    """
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise TooLargeError
    return data


def create(path: Path, data: Secret) -> None:
    """Create a file that must not exist, mode 0600, durable on return; nothing half-written ever has its name.

    Raises:
        FileExistsError: there is one already.
        OSError: as usual; the name is then unused or the file complete.
    """
    _publish(path, data, lambda temporary: _give_unused_name(temporary, path))


def _give_unused_name(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # other than rename, never replaces a file that appeared meanwhile
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Claim the name, then fill it. A crash in between leaves an empty file, which every reader refuses.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, PRIVATE_MODE))
        temporary.replace(path)


def replace(path: Path, data: Secret) -> None:
    """Replace a file, mode 0600, durable on return; at any instant the name has the old or the new content.

    Replaced by root it goes on belonging to whom it belonged to, who could not read it otherwise.

    Raises:
        OSError: as usual; the file is then the old or the new one.
    """

    def exchange(temporary: Path) -> None:
        if hasattr(os, "geteuid") and os.geteuid() == 0 and path.exists():
            owner = path.stat()
            os.lchown(temporary, owner.st_uid, owner.st_gid)
        temporary.replace(path)

    _publish(path, data, exchange)


def _publish(path: Path, data: Secret, give_name: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    binary = getattr(os, "O_BINARY", 0)  # Windows would turn line ends
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | binary, PRIVATE_MODE)
    try:
        with open(descriptor, "wb", closefd=True) as stream:  # noqa: PTH123 - a descriptor
            if hasattr(os, "fchmod"):  # on Windows the folder's access list decides
                os.fchmod(stream.fileno(), PRIVATE_MODE)  # whatever the umask says
            stream.write(data.reveal())
            stream.flush()
            os.fsync(stream.fileno())
        give_name(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable; Windows has no such call."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove what a killed writer of `path` left; only while holding its lock."""
    prefix = f".{path.name}."
    for entry in path.parent.iterdir():
        middle = entry.name.removeprefix(prefix).removesuffix(".tmp")
        if entry.name == f"{prefix}{middle}.tmp" and len(middle) == 16:
            entry.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of `path`, a sibling file that is never removed.

    Raises:
        TimeoutError: somebody else held it for ten seconds.
        OSError: as usual.
    """
    import fcntl  # here, so that programs which lock nothing run on Windows

    lock = path.with_name(path.name + ".lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | _NO_FOLLOW, PRIVATE_MODE)
    try:
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError from None
                time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)  # gives the lock back
