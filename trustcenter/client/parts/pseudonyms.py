"""Calls of a site's pipeline: pseudonyms of originals, and current pseudonyms for those of earlier key versions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal

from trustcenter.client.answers import as_long, quoted
from trustcenter.client.calls import Calls
from trustcenter.client.coalesce import Ask, Coalescer
from trustcenter.client.ndjson import records
from trustcenter.client.settings import Settings
from trustcenter.messages import api as m


class PseudonymOperations(Calls):
    """Part of `TrustCenter`: batches are answered in their order; single values are gathered to batches."""

    settings: Settings
    _queues: dict[tuple[str, str], Coalescer]

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

    def _queue(self, kind: str, domain: str, ask: Ask) -> Coalescer:
        queue = self._queues.get((kind, domain))
        if queue is None:
            queue = self._queues[kind, domain] = Coalescer(ask, self.settings)
        return queue
