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

import hashlib
import hmac
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from trustcenter.client.files import flush_directory
from trustcenter.errors import TrustCenterError

from .partial import Output, stale

_FORMAT: Final = "trustcenter-resume/2"


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
            raise stale("the file beside the partial output cannot be read") from None
        with os.fdopen(descriptor, "rb") as stream:
            try:
                state = msgspec.json.decode(stream.read(), type=State)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise stale("the file beside the partial output is damaged") from None
        if state.format != _FORMAT or not hmac.compare_digest(state.mac, self.digests.mac(state)):
            raise stale("the interrupted run was made with another token, or its file was changed")
        if not hmac.compare_digest(state.job, self.job) or len(state.written) != len(self.outputs):
            raise stale("the interrupted run had other options")
        return state


def check_input(state: State, digest: hmac.HMAC) -> None:
    """Compare what was read again with what the interrupted run had read.

    Raises:
        LocalFileError: the input was changed.
    """
    if not hmac.compare_digest(state.read, digest.hexdigest()):
        raise stale("the input was changed since")


def _interrupted(error: BaseException) -> bool:
    return not isinstance(error, Exception) or getattr(error, "kind", "") == "unavailable"
