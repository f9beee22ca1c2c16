"""The short way of the most frequent request: pseudonyms for a few originals, one request after the other.

aiohttp makes a task, a request, a route's match and a response for each of them, which costs twice as much as the
pseudonym. So a request that has arrived whole and is of the usual form is read here, straight from the connection, and
answered without all that. Every other one goes to aiohttp untouched, before anything was done for it: another route, a
header not named here, a body that does not fit, a caller not seen a moment ago, a refusal. So this way decides nothing
for itself; where it answers, it answers what the other way would have.

Reading is strict, never lenient: one form of the request line, known headers once each, a body of exactly the announced
length and nothing behind it. What is read in two ways by two readers (RFC 9112, section 11) is never read here.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time

from trustcenter.auth import Principal
from trustcenter.errors import UnavailableError
from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import singles

from .access import Access, bearer
from .heads import HEADS
from .logs import RequestLine, write_request
from .metrics import METRICS
from .middleware import ACCESS, INSTANCE, request_ids
from .problems import problem
from .routes import site as site_routes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

_BYTES: Final = 4096  # of a whole request
_NOTHING_TO_IT: Final = frozenset({b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language"})
_TYPES: Final = frozenset({b"application/json", b"application/json; charset=utf-8"})
_START: Final = re.compile(rb"POST /v1/domains/([a-z0-9.-]{1,200})/pseudonyms HTTP/1\.1")
_HEADER: Final = re.compile(rb"([A-Za-z-]+):[ ]?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_LENGTH: Final = re.compile(rb"[1-9][0-9]{0,3}")
_STOPPING: Final = UnavailableError("the service is stopping", code="stopping", hint="send the request again")
_ROUTE: Final = next(route for route in site_routes.ROUTES if route.name == "pseudonymize")

_decoder = msgspec.json.Decoder(api.PseudonymRequest)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class Plain:
    """A request of the usual form.

    Attributes:
        domain: its name, as the path has it.
        token: of the Authorization header; None without one.
        body: as many bytes as announced.
    """

    domain: str
    token: str | None
    body: bytes


@dataclass(eq=False)
class Asked:
    """A request that is being answered."""

    id: str
    caller: Principal
    started: float  # seconds, monotonic
    ask: singles.Ask


def read(data: bytes) -> Plain | Literal["more"] | None:
    """One whole request of the usual form, "more" if all that lacks is a part of its body, or None for anything else.

    Whether the body is JSON is not looked at.
    """
    if len(data) > _BYTES or not data.startswith(b"POST /v1/domains/"):
        return None
    head, end, body = data.partition(b"\r\n\r\n")
    start, *fields = head.split(b"\r\n")
    path = _START.fullmatch(start)
    if not end or path is None:
        return None
    known: dict[bytes, bytes] = {}
    for field in fields:
        found = _HEADER.fullmatch(field)
        if found is None:
            return None
        name = found[1].lower()
        if name in known:
            return None
        known[name] = found[2]
    length, authorization = known.pop(b"content-length", b""), known.pop(b"authorization", None)
    if b"host" not in known or not _LENGTH.fullmatch(length):
        return None
    if (
        known.pop(b"content-type", b"") not in _TYPES
        or known.pop(b"connection", b"keep-alive").lower() != b"keep-alive"
    ):
        return None
    if not _NOTHING_TO_IT.issuperset(known):
        return None
    lacking = int(length) - len(body)
    if lacking > 0 and len(data) + lacking <= _BYTES:
        return "more"
    if lacking:
        return None
    return Plain(path[1].decode(), bearer(authorization.decode()) if authorization is not None else None, body)


class Lane:
    """The short way of one application."""

    def __init__(self, app: web.Application) -> None:
        self._access: Access = app[ACCESS]
        self._heads = app[HEADS]
        self._metrics = app[METRICS]
        self._registrar = app[INSTANCE].registrar

    def certificate(self, transport: asyncio.BaseTransport | None) -> bytes | None:
        """What `take` is told of a connection's certificate."""
        return self._access.certificate(transport)

    def take(self, plain: Plain, certificate: bytes | None) -> Asked | None:
        """Begin to answer a request; None where the other way must, and nothing was done."""
        started = time.perf_counter()
        try:
            body = _decoder.decode(plain.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if body.mode != "create" or len(body.originals) > singles.SMALL:
            return None
        waiting = singles.of(self._registrar)
        caller = self._access.recall(plain.token, certificate, _ROUTE) if waiting.serves(plain.domain) else None
        if caller is None:
            return None
        id_ = request_ids.draw()
        ask = waiting.ask(caller, id_, plain.domain, body.originals)
        return Asked(id_, caller, started, ask)

    def answer(self, asked: Asked) -> bytes | None:
        """The response to a request whose `ask.answer` is done; None where the other way must, and nothing was done."""
        answer = singles.told(asked.ask)
        if answer is None:
            self._access.uncount(asked.caller, _ROUTE)  # the other way counts it
            return None
        log = self._heads.lines(asked.id, True, True)
        return self._told(asked, 200, "OK", "application/json", log, _encoder.encode(answer))

    def stopping(self, asked: Asked) -> bytes:
        """The response where the other way would have to answer, and takes nothing any more: the service stops."""
        status, body = problem(_STOPPING, asked.id)
        last = {"Retry-After": "1", "Connection": "close"}
        return self._told(asked, status, "Service Unavailable", "application/problem+json", last, body)

    def _told(
        self, asked: Asked, status: int, reason: str, content_type: str, more: Mapping[str, str], body: bytes
    ) -> bytes:
        lines = "".join(f"{name}: {text}\r\n" for name, text in more.items())
        head = (
            f"HTTP/1.1 {status} {reason}\r\n"
            f"X-Request-Id: {asked.id}\r\n"
            "Cache-Control: no-store\r\n"
            f"Content-Type: {content_type}\r\n"
            "Server: trustcenter\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            f"{lines}"
            f"Content-Length: {len(body)}\r\n"
            f"Date: {rfc822_formatted_time()}\r\n"
            "\r\n"
        )
        spent = time.perf_counter() - asked.started
        code = "" if status == 200 else _STOPPING.code
        self._metrics.observe(_ROUTE.path, asked.caller.name, str(status), spent)
        write_request(RequestLine(asked.id, "POST", _ROUTE.path, status, code, round(spent * 1000, 1)))
        return head.encode() + body
