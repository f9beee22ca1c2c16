"""HTTP under the client: pinned TLS, bounded concurrency, retries, problems turned into errors.

Rules:

* Only the authority of the connection file is trusted; environment proxies, redirects, cookies and compressed
  answers are not followed or accepted.
* Retried are 429 (always: nothing was done), and 503 and lost connections for calls that may be repeated without
  another effect. Waits double, with full jitter, on top of `Retry-After`; where that is longer than what is left of
  the time for retries, the call fails at once with the service's answer.
* A service that has never answered is given up within five seconds; one that has answered before is given the
  time of a restart.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from yarl import URL

import trustcenter
from trustcenter.client.logs.audit_heads import ENTRY, HEAD, HeadWatch
from trustcenter.messages.api import Problem

from .absence import Absence
from .connection import Connection
from .errors import BadAnswerError, RemoteError, UnreachableError
from .resolver import AbandonableResolver
from .settings import DEFAULT, Settings
from .untrusted import untrusted

_LOST: Final = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)
_TOO_MANY: Final = 429
_UNAVAILABLE: Final = 503
_PROBLEM_BYTES: Final = 64 * 2**10


class Transport:
    """A session with one service. Use as an asynchronous context manager."""

    def __init__(
        self, connection: Connection, settings: Settings = DEFAULT, *, waiting: Callable[[float], None] | None = None
    ) -> None:
        """Not connected yet.

        Args:
            connection: to whom, and as whom.
            settings: limits.
            waiting: called once in every stretch without the service that lasts, with the seconds for which it is
                still tried.
        """
        connection.check()
        self.settings = settings
        self._base = URL(connection.url.rstrip("/"))
        self._tls = connection.tls()
        self._token = connection.token
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._answered = False
        self._absence = Absence(settings, waiting)
        self.heads: HeadWatch | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            ssl=self._tls, limit=self.settings.concurrency + 1, resolver=AbandonableResolver()
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={
                **({"Authorization": f"Bearer {self._token}"} if self._token else {}),
                "User-Agent": f"trustcenter/{trustcenter.__version__}",
                "Accept-Encoding": "identity",
            },
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._absence.end()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        repeatable: bool,
    ) -> bytes:
        """The body of a successful answer, read whole.

        Raises:
            RemoteError: the service answered with a problem.
            UnreachableError, BadAnswerError, VerificationError: no answer, a wrong one, a wrong certificate.
        """
        started, attempt = time.monotonic(), 0
        while True:
            try:
                async with (
                    self._slots,
                    self._open(method, path, body, content_type, headers, self._patience(started)) as response,
                ):
                    return await _read(response, self.settings.answer_bytes)
            except RemoteError as error:
                if not self._again(error, started, repeatable=repeatable):
                    raise
                wait = error.retry_after
                self._note(error, started)
            except _LOST as error:
                if not repeatable or not self._time_left(started):
                    raise self._unreachable(error) from error
                wait = 0.0
                self._note(error, started)
            attempt += 1
            await asyncio.sleep(wait + self._pause(attempt))

    @asynccontextmanager
    async def stream(self, path: str, *, body: bytes | None = None) -> AsyncIterator[aiohttp.StreamReader]:
        """The body of a successful GET, or of a POST of JSON that changes nothing, as a stream.

        Not retried once it has begun: a cut stream is for the caller to judge.

        Raises:
            RemoteError, UnreachableError, BadAnswerError, VerificationError: as `call`.
        """
        started, attempt = time.monotonic(), 0
        begun = False
        while True:
            wait = 0.0
            try:
                async with (
                    self._slots,
                    self._open(
                        "GET" if body is None else "POST", path, body, "application/json", None, self._patience(started)
                    ) as response,
                ):
                    begun = True
                    yield response.content
                    return
            except RemoteError as error:
                if begun or not self._again(error, started, repeatable=True):
                    raise
                wait = error.retry_after
                self._note(error, started)
            except _LOST as error:
                if begun or not self._time_left(started):
                    raise self._unreachable(error) from error
                self._note(error, started)
            attempt += 1
            await asyncio.sleep(wait + self._pause(attempt))

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str,
        headers: Mapping[str, str] | None,
        patience: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("use the client inside `async with`")
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Type"] = content_type
        # `encoded`: path segments are quoted by the caller, a "%2F" must not become a slash again.
        url = URL(str(self._base) + path, encoded=True)
        try:
            async with self._session.request(
                method, url, data=body, headers=sent, allow_redirects=False, timeout=patience
            ) as response:
                self._answered = True
                if not 200 <= response.status < 300:
                    raise await _problem(response)
                self._absence.end()
                if self.heads is not None:
                    self.heads.note(response.headers.get(HEAD), response.headers.get(ENTRY))
                yield response
        except aiohttp.ClientConnectorCertificateError as error:
            raise untrusted(error.certificate_error) from error
        except aiohttp.ClientConnectorSSLError as error:
            raise BadAnswerError(
                "the service does not speak TLS as expected",
                code="tls_failed",
                hint="check the url of the connection file",
            ) from error

    def _again(self, error: RemoteError, started: float, *, repeatable: bool) -> bool:
        # 429 is answered before anything is done, so it may be tried again whatever the call would have done.
        if error.status != _TOO_MANY and not (repeatable and error.status == _UNAVAILABLE):
            return False
        # A service that asks for more than is left of the time (a quota of the day) is believed at once.
        left = started + self.settings.retry_for - time.monotonic()
        return self._time_left(started) and error.retry_after <= left

    def _note(self, error: Exception, started: float) -> None:
        """A try failed and another follows. A service that has never answered is given up before anybody is told."""
        if self._answered and getattr(error, "status", _UNAVAILABLE) == _UNAVAILABLE:
            self._absence.begin(started)

    def _time_left(self, started: float) -> bool:
        budget = self.settings.retry_for if self._answered else self.settings.first_retries
        return time.monotonic() - started < budget

    def _patience(self, started: float) -> aiohttp.ClientTimeout:
        connect = self.settings.connect_timeout
        if not self._answered:
            connect = max(0.1, min(connect, started + self.settings.first_contact - time.monotonic()))
        return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=self.settings.read_timeout)

    def _pause(self, attempt: int) -> float:
        ceiling = min(self.settings.backoff * float(2 ** min(attempt, 16)), self.settings.backoff_max)
        if not self._answered:
            ceiling = min(ceiling, 0.5)
        return ceiling * secrets.randbelow(1000) / 1000

    def _unreachable(self, error: BaseException) -> UnreachableError:
        if self._answered:
            return UnreachableError(
                "the connection to the service was lost", hint="try again; nothing was left half done"
            )
        if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)) and not isinstance(
            error, aiohttp.ClientConnectorError
        ):
            return UnreachableError(
                "the service takes the connection and ends it without an answer",
                hint="does it ask for a client certificate (docs/how-to/access.md), or have too many connections?",
            )
        return UnreachableError(
            "the service does not answer",
            hint="check that it runs, the url of the connection file, and the firewall",
        )


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(2**18):
        size += len(part)
        if size > limit:
            raise BadAnswerError(
                "the answer of the service is larger than this client accepts", code="answer_too_large"
            )
        parts.append(part)
    return b"".join(parts)


async def _problem(response: aiohttp.ClientResponse) -> RemoteError:
    """The error for an answer that is not a success, be it a problem+json or a gateway's page."""
    problem: Problem | None = None
    if response.content_type == "application/problem+json":
        try:
            problem = msgspec.json.decode(await _read(response, _PROBLEM_BYTES), type=Problem)
        except (msgspec.DecodeError, BadAnswerError):
            problem = None
    if problem is None:
        problem = Problem(
            type="about:blank",
            title="unexpected answer",
            status=response.status,
            code="unexpected_answer",
            detail=f"the service or a gateway answered with status {response.status} and no problem",
            hint="check the url of the connection file and the version of the service",
        )
    else:
        # The status line decides: the exit code must not depend on what a body claims.
        problem = msgspec.structs.replace(problem, status=response.status)
    error = RemoteError.of(problem)
    after = response.headers.get("Retry-After", "")
    error.retry_after = float(after) if after.isascii() and after.isdigit() and len(after) < 6 else 0.0
    return error
