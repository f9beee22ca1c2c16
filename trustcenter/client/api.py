"""One method per operation of the HTTP interface, version 1."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from trustcenter.messages import api as m

from .answers import as_long, decoded, quoted
from .audit import AuditOperations
from .audit_heads import HeadWatch
from .coalesce import Ask, Coalescer
from .connection import Connection
from .consent import ConsentOperations
from .enrolment import EnrolmentOperations
from .keys import KeyOperations
from .ndjson import records
from .operations import DomainOperations
from .rows import RowOperations
from .secret_calls import SecretOperations
from .settings import DEFAULT, Settings
from .studying import StudyOperations
from .transport import Transport


class TrustCenter(
    DomainOperations,
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

    def __init__(self, connection: Connection, settings: Settings = DEFAULT, *, heads: Path | None = None) -> None:
        """One caller.

        Args:
            connection: where, and as whom.
            settings: batching and patience.
            heads: a site's file of the log's heads; with it, leaving the context holds every head that came with an
                answer against the one kept before, and raises `LogForkedError` where the log was rewritten.
        """
        self.connection = connection
        self.settings = settings
        self._http = Transport(connection, settings)
        self._rows = self._http if connection.comparator is None else Transport(connection.rows, settings)
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

    async def create_domain(self, name: str, site: str) -> m.Domain:
        """A pseudonym domain for a site."""
        return await self._post("/v1/domains", m.DomainCreate(name=name, site=site), m.Domain)

    async def domains(self) -> list[m.Domain]:
        """The domains that the caller may see."""
        return (await self._get("/v1/domains", m.Domains)).domains

    async def domain(self, name: str) -> m.Domain:
        """One domain."""
        return await self._get(f"/v1/domains/{quoted(name)}", m.Domain)

    async def keys(self) -> list[m.KeyVersion]:
        """Every key version and its state."""
        return (await self._get("/v1/keys", m.Keys)).keys

    async def rotate(self, domain: str, *, dry_run: bool, expected_version: int | None = None) -> m.RotationPlan:
        """Rotate a domain's pseudonym key, or only plan it."""
        request = m.RotateRequest(dry_run=dry_run, expected_version=expected_version)
        return await self._post(
            f"/v1/domains/{quoted(domain)}/keys/rotate", request, m.RotationPlan, repeatable=dry_run
        )

    # --- pseudonyms ----------------------------------------------------------------------------------

    async def pseudonymize(self, domain: str, originals: Sequence[str]) -> m.PseudonymAnswer:
        """Pseudonyms of one batch, in order. The same originals give the same answer, so it is retried."""
        request = m.PseudonymRequest(originals=list(originals))
        answer = await self._post(
            f"/v1/domains/{quoted(domain)}/pseudonyms", request, m.PseudonymAnswer, repeatable=True
        )
        return as_long(answer, answer.pseudonyms, originals)

    async def translate(
        self, domain: str, pseudonyms: Sequence[str], *, into: str | None = None, create: bool = False
    ) -> m.TranslateAnswer:
        """Current pseudonyms for those of earlier key versions, in order; or, with `into`, those of another domain.

        Args:
            domain: of the pseudonyms.
            pseudonyms: old or current ones.
            into: the domain whose pseudonyms are wanted; None: the same.
            create: make there what does not exist; otherwise such an item is `unknown_original`.
        """
        mode: Literal["create", "get"] = "create" if create else "get"
        request = m.TranslateRequest(pseudonyms=list(pseudonyms), into=into, mode=mode)
        answer = await self._post(
            f"/v1/domains/{quoted(domain)}/translate", request, m.TranslateAnswer, repeatable=True
        )
        return as_long(answer, answer.pseudonyms, pseudonyms)

    async def pseudonym(self, domain: str, original: str) -> str:
        """The pseudonym of one original. Calls made at about the same time share a request.

        Raises:
            ItemRefusedError: the service refuses this original; other calls are not affected.
        """

        async def ask(originals: Sequence[str]) -> tuple[Sequence[str | None], Sequence[m.ItemError]]:
            answer = await self.pseudonymize(domain, originals)
            return answer.pseudonyms, answer.errors

        return await self._queue("pseudonymize", domain, ask)(original)

    async def translate_one(self, domain: str, pseudonym: str) -> str:
        """The current pseudonym for one of an earlier key version; shares requests and raises as `pseudonym`."""

        async def ask(pseudonyms: Sequence[str]) -> tuple[Sequence[str | None], Sequence[m.ItemError]]:
            answer = await self.translate(domain, pseudonyms)
            return answer.pseudonyms, answer.errors

        return await self._queue("translate", domain, ask)(pseudonym)

    async def translations(self, domain: str, from_version: int, after: int = 0) -> AsyncIterator[m.Translation]:
        """The translation map of a domain, streamed; after a cut it goes on `after` the pairs that are there."""
        path = f"/v1/domains/{quoted(domain)}/translations?from_version={from_version:d}"
        async with self._http.stream(path + (f"&after={after:d}" if after else "")) as body:
            async for item in records(body, m.Translation, self.settings.line_bytes):
                yield item

    # --- re-identification ---------------------------------------------------------------------------

    async def request_reidentification(self, domain: str, body: m.ReidentifyRequest) -> m.Reidentification:
        """Request the originals of own pseudonyms; approvers decide."""
        return await self._post(f"/v1/domains/{quoted(domain)}/reidentifications", body, m.Reidentification)

    async def reidentifications(self) -> list[m.Reidentification]:
        """The requests that the caller may see, newest first."""
        return (await self._get("/v1/reidentifications", m.Reidentifications)).reidentifications

    async def reidentification(self, ident: str) -> m.Reidentification:
        """One request."""
        return await self._get(f"/v1/reidentifications/{quoted(ident)}", m.Reidentification)

    async def approve_reidentification(self, ident: str, signature: str) -> m.Reidentification:
        """Approve a request with a signature over its statement; the same one again is harmless."""
        body = m.Approval(signature=signature)
        return await self._post(f"/v1/reidentifications/{quoted(ident)}/approvals", body, m.Reidentification)

    async def deny_reidentification(self, ident: str, reason: str) -> m.Reidentification:
        """Deny a request, or take its ticket back."""
        body = m.Denial(reason=reason)
        return await self._post(f"/v1/reidentifications/{quoted(ident)}/denials", body, m.Reidentification)

    async def originals(self, domain: str, ident: str, pseudonyms: Sequence[str]) -> m.OriginalsAnswer:
        """Originals on an approved ticket, in order. Every call spends a fetch, so none is retried."""
        body = m.OriginalsRequest(pseudonyms=list(pseudonyms))
        path = f"/v1/domains/{quoted(domain)}/reidentifications/{quoted(ident)}/originals"
        answer = await self._post(path, body, m.OriginalsAnswer)
        return as_long(answer, answer.originals, pseudonyms)

    # --- studies: the site's side --------------------------------------------------------------------

    async def register(self, study: str, record_numbers: Sequence[str]) -> list[str | None]:
        """Study pseudonyms of record numbers (32 hex digits each, sorted), in order; None without consent."""
        request = m.RegisterRequest(record_numbers=list(record_numbers))
        answer = await self._post(f"/v1/studies/{quoted(study)}/records", request, m.RegisterAnswer, repeatable=True)
        return as_long(answer.pseudonyms, answer.pseudonyms, record_numbers)

    async def own_records(self, study: str) -> AsyncIterator[m.RecordRefs]:
        """The caller's mapped records and their current refs, streamed."""
        async with self._http.stream(f"/v1/studies/{quoted(study)}/records") as body:
            async for item in records(body, m.RecordRefs, self.settings.line_bytes):
                yield item

    async def send_map(self, study: str, entries: m.MapUpload) -> m.MapAccepted:
        """Tell the registrar which refs belong to which record; the same map again is harmless."""
        return await self._post(f"/v1/studies/{quoted(study)}/maps", entries, m.MapAccepted, repeatable=True)

    async def declare_duplicates(self, study: str, duplicates: m.DuplicateRequest) -> m.DuplicateAnswer:
        """Say which own records are one person; each names the record that stands for it."""
        return await self._post(f"/v1/studies/{quoted(study)}/duplicates", duplicates, m.DuplicateAnswer)

    async def results(self, study: str) -> AsyncIterator[m.ResultLine]:
        """The caller's own records and their study pseudonyms, streamed."""
        async with self._http.stream(f"/v1/studies/{quoted(study)}/results") as body:
            async for item in records(body, m.ResultLine, self.settings.line_bytes):
                yield item

    # --- studies: the centre's side ------------------------------------------------------------------

    async def create_study(self, study: m.StudyCreate) -> m.Study:
        """Set up a study; its parameters are frozen."""
        return await self._post("/v1/studies", study, m.Study)

    async def studies(self) -> list[m.Study]:
        """The studies that the caller may see."""
        return (await self._get("/v1/studies", m.Studies)).studies

    async def study(self, name: str) -> m.Study:
        """One study."""
        return await self._get(f"/v1/studies/{quoted(name)}", m.Study)

    async def start_run(self, study: str, mode: str = "window") -> m.Run:
        """Start a linkage run: a window of what is new, everything ("full"), or that and its weights ("estimate")."""
        return await self._post(f"/v1/studies/{quoted(study)}/runs?mode={quoted(mode)}", None, m.Run)

    async def plan_run(self, study: str, mode: str = "window") -> m.RunPlan:
        """What a run would compare, and how long it would take; none is started."""
        return await self._get(f"/v1/studies/{quoted(study)}/run-plan?mode={quoted(mode)}", m.RunPlan)

    async def run(self, study: str, run: str) -> m.Run:
        """How far a run is."""
        return await self._get(f"/v1/studies/{quoted(study)}/runs/{quoted(run)}", m.Run)

    async def cancel_run(self, study: str, run: str) -> m.Run:
        """Stop a run."""
        answer = await self._http.call("DELETE", f"/v1/studies/{quoted(study)}/runs/{quoted(run)}", repeatable=False)
        return decoded(answer, m.Run)

    async def propose_release(self, study: str, recipient: str) -> m.Release:
        """Propose to hand the join map to a recipient."""
        return await self._post(
            f"/v1/studies/{quoted(study)}/releases", m.ReleaseCreate(recipient=recipient), m.Release
        )

    async def releases(self, study: str) -> list[m.Release]:
        """The releases of a study, newest first."""
        return (await self._get(f"/v1/studies/{quoted(study)}/releases", m.Releases)).releases

    async def release(self, study: str, release: str) -> m.Release:
        """One release and its approvals."""
        return await self._get(f"/v1/studies/{quoted(study)}/releases/{quoted(release)}", m.Release)

    async def approve_release(self, study: str, release: str, signature: str) -> m.Release:
        """Approve a release with a signature over its statement."""
        path = f"/v1/studies/{quoted(study)}/releases/{quoted(release)}/approvals"
        return await self._post(path, m.Approval(signature=signature), m.Release)

    async def join_map(self, study: str, release: str) -> AsyncIterator[bytes]:
        """The sealed join map of a completed release, streamed."""
        async with self._http.stream(f"/v1/studies/{quoted(study)}/releases/{quoted(release)}/join-map") as body:
            async for part in body.iter_chunked(2**18):
                yield part

    # --- helpers -------------------------------------------------------------------------------------

    def _queue(self, kind: str, domain: str, ask: Ask) -> Coalescer:
        queue = self._queues.get((kind, domain))
        if queue is None:
            queue = self._queues[kind, domain] = Coalescer(ask, self.settings)
        return queue
