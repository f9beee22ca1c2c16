"""The outside head: what the registrar remembers outside its database, so that a restored copy is noticed.

A database copy that went back in time would hand out a serial twice. The head is a small signed file beside the
key store: instance, database, epoch, log size and root, and per domain the counter up to which serials are
reserved. It is fsynced *before* a reserved range is used, once per 2^20 serials (docs/spec/outside-head.md).
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from keys.errors import SignatureError
from keys.ids import KeyId, Purpose
from keys.personal import verify_ed25519
from keys.store import KeyStore
from trustcenter.errors import StaleDatabaseError, StoreUnavailableError, VerificationError
from trustcenter.owner import give

RESERVE = 2**20  # serials per reservation, so one fsync per million pseudonyms
COUNTER_BITS = 36

_FORMAT = "trustcenter/outside-head/1"


@dataclass
class OutsideHead:
    """The head of one instance, kept in memory and on disk alike. Used from the writer thread only.

    Attributes:
        path: of the file.
        keys: that sign it.
        instance: 32 hex digits.
        database: 32 hex digits.
        epoch: of the database.
        log_size: entries of the log that were known when it was written.
        log_root: root of the log at that size.
        reserved: by domain uuid, the first counter that is not reserved.
        state_key: the version of the state key that vouched for key states when it was written, or before.
        shared: other processes of the instance write the same file; what they wrote is kept.
    """

    path: Path
    keys: KeyStore
    instance: str
    database: str
    epoch: int
    log_size: int = 0
    log_root: str = ""
    reserved: dict[str, int] = field(default_factory=dict)
    state_key: int = 1
    shared: bool = False

    def _body(self) -> bytes:
        return json.dumps(
            {
                "format": _FORMAT,
                "instance": self.instance,
                "database": self.database,
                "epoch": self.epoch,
                "log_size": self.log_size,
                "log_root": self.log_root,
                "reserved": self.reserved,
                "state_key": self.state_key,
            },
            sort_keys=True,
            separators=(",", ":"),
        ).encode()

    def save(self) -> None:
        """Replace the file: written beside it, fsynced, renamed, directory fsynced."""
        body = self._body()
        newest = _versions(self.keys)[-1]
        signature = base64.b64encode(self.keys.sign("instance", Purpose.AUDIT, newest, body))
        temporary = self.path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            give(descriptor, self.path if self.path.exists() else self.path.parent)
            file.write(body + b"\n" + signature + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def reserve(self, domain: str, needed: int, committed_head: Callable[[], tuple[int, str]]) -> None:
        """Make sure that counters below `needed` are reserved for `domain`, durably.

        Args:
            domain: uuid of the domain, 32 hex digits.
            needed: first counter that the caller will not use.
            committed_head: gives the log's (size, root) to be remembered along with the reservation. It must be on
                disk already: a head that knows more than a crash leaves makes the database look stale.

        Raises:
            StoreUnavailableError: the head cannot be written. Nothing is reserved then.
        """
        if needed <= self.reserved.get(domain, 0):
            return
        before = (self.log_size, self.log_root, self.reserved)
        size, root = committed_head()
        try:
            with self._turn():
                self.reserved = {**self.reserved, domain: max(needed + RESERVE, self.reserved.get(domain, 0))}
                self._know(size, root)
                self.save()
        except OSError as error:
            # Forgotten in memory too, or the next batch would use what no start knows of.
            self.log_size, self.log_root, self.reserved = before
            raise StoreUnavailableError(
                "the outside head cannot be written, so no serials can be reserved",
                hint="check free space and the health of the disk that holds the key store, then try again",
            ) from error

    def remember(self, size: int, root: str) -> None:
        """Take note of the log's head (at start, at shutdown and after a rotation)."""
        with self._turn():
            self._know(size, root)
            self.save()

    def follow(self) -> None:
        """Take over what other processes of the instance have reserved."""
        with self._turn():
            pass

    def _know(self, size: int, root: str) -> None:
        if not self.shared or size >= self.log_size:
            self.log_size, self.log_root = size, root

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Alone with the file, and knowing what is in it."""
        if not self.shared:
            yield
            return
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            known = OutsideHead.load(self.path, self.keys)
            if known.epoch != self.epoch:
                raise StaleDatabaseError(
                    "the instance was reopened under another epoch", hint="restart every process of the service"
                )
            self._know(known.log_size, known.log_root)
            self.state_key = max(self.state_key, known.state_key)
            domains = self.reserved.keys() | known.reserved.keys()
            self.reserved = {d: max(self.reserved.get(d, 0), known.reserved.get(d, 0)) for d in domains}
            yield
        finally:
            os.close(descriptor)

    @classmethod
    def load(cls, path: Path, keys: KeyStore) -> OutsideHead:
        """Read and verify the head.

        Raises:
            VerificationError: the file is missing, damaged or not signed by this instance.
        """
        try:
            body, signature, rest = path.read_bytes().split(b"\n")
            if rest:
                raise ValueError
            _verify(keys, body, base64.b64decode(signature, validate=True))
            raw = json.loads(body)
            if raw.pop("format") != _FORMAT:
                raise ValueError
            return cls(path=path, keys=keys, **raw)
        except FileNotFoundError:
            raise VerificationError(
                "the outside head is missing beside the key store",
                code="head_missing",
                hint="restore head.json with the key store: without it an old database looks like the newest",
            ) from None
        except (SignatureError, ValueError, TypeError, KeyError, OSError):
            raise VerificationError(
                "the outside head is damaged or belongs to another instance",
                code="head_damaged",
                hint="restore head.json of this instance from the key store's backup",
            ) from None

    def check(self, *, instance: str, database: str, epoch: int, log_size: int, root_at: Callable[[int], str]) -> None:
        """Refuse a database that is not the one this head was written for, or is older than it.

        Raises:
            StaleDatabaseError: foreign instance or database id, lower epoch, or a log behind the head.
        """
        if (instance, database) != (self.instance, self.database):
            raise StaleDatabaseError(
                "this database belongs to another instance than the key store and its head",
                hint="check config.toml: each instance has its own database and key store",
            )
        stale = epoch < self.epoch or log_size < self.log_size
        if stale or (self.log_size and root_at(self.log_size) != self.log_root):
            raise StaleDatabaseError(
                "this database is older than the last state known outside it: it was restored or rolled back",
                hint="restore the newest database; issuing from an older one could give one pseudonym to two people",
            )


def _versions(keys: KeyStore) -> list[int]:
    """The versions of the audit key that are there, oldest first."""
    number, found = 1, []
    while keys.known(KeyId("instance", Purpose.AUDIT, number)):
        if keys.has(KeyId("instance", Purpose.AUDIT, number)):
            found.append(number)
        number += 1
    return found


def _verify(keys: KeyStore, body: bytes, signature: bytes) -> None:
    """Signed by this instance: with the newest audit key, or by a rotation that a crash cut short, an older one."""
    failure: SignatureError | None = None
    for version in reversed(_versions(keys)):
        try:
            verify_ed25519(keys.public_key("instance", Purpose.AUDIT, version), body, signature)
            return
        except SignatureError as error:
            failure = failure or error
    raise failure or SignatureError("the signature does not hold", where="signature")
