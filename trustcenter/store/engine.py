"""What SQLite and PostgreSQL do differently behind the same database, writer and readers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from .connection import Connection
from .migrations import Migration


class Session(Connection, Protocol):
    """A connection as its owner has it."""

    def close(self) -> None:
        """End it; an open transaction is undone."""


@dataclass(frozen=True)
class Watch:
    """How a server's store that was replaced behind a running process, as by a restore, is noticed.

    Attributes:
        look: what is known of the store; read in every transaction just before it commits.
        check: raises if the store at hand is older than what was known, or another one.
    """

    look: Callable[[Connection], Any]
    check: Callable[[Connection, Any], None]


class Engine(ABC):
    """One store of one room: how it is opened, how its transactions begin, and what its failures mean."""

    watch: Watch | None = None
    forgetting: bool = False
    known: Any = None  # what the watch saw in the last transaction that was committed

    def forget_soon(self) -> None:
        """Something is erased in the open transaction: what keeps old pages is to be emptied once it is committed."""
        self.forgetting = True

    def look(self, conn: Session) -> Any:
        """What to `keep` once the open transaction is committed. Nothing where no server can be exchanged."""
        return None

    def keep(self, seen: Any) -> None:
        """Remember what is committed."""
        self.known = seen

    @abstractmethod
    def prepare(self, migrations: Sequence[Migration], application: str, *, exclusive: bool) -> Session:
        """Take the store for this process, bring it to the newest schema, return the connection that writes.

        Args:
            migrations: every step of the schema.
            application: the room whose store it must be.
            exclusive: no other process may have it open (always so with SQLite).

        Raises:
            AlreadyRunningError: another process has it.
            NewerStoreError, WrongStoreError, MigrationChangedError, StoreError: not what is expected.
        """

    @abstractmethod
    def check(self, migrations: Sequence[Migration], application: str) -> bool:
        """Whether the store is there, this room's, and of the newest schema; nothing is changed.

        Raises:
            NotFoundError: there is none.
            NewerStoreError, WrongStoreError, MigrationChangedError: not what is expected.
        """

    @abstractmethod
    def release(self) -> None:
        """Give the store back, after every connection was closed."""

    @abstractmethod
    def reader(self) -> Session:
        """A connection that cannot write."""

    @abstractmethod
    def streamer(self) -> Session:
        """A connection for one long read that must not be held in memory."""

    @abstractmethod
    def begin_write(self, conn: Session) -> None:
        """Open the one transaction that may write, waiting for that of another process."""

    @abstractmethod
    def begin_read(self, conn: Session) -> None:
        """Open a snapshot."""

    @abstractmethod
    def renew(self, conn: Session, again: Callable[[], Session]) -> Session:
        """`conn`, or a new connection from `again` if it is broken."""

    @abstractmethod
    def writer_again(self) -> Session:
        """A new connection that writes, after the first was lost."""

    @abstractmethod
    def settle(self, conn: Session, waiting: bool) -> None:
        """Upkeep after a commit whose callers were answered. `waiting`: whether others wait already."""

    @abstractmethod
    def finish(self, conn: Session) -> None:
        """Upkeep before the connection that writes is closed."""

    @abstractmethod
    def translate(self, error: BaseException) -> BaseException:
        """`error`, or the error of ours that a failure of the store amounts to. Constraints pass unchanged."""

    @abstractmethod
    def fatal(self, error: BaseException) -> bool:
        """Whether nothing may be written any more until the store is opened again."""

    @abstractmethod
    def turn(self, name: str) -> AbstractContextManager[bool]:
        """Hold `name` against other processes: True inside, or False if one of them has it. Blocks no writer."""


def begin(engine: Engine, conn: Session, start: Callable[[Session], None], again: Callable[[], Session]) -> Session:
    """Begin a transaction on `conn`, or on a new connection if the old one turns out to be broken."""
    conn = engine.renew(conn, again)
    try:
        start(conn)
    except Exception:
        fresh = engine.renew(conn, again)
        if fresh is conn:
            raise
        start(fresh)
        return fresh
    return conn
