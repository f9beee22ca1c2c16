"""Outputs of long jobs that can go on after an interruption.

Beside `out.csv` a job writes `.out.csv.partial` (and the same for the file of rows set aside) and, every few
seconds, `.out.csv.resume`: how far it is, and digests of what it has read and written. All have mode 0600. When
the job ends, the partial outputs take their names and the sidecar goes.

What holds after an interruption at any moment, SIGKILL included: the next run either goes on from the last
checkpoint, and its output is the same, byte for byte, as without the interruption, or it refuses and says why.

The sidecar holds positions, counts, codes of failed rows, and digests. The digests are keyed with the caller's
token (HMAC-SHA-256), because a plain digest of a short list of patient numbers could be found by trying.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import hmac
import os
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec

from trustcenter.errors import TrustCenterError

from .errors import LocalFileError
from .files import flush_directory

_FORMAT: Final = "trustcenter-resume/2"
_BLOCK: Final = 2**20  # bytes
_START_OVER: Final = "start over: the same command without --resume"


class State(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The sidecar. Positions in bytes; digests in hex."""

    format: str = _FORMAT
    job: str
    position: int
    read: str
    written: list[int]
    digests: list[str]
    row: int
    rows: int
    created: int
    versions: dict[str, int]
    failed: list[tuple[int, str, str, str]]
    failures: int
    nonce: str
    counts: dict[str, int] = {}
    mac: str = ""


class Digests:
    """Keyed digests of one caller."""

    def __init__(self, token: str) -> None:
        self._key = hashlib.sha256(b"trustcenter/resume/1\0" + token.encode()).digest()

    def job(self, options: Mapping[str, object]) -> str:
        """The digest of what decides about the output."""
        return hmac.new(self._key, b"job\0" + msgspec.json.encode(options, order="sorted"), "sha256").hexdigest()

    def stream(self) -> hmac.HMAC:
        """A digest to feed with the bytes of a file."""
        return hmac.new(self._key, b"file\0", "sha256")

    def mac(self, state: State) -> str:
        """The digest that makes a sidecar whole."""
        text = msgspec.json.encode(msgspec.structs.replace(state, mac=""), order="deterministic")
        return hmac.new(self._key, b"state\0" + text, "sha256").hexdigest()


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
            raise _stale("the partial output is not there") from None
        self._open(descriptor)
        assert self._file is not None
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
            raise _stale("the partial output is not yours alone")
        left = length
        while left and (block := self._file.read(min(left, _BLOCK))):
            self._digest.update(block)
            left -= len(block)
        if left or not hmac.compare_digest(self._digest.hexdigest(), digest):
            raise _stale("the partial output was changed")
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


class Resumable:
    """The outputs of one job, main one first, and their sidecar.

    Use as a context manager. `state` is where to go on, or None. On an ordinary error nothing is left; on an
    interruption (a signal, a service that is gone) the partial outputs stay if there is a checkpoint.
    """

    def __init__(
        self,
        digests: Digests,
        options: Mapping[str, object],
        targets: Sequence[Path],
        *,
        force: bool = False,
        resume: bool = False,
        every: float,
        keep: bool = False,
        spool: bool = False,
    ) -> None:
        """A job's outputs.

        Args:
            digests: of the caller.
            options: what decides about the output.
            targets: main output first.
            force: overwrite them.
            resume: go on with an interrupted job.
            every: seconds between two checkpoints.
            keep: what an error ends can be gone on with, too, because what was done cannot be undone.
            spool: what is written is needed only until the job ends; the caller makes the output from it.
        """
        self.digests = digests
        self.job = digests.job(options)
        self.outputs = [Output(target, digests.stream()) for target in targets]
        self.sidecar = targets[0].with_name(f".{targets[0].name}.resume")
        self.state: State | None = None
        self._force, self._resume, self._every, self._keep = force, resume, every, keep
        self._spool = spool
        self._saved = time.monotonic()
        self._kept = False

    def __enter__(self) -> Self:
        try:
            if self._resume:
                self.state = self._load()
            if self.state is None:
                for output in self.outputs:
                    output.create()
                self._forget()
            else:
                self._kept = True
                for output, length, digest in zip(self.outputs, self.state.written, self.state.digests, strict=True):
                    output.reopen(length, digest)
        except BaseException:
            for output in self.outputs:
                # What a refused --resume found is left for a person to look at.
                output.close() if self._resume else output.drop()
            raise
        return self

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self._saved >= self._every

    def save(self, state: State) -> None:
        """Write a checkpoint; fills in what concerns the outputs."""
        synced = [output.sync() for output in self.outputs]
        state.written = [length for length, _ in synced]
        state.digests = [digest for _, digest in synced]
        state.job = self.job
        state.mac = self.digests.mac(state)
        # Under one name, not a random one: a kill in between leaves it, and the next run writes it again.
        fresh = self._fresh()
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(msgspec.json.encode(state))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self.sidecar)
        flush_directory(self.sidecar.parent)
        self._kept, self._saved = True, time.monotonic()

    def _fresh(self) -> Path:
        return self.sidecar.with_name(f"{self.sidecar.name}.new")

    def _forget(self) -> None:
        self.sidecar.unlink(missing_ok=True)
        self._fresh().unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                for output in self.outputs:
                    output.sync()
                self._forget()
                if not self._spool:
                    for output in reversed(self.outputs):  # the main one last: it says that all is there
                        output.finish(force=self._force)
            finally:
                for output in self.outputs:
                    output.drop()
        elif getattr(error, "code", "") == "cannot_resume":
            for output in self.outputs:  # left for a person to look at
                output.close()
        elif self._kept and (self._keep or _interrupted(error)):
            for output in self.outputs:
                output.close()
            if isinstance(error, TrustCenterError):
                error.hint = f"{error.hint}; what is done is kept: go on with --resume".removeprefix("; ")
        else:
            self._forget()
            for output in self.outputs:
                output.drop()

    def _load(self) -> State | None:
        try:
            descriptor = os.open(self.sidecar, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError:
            raise _stale("the file beside the partial output cannot be read") from None
        with os.fdopen(descriptor, "rb") as stream:
            try:
                state = msgspec.json.decode(stream.read(), type=State)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise _stale("the file beside the partial output is damaged") from None
        if state.format != _FORMAT or not hmac.compare_digest(state.mac, self.digests.mac(state)):
            raise _stale("the interrupted run was made with another token, or its file was changed")
        if not hmac.compare_digest(state.job, self.job) or len(state.written) != len(self.outputs):
            raise _stale("the interrupted run had other options")
        return state


def check_input(state: State, digest: hmac.HMAC) -> None:
    """Compare what was read again with what the interrupted run had read.

    Raises:
        LocalFileError: the input was changed.
    """
    if not hmac.compare_digest(state.read, digest.hexdigest()):
        raise _stale("the input was changed since")


def _interrupted(error: BaseException) -> bool:
    return not isinstance(error, Exception) or getattr(error, "kind", "") == "unavailable"


def _stale(message: str) -> LocalFileError:
    return LocalFileError(f"{message}; cannot go on", code="cannot_resume", hint=_START_OVER)
