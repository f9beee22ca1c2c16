"""One output that is being written: where it stands, and whether what an interrupted run left is what it says."""

from __future__ import annotations

import errno
import fcntl
import hmac
import os
import stat
from pathlib import Path
from typing import IO, Final

from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import flush_directory

_BLOCK: Final = 2**20  # bytes
_START_OVER: Final = "start over: the same command without --resume"


class Output:
    """One partial output: counts and digests what is written."""

    def __init__(self, target: Path, digest: hmac.HMAC) -> None:
        self.target = target
        self.partial = target.with_name(f".{target.name}.partial")
        self.written = 0
        self._digest = digest
        self._buffer = bytearray()
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._buffer += data
        if len(self._buffer) >= _BLOCK:
            self.drain()
        return len(data)

    def drain(self) -> None:
        """Hand the buffer to the file."""
        assert self._file is not None
        self._digest.update(self._buffer)
        self._file.write(self._buffer)
        self.written += len(self._buffer)
        self._buffer.clear()

    def sync(self) -> tuple[int, str]:
        """Everything to disk; length and digest."""
        assert self._file is not None
        self.drain()
        self._file.flush()
        os.fsync(self._file.fileno())
        return self.written, self._digest.hexdigest()

    def create(self) -> None:
        """A new, empty partial output; a left-over one is dropped.

        Raises:
            LocalFileError: another run is writing it.
        """
        if self.partial.is_symlink() or self.partial.exists():
            self._lock(os.open(self.partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), close=True)
            self.partial.unlink()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._open(os.open(self.partial, flags, 0o600))

    def reopen(self, length: int, digest: str) -> None:
        """Go on with a partial output after its first `length` bytes.

        Raises:
            LocalFileError: it is missing, another's, in use, or not what the sidecar says.
        """
        try:
            descriptor = os.open(self.partial, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            raise stale("the partial output is not there") from None
        self._open(descriptor)
        assert self._file is not None
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
            raise stale("the partial output is not yours alone")
        left = length
        while left and (block := self._file.read(min(left, _BLOCK))):
            self._digest.update(block)
            left -= len(block)
        if left or not hmac.compare_digest(self._digest.hexdigest(), digest):
            raise stale("the partial output was changed")
        self._file.truncate(length)
        self._file.seek(length)
        self.written = length

    def finish(self, *, force: bool) -> None:
        """Give the output its name."""
        if not force and self.target.exists():
            raise LocalFileError(
                "the output was created by somebody else meanwhile",
                code="output_exists",
                hint="overwrite with --force",
            )
        self.partial.replace(self.target)
        self.close()
        flush_directory(self.target.parent)

    def close(self) -> None:
        """Close the file, and give up the lock with it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def drop(self) -> None:
        """Remove the partial output, if it is ours."""
        if self._file is not None:
            self.partial.unlink(missing_ok=True)
            self.close()

    def _open(self, descriptor: int) -> None:
        self._lock(descriptor)
        self._file = os.fdopen(descriptor, "r+b", buffering=_BLOCK)

    def _lock(self, descriptor: int, *, close: bool = False) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise LocalFileError(
                "another run is writing this output", code="output_busy", hint="wait for it, or choose another output"
            ) from None
        if close:
            os.close(descriptor)


def stale(message: str) -> LocalFileError:
    """Why a run cannot go on."""
    return LocalFileError(f"{message}; cannot go on", code="cannot_resume", hint=_START_OVER)
