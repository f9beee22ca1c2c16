"""From a pseudonym to its row, whatever made it: computed under any live key version, drawn, or imported.

A text that two of them claim is nobody's, and called ambiguous. Deleted, expired, foreign and forged texts have one
answer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from keys import computed, drawn
from trustcenter.audit import Event
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.policy import DRAWN, require_keys
from trustcenter.store import Connection

from . import drawn as stored
from . import layout, tagging
from .resolving import Found, resolve

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """Texts, read and tagged: what can be done without the database."""

    parsed: computed.Parsed
    texts: Sequence[str]
    tags: list[bytes]  # of the texts as stored strings; empty: the domain stores none
    status: NDArray[np.int8]  # by the domain's suite: 0 well formed, 1 malformed, 2 wrong check characters


def read(context: Context, domain: DomainRow, texts: Sequence[str]) -> Question:
    """Read texts and compute their tags. Run it in a thread."""
    parsed = computed.parse(list(texts))
    if domain.policy.suite == DRAWN:
        status = drawn.statuses(stored.format_of(domain), texts)
        return Question(parsed, texts, layout.string_tags(context, domain, texts), status)
    return Question(parsed, texts, layout.string_tags(context, domain, texts) if domain.strings else [], parsed.status)


def find(context: Context, conn: Connection, domain: DomainRow, question: Question, now: datetime) -> Found:
    """The live row behind each text. Whoever asks inside a transaction passes the answer to `alarm`; see `asked`."""
    if domain.policy.suite == DRAWN:
        found = Found([None] * len(question.status))
    else:
        found = resolve(context, conn, domain, question.parsed.blocks, question.parsed.status)
    if not question.tags:
        return found
    rows, ambiguous = found.rows, set(found.ambiguous)
    moment = now.timestamp()
    for index, owner in _owners(context, conn, domain, question):
        serial, _, status, nonce, expires = owner
        if status != 0 or (expires is not None and expires <= moment):
            continue
        if rows[index] is not None:
            ambiguous.add(index)
            rows[index] = None
        elif index not in ambiguous:
            rows[index] = (serial, nonce)
    return Found(rows, frozenset(ambiguous), found.above)


def _owners(
    context: Context, conn: Connection, domain: DomainRow, question: Question
) -> Iterator[tuple[int, stored.Owner]]:
    """The entry that each text stands for as a stored string, with its place; under any lookup key in use."""
    rest = list(range(len(question.texts)))
    for version in tagging.in_use(conn, domain.id):
        if version == domain.lookup[0]:
            tags = [question.tags[at] for at in rest]
        else:
            tags = layout.string_tags(context, domain, [question.texts[at] for at in rest], version)
        owners = stored.owners(conn, domain.id, tags)
        yield from ((at, owners[tag]) for at, tag in zip(rest, tags, strict=True) if tag in owners)
        rest = [at for at, tag in zip(rest, tags, strict=True) if tag not in owners]


def asked(context: Context, conn: Connection, domain: DomainRow, question: Question, who: str, request: str) -> Found:
    """As `find`, for a request inside its transaction: the domain's keys must still be in use, and an alarm is raised.

    Raises:
        ConflictError: the domain is closed for good.
    """
    now = context.clock()
    require_keys(conn, domain.id, now)
    found = find(context, conn, domain, question, now)
    alarm(context, conn, domain, found, who, request)
    return found


def rows(
    context: Context, conn: Connection, domain: DomainRow, question: Question, now: datetime
) -> list[tuple[int, bytes] | None]:
    """As `find`, for those who treat every text without a row alike."""
    return find(context, conn, domain, question, now).rows


def alarm(context: Context, conn: Connection, domain: DomainRow, found: Found, who: str, request: str) -> None:
    """Raise the alarm, in the log and in the service's own, if somebody made pseudonyms that were never issued.

    Only both stores together make one, so it means that both have leaked (rule 3 of the suite).
    """
    if found.above:
        context.audit(conn, Event.PSEUDONYM_ALARM, who, request, domain=domain.name, count=found.above)
        _log.critical("pseudonyms above a high-water mark were presented: both stores may have leaked")
