"""One method per operation of the HTTP interface, version 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from trustcenter.client.logs.audit_heads import HeadWatch
from trustcenter.client.parts.audit import AuditOperations
from trustcenter.client.parts.consent import ConsentOperations
from trustcenter.client.parts.enrolment import EnrolmentOperations
from trustcenter.client.parts.keys import KeyOperations
from trustcenter.client.parts.operations import DomainOperations
from trustcenter.client.parts.pseudonyms import PseudonymOperations
from trustcenter.client.parts.reidentify_calls import ReidentifyOperations
from trustcenter.client.parts.rows import RowOperations
from trustcenter.client.parts.secret_calls import SecretOperations
from trustcenter.client.parts.studying import StudyOperations
from trustcenter.messages import api as m

from .answers import quoted
from .coalesce import Coalescer
from .connection import Connection
from .settings import DEFAULT, Settings
from .transport import Transport


class TrustCenter(
    PseudonymOperations,
    DomainOperations,
    ReidentifyOperations,
    ConsentOperations,
    AuditOperations,
    KeyOperations,
    EnrolmentOperations,
    SecretOperations,
    StudyOperations,
    RowOperations,
):
    """Asynchronous client of one service, as one caller.

    Example:
        async with TrustCenter(Connection.load(path)) as center:
            answer = await center.pseudonymize("uk-nord", ["4711", "4712"])

    Every method raises `RemoteError` (the service's code and hint), `UnreachableError`, or `BadAnswerError`.
    Calls that may be repeated without another effect are retried; the others never are.
    """

    def __init__(
        self,
        connection: Connection,
        settings: Settings = DEFAULT,
        *,
        heads: Path | None = None,
        waiting: Callable[[float], None] | None = None,
    ) -> None:
        """One caller.

        Args:
            connection: where, and as whom.
            settings: batching and patience.
            heads: a site's file of the log's heads; with it, leaving the context holds every head that came with an
                answer against the one kept before, and raises `LogForkedError` where the log was rewritten.
            waiting: called once where a service that has answered does not for a while and calls are tried again, with
                the seconds for which they still are.
        """
        self.connection = connection
        self.settings = settings
        self._http = Transport(connection, settings, waiting=waiting)
        self._rows = self._http
        if connection.comparator is not None:
            self._rows = Transport(connection.rows, settings, waiting=waiting)
        if heads is not None:
            self._http.heads = HeadWatch(heads, connection.log_key)
        self._queues: dict[tuple[str, str], Coalescer] = {}

    @property
    def transport(self) -> Transport:
        """What carries the requests, for jobs of whole files."""
        return self._http

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        if self._rows is not self._http:
            await self._rows.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        queues = list(self._queues.values())
        self._queues.clear()
        for queue in queues:
            await queue.close()
        try:
            if self._http.heads is not None and kind is None:
                await self._http.heads.settle(self)
        finally:
            await self._http.__aexit__(kind, error, trace)
            if self._rows is not self._http:
                await self._rows.__aexit__(kind, error, trace)

    # --- sites and staff -----------------------------------------------------------------------------

    async def create_site(self, site: m.SiteCreate) -> m.Site:
        """Admit an institution."""
        return await self._post("/v1/sites", site, m.Site)

    async def sites(self) -> list[m.Site]:
        """All sites."""
        return (await self._get("/v1/sites", m.Sites)).sites

    async def add_staff(self, person: m.StaffCreate) -> m.StaffAdded:
        """Add a person at the centre."""
        return await self._post("/v1/staff", person, m.StaffAdded)

    async def staff(self) -> list[m.Staff]:
        """All staff."""
        return (await self._get("/v1/staff", m.StaffList)).staff

    # --- domains and keys ----------------------------------------------------------------------------

    async def create_domain(self, domain: m.DomainCreate) -> m.Domain:
        """A pseudonym domain for a site, with everything that it shall promise."""
        return await self._post("/v1/domains", domain, m.Domain)

    async def domains(self) -> list[m.Domain]:
        """The domains that the caller may see."""
        return (await self._get("/v1/domains", m.Domains)).domains

    async def domain(self, name: str) -> m.Domain:
        """One domain."""
        return await self._get(f"/v1/domains/{quoted(name)}", m.Domain)

    async def keys(self) -> list[m.KeyVersion]:
        """Every key version and its state."""
        return (await self._get("/v1/keys", m.Keys)).keys
