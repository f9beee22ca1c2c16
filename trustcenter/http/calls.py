"""Routes as data: method, path, who may call, what goes in and out. OpenAPI and the dispatcher read the same table."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from trustcenter.auth import Principal
from trustcenter.errors import NotFoundError, UsageError
from trustcenter.instance.between.linking import Linking
from trustcenter.instance.between.port import LocalComparator
from trustcenter.instance.opened import Instance
from trustcenter.instance.running import Rooms

from .metrics import Metrics

SITE = frozenset({"site"})
OPERATOR = frozenset({"operator"})
AUDITOR = frozenset({"auditor"})
APPROVER = frozenset({"approver"})
STEWARD = frozenset({"steward"})
PEER = frozenset({"peer"})  # the other room, by its pinned certificate
PUBLIC: frozenset[str] = frozenset()

FHIR_TYPES = ("application/fhir+json", "application/fhir+ndjson", "application/x-ndjson")

_SEGMENT = re.compile(r"[a-z0-9.-]{1,200}")


@dataclass(frozen=True)
class Call:
    """One authenticated request, its body decoded."""

    instance: Instance
    rooms: Rooms
    metrics: Metrics
    principal: Principal
    request_id: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def linking(self) -> Linking:
        """What passes between the rooms, as the registrar sees it."""
        _ = self.instance.registrar  # which is here, or this is refused
        assert self.rooms.linking is not None
        return self.rooms.linking

    @property
    def comparator(self) -> LocalComparator:
        """The comparator, as the registrar may ask it."""
        _ = self.instance.comparator
        assert self.rooms.local is not None
        return self.rooms.local

    def segment(self, name: str) -> str:
        """A path parameter. What cannot be a name of ours does not exist."""
        value = self.path[name]
        if not _SEGMENT.fullmatch(value):
            raise NotFoundError(
                "there is nothing of this name", hint="names are of small letters, digits, dots and hyphens"
            )
        return value

    def integer(self, name: str, text: str | None, low: int, high: int) -> int:
        """A whole number from path or query, within bounds."""
        if text is None or not re.fullmatch("[0-9]{1,16}", text) or not low <= int(text) <= high:
            raise UsageError("a whole number within bounds is needed", code="invalid_parameter", where=name)
        return int(text)


@dataclass(frozen=True)
class Binary:
    """An answer of raw bytes."""

    content: bytes
    content_type: str = "application/octet-stream"


@dataclass(frozen=True)
class Lines:
    """A streamed answer: NDJSON messages with a closing line, or raw lines that end themselves."""

    batches: AsyncIterator[Sequence[Any]]
    raw: bool = False


@dataclass(frozen=True)
class Form:
    """Which fields of a route's messages are the items, and what one of them is called in a line."""

    asked: str  # field of the request: a list of strings
    given: str  # field of the answer: a list as long, null where an error stands
    word: str  # name in a line


Answer = msgspec.Struct | Binary | Lines | None
Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True)
class Route:
    """One operation of the interface."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    name: str  # operation id
    roles: frozenset[str]  # empty: no credential needed
    summary: str
    handler: Handler
    takes: type[msgspec.Struct] | Literal["bytes", "rows", "fhir"] | None = None  # words: as sent, for the handler
    gives: type[msgspec.Struct] | Literal["bytes", "text"] | None = None
    line: type[msgspec.Struct] | None = None  # set for NDJSON streams
    status: int = 200
    query: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()  # headers that must be sent: name, and what it holds
    form: Form | None = None  # set where a batch may come and go as lines
    kind: str = "other"  # requests of one kind share a rate; "reverse" leads from pseudonyms to originals
