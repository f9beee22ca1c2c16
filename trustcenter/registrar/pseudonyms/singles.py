"""Small requests that arrive together are issued together: one transaction, one look-up, one insert, one commit.

What each gets is what it would have got alone, in the order of arrival, with its own entry in the log. Everything out
of the ordinary (a foreign or closed domain, a policy, a used-up quota, a failure) is left to the ordinary path, which
takes the requests one by one and knows what to say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keys.ids import Purpose
from trustcenter.auth import Operation, Principal
from trustcenter.errors import QuotaExceededError, TrustCenterError
from trustcenter.messages import api
from trustcenter.registrar import policy
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection

from . import batches, counting, issue, layout, newrows, rows, tagging

SMALL: Final = 16  # originals; larger requests gain nothing from company
_TOGETHER: Final = 256  # requests in one transaction
_RECENT: Final = 1.0  # seconds
_QUIET: Final = 3  # rounds of the event loop without a new request, after which nobody is waited for
_GATHER_SECONDS: Final = 0.01  # at most


@dataclass(eq=False)
class Ask:
    """One request that waits; `answer` is done when its transaction is, and None where nothing was done for it."""

    caller: Principal
    request: str
    domain: str
    count: int
    good: list[int]
    values: list[bytes]
    errors: list[api.ItemError]
    answer: asyncio.Future[_Answer | None]


@dataclass
class _Answer:
    """What became of a request: the pseudonym of each good original, in order."""

    version: int
    created: int
    strings: list[str]


class Singles:
    """The requests that wait for the next transaction. Lives on one event loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: list[Ask] = []
        self._flight: asyncio.Task[None] | None = None
        self._last = -_RECENT  # when the last request came, on the monotonic clock
        self._special: set[str] = set()  # domains with a policy, which never changes

    def serves(self, domain: str) -> bool:
        """Whether requests for a domain may be answered here, as far as is known."""
        return domain not in self._special

    def busy(self) -> bool:
        """Whether small requests have arrived lately, who would wait behind a long transaction."""
        return time.monotonic() - self._last < _RECENT

    async def issue(
        self, caller: Principal, request: str, domain: str, originals: Sequence[str]
    ) -> api.PseudonymAnswer | None:
        """Pseudonyms of a few originals, created where they do not exist; None: only the ordinary path can answer."""
        if not self.serves(domain):
            return None
        asked = self.ask(caller, request, domain, originals)
        await asked.answer
        return told(asked)

    def ask(self, caller: Principal, request: str, domain: str, originals: Sequence[str]) -> Ask:
        """The same for who does not wait: `told` says what came of it once `answer` is done."""
        good, errors = issue.check_originals(originals, self._context.limits.original_chars)
        values = [originals[index].encode() for index in good]
        future = asyncio.get_running_loop().create_future()
        asked = Ask(caller, request, domain, len(originals), good, values, errors, future)
        self._last = time.monotonic()
        self._waiting.append(asked)
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._fly())
        return asked

    async def _fly(self) -> None:
        """One transaction after the other until nobody waits."""
        while self._waiting:
            await self._gather()
            part, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            part = [ask for ask in part if not ask.answer.done()]  # those that nobody waits for any more
            decided: list[_Answer | None]
            try:
                decided = await self._context.db.write(
                    lambda conn, part=part: _decide(self._context, conn, part, self._special)  # type: ignore[misc]
                )
            except Exception:  # nothing was kept, and the ordinary path meets it again
                decided = [None] * len(part)
            for ask, answer in zip(part, decided, strict=True):
                if not ask.answer.done():
                    ask.answer.set_result(answer)

    async def _gather(self) -> None:
        """Let requests that have arrived, and are not read yet, come along.

        Otherwise reading them and the transaction run at the same time on two threads, which take the interpreter from
        each other at every call of the network and the database, and each waits longer than it would for the other.
        """
        until, quiet, before = time.monotonic() + _GATHER_SECONDS, 0, len(self._waiting)
        while quiet < _QUIET and before < _TOGETHER and time.monotonic() < until:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._waiting) == before else 0
            before = len(self._waiting)


def told(asked: Ask) -> api.PseudonymAnswer | None:
    """What a request that was decided gets; None: only the ordinary path can answer it."""
    decided = asked.answer.result()
    if decided is None:
        return None
    answer: list[str | None] = [None] * asked.count
    for index, string in zip(asked.good, decided.strings, strict=True):
        answer[index] = string
    return api.PseudonymAnswer(
        pseudonyms=answer, errors=asked.errors, key_version=decided.version, created=decided.created
    )


def of(context: Context) -> Singles:
    """The one collector of a registrar."""
    if not isinstance(context.singles, Singles):
        context.singles = Singles(context)
    return context.singles


def _decide(context: Context, conn: Connection, asks: Sequence[Ask], special: set[str]) -> list[_Answer | None]:
    """Answers in order; None for those that are not ordinary, for which nothing was done.

    Domains that turn out to have a policy are added to `special`.
    """
    together: dict[tuple[str, Principal], list[int]] = {}  # callers' rights differ, even those of one site
    for place, ask in enumerate(asks):
        together.setdefault((ask.domain, ask.caller), []).append(place)
    answers: list[_Answer | None] = [None] * len(asks)
    for (name, caller), places in together.items():
        part = [asks[place] for place in places]
        try:
            domain = batches.find_own(context, conn, caller, name, Operation.ISSUE)
            policy.require_open(conn, domain.id)
            version = context.ring.active(conn, domain.scope, Purpose.PSEUDONYM).version
        except TrustCenterError:
            continue
        if not domain.policy.plain:
            special.add(name)
            continue
        decided = _issue(context, conn, domain, version, part)
        if decided is not None:
            for place, answer in zip(places, decided, strict=True):
                answers[place] = answer
    return answers


def _issue(
    context: Context, conn: Connection, domain: DomainRow, version: int, asks: Sequence[Ask]
) -> list[_Answer] | None:
    """Answers of requests for one domain; None if the day's quota does not suffice for all of them."""
    values = [value for ask in asks for value in ask.values]
    tags = tagging.settle(context, conn, domain, values, tagging.tags(context, domain, values))
    found = context.tags.find(conn, domain.id, tags)
    known = found.rows
    unseen = dict.fromkeys(tag for tag in tags if tag not in known)
    lots, created, start = [], [], 0
    for ask in asks:
        mine = zip(tags[start : start + len(ask.values)], ask.values, strict=True)
        start += len(ask.values)
        fresh = {tag: value for tag, value in mine if tag in unseen}
        for tag in fresh:
            del unseen[tag]  # an original that several ask for is created for the first of them
        created.append(len(fresh))
        if fresh:
            lots.append(newrows.Lot(fresh, ask.caller.name, ask.request))
    strings: dict[bytes, str] = {}
    if known:
        texts = layout.format_rows(context, domain, version, *rows.columns(list(known.values())))
        strings.update(zip(known, texts, strict=True))
    if lots:
        try:
            counting.count_new(context, conn, domain, sum(created))
        except QuotaExceededError:
            return None
        made = newrows.make(context, conn, domain, version, lots)
        context.tags.add(conn, domain.id, dict(zip(made.tags, made.serials.tolist(), strict=True)), found.taken)
        strings.update(zip(made.tags, made.strings, strict=True))
    answers, start = [], 0
    for ask, count in zip(asks, created, strict=True):
        mine_in_order = tags[start : start + len(ask.values)]
        start += len(ask.values)
        answers.append(_Answer(version, count, [strings[tag] for tag in mine_in_order]))
    return answers
