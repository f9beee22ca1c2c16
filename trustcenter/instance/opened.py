"""An opened instance: the rooms that this process holds, and where clients come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trustcenter.auth import Directory
from trustcenter.clock import Clock
from trustcenter.comparator import context as comparator_context
from trustcenter.config import Config
from trustcenter.errors import NotFoundError
from trustcenter.instance.backups.continuous import Continuous
from trustcenter.registrar import context as registrar_context
from trustcenter.store import Database


@dataclass(frozen=True)
class Gate:
    """The room that lets clients in: its store holds them, and its log tells of them.

    `audit` takes connection, event, who, request and fields. The comparator's entries know no request.
    """

    db: Database
    directory: Directory
    clock: Clock
    audit: Callable[..., int]


@dataclass
class Instance:
    """The rooms of one instance, opened. With the other room apart, asking for it is an error."""

    config: Config
    id: str
    copies: Continuous
    gate: Gate
    registrar_room: registrar_context.Context | None = None
    comparator_room: comparator_context.Context | None = None

    @property
    def registrar(self) -> registrar_context.Context:
        """The registrar.

        Raises:
            NotFoundError: it is not in this process.
        """
        if self.registrar_room is None:
            raise _elsewhere("registrar")
        return self.registrar_room

    @property
    def comparator(self) -> comparator_context.Context:
        """The comparator.

        Raises:
            NotFoundError: it is not in this process.
        """
        if self.comparator_room is None:
            raise _elsewhere("comparator")
        return self.comparator_room


def _elsewhere(room: str) -> NotFoundError:
    return NotFoundError(
        f"the {room} is not here: the two rooms are apart", code="other_room", hint="ask at the other room's address"
    )
