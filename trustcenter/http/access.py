"""Who may come in, and how often: credentials, certificates, roles and rates, before a body is read."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from trustcenter.auth import Operation, Principal
from trustcenter.auth.certificates import fingerprint
from trustcenter.auth.limiter import RateLimiter, network
from trustcenter.errors import ForbiddenError, LimitError, RateLimitedError, UnauthorizedError, UnavailableError
from trustcenter.instance.between import cards
from trustcenter.instance.opened import Instance

from .calls import PEER, Route
from .refusals import RefusalLog

_NOBODY = Principal("", "nobody", "")
_REFUSALS = frozenset({401, 403, 429})
_FOREIGN = frozenset({"unknown_domain", "unknown_study"})  # answered as if they were not there: perhaps another's


class Access:
    """The entrance of one application. Lives on its event loop."""

    def __init__(self, instance: Instance) -> None:
        limits = instance.config.limits
        self._gate = instance.gate
        self._peer = cards.pinned(instance.config)
        self._certificates = instance.config.server.client_certificates != "off"
        self._rates = {
            "reverse": RateLimiter(limits.reverse_per_second, limits.reverse_burst),
            "": RateLimiter(limits.requests_per_second, limits.request_burst),
            "enrol": RateLimiter(limits.failures_per_minute / 600, limits.failures_per_minute / 10),
        }
        self._failures = RateLimiter(limits.failures_per_minute / 60, limits.failures_per_minute)
        self._bodies_free = limits.bodies_bytes
        self._body_bytes = limits.body_bytes
        self.refusals = RefusalLog(instance.gate, limits.refusal_window)

    async def admit(self, request: web.Request, route: Route) -> Principal:
        """The caller, who has one of the route's roles and may call once more.

        Raises:
            UnauthorizedError: no valid credential, or two of different callers.
            RateLimitedError: too often, or too many failures from this address.
            ForbiddenError: a valid credential whose role may not call this.
        """
        source = network(request.remote or "")
        if route.roles == PEER:
            return self._admit_peer(request, source)
        if not route.roles:
            self._rate(_NOBODY, route, source)
            return _NOBODY
        principal = await self._authenticate(request, source)
        request["principal"] = principal
        self._rate(principal, route, principal.name)
        if principal.role not in route.roles:
            raise ForbiddenError(
                "your role may not do this",
                hint=f"this needs the role {' or '.join(sorted(route.roles))}",
            )
        if principal.is_site and route.path.startswith("/v1/studies/{study}"):
            principal.scope.require(Operation.STUDY)
        return principal

    def _admit_peer(self, request: web.Request, source: str) -> Principal:
        """The other room, by the certificate that was pinned when the rooms were paired.

        Raises:
            ForbiddenError: another certificate, or none. RateLimitedError: too often another one.
        """
        # Whoever shows the pinned certificate passes: strangers behind the same address do not lock the registrar out.
        if self._peer is not None and _shown(request.transport) == self._peer:
            return Principal("registrar", "peer", "")
        self._require_few_failures(source)
        self._failures.take(source)
        raise ForbiddenError(
            "only the paired registrar may ask this, by its certificate",
            code="not_the_peer",
            hint="pair the rooms anew where a certificate was renewed: trustcenter rooms pair",
        )

    @contextmanager
    def body(self, request: web.Request) -> Iterator[None]:
        """Room in memory for the body of a request while it is handled. A body of unknown length counts as the largest.

        Raises:
            LimitError: larger than any body may be.
            UnavailableError: too many large bodies at the same time.
        """
        if not request.can_read_body:
            yield
            return
        size = request.content_length if request.content_length is not None else self._body_bytes
        if size > self._body_bytes:
            raise LimitError("the request body is too large", code="body_too_large", hint="send smaller batches")
        if size > self._bodies_free:
            raise UnavailableError(
                "too many large requests at the same time", code="busy", hint="try again, with smaller batches"
            )
        self._bodies_free -= size
        try:
            yield
        finally:
            self._bodies_free += size

    def note(self, request: web.Request, status: int, code: str) -> None:
        """Take note of an answer, for the audit log's refusals."""
        if status in _REFUSALS or code in _FOREIGN:
            self.refusals.note(request.get("principal"), code, request["request_id"])

    def uncount(self, principal: Principal, route: Route) -> None:
        """Take back that `recall` has counted a call: nothing was done for it, and `admit` counts it."""
        self._limiter(route).put_back((principal.role == "site", principal.name, route.kind))

    def _limiter(self, route: Route) -> RateLimiter:
        return self._rates.get(route.kind, self._rates[""])

    def _rate(self, principal: Principal, route: Route, who: str) -> None:
        limiter = self._limiter(route)
        rate = principal.requests_per_second if limiter is self._rates[""] else None
        wait = limiter.take((principal.role == "site", who, route.kind), rate=rate)
        if wait:
            raise RateLimitedError(
                "more requests than this caller may send", retry_after=wait, hint="send batches instead of single items"
            )

    def recall(self, token: str | None, certificate: bytes | None, route: Route) -> Principal | None:
        """The caller with this credential, if looked up a moment ago and allowed on this route now; counts the call.

        None says nothing of the caller: `admit` decides.
        """
        principal = self._remembered(_key(token, certificate))
        if principal is None or principal.role not in route.roles:
            return None
        try:
            self._rate(principal, route, principal.name)
        except RateLimitedError:
            return None
        return principal

    def certificate(self, transport: asyncio.BaseTransport | None) -> bytes | None:
        """Fingerprint of the certificate that counts as a credential on this connection."""
        return _shown(transport) if self._certificates else None

    def _remembered(self, key: bytes) -> Principal | None:
        principal = self._gate.directory.cache.get(key)
        return principal if principal is not None and self._gate.directory.is_valid(principal) else None

    async def _authenticate(self, request: web.Request, source: str) -> Principal:
        token, certificate = bearer(request.headers.get("Authorization")), self.certificate(request.transport)
        directory = self._gate.directory
        key = _key(token, certificate)
        principal = self._remembered(key)
        if principal is not None:
            return principal
        if not directory.cache.seen(key):
            self._require_few_failures(source)
        generation = directory.cache.generation
        try:
            if token is None and certificate is None:
                raise UnauthorizedError(
                    "a valid access token is needed", hint="send it as: Authorization: Bearer tc1_..."
                )
            principal = await self._gate.db.read(lambda conn: directory.authenticate(conn, token, certificate))
        except UnauthorizedError:
            self._failures.take(source)
            raise
        directory.cache.put(key, principal, generation)
        return principal

    def _require_few_failures(self, source: str) -> None:
        # Credentials that were valid before pass: strangers behind the same address do not lock out its clients.
        wait = self._failures.wait(source)
        if wait:
            raise RateLimitedError(
                "too many failed authentications from this address",
                code="too_many_failures",
                retry_after=wait,
                hint="check the token in the connection file",
            )


def _key(token: str | None, certificate: bytes | None) -> bytes:
    return hashlib.sha256((certificate or b"") + b"\0" + (token or "").encode()).digest()


def _shown(transport: asyncio.BaseTransport | None) -> bytes | None:
    """Fingerprint of the certificate that the TLS handshake has verified; None if none was shown."""
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    der = tls.getpeercert(True) if tls is not None else None
    return fingerprint(der) if der else None


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header; "" for another scheme."""
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
