"""From a pseudonym to its row, whatever made it: computed under any live key version, drawn, or imported.

A text that two of them claim is nobody's. Deleted, expired, foreign and forged texts have one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from keys import computed, drawn
from trustcenter.store import Connection

from . import drawn as stored
from . import translate
from .context import Context
from .domains import DomainRow
from .policy import DRAWN


@dataclass(frozen=True)
class Question:
    """Texts, read and tagged: what can be done without the database."""

    parsed: computed.Parsed
    tags: list[bytes]  # empty: the domain stores no strings
    status: NDArray[np.int8]  # by the domain's suite: 0 well formed, 1 malformed, 2 wrong check characters


def read(context: Context, domain: DomainRow, texts: Sequence[str]) -> Question:
    """Read texts and compute their tags. Run it in a thread."""
    parsed = computed.parse(list(texts))
    if domain.policy.suite == DRAWN:
        status = drawn.statuses(stored.format_of(domain), texts)
        return Question(parsed, stored.tags(context, domain, texts), status)
    return Question(parsed, stored.tags(context, domain, texts) if domain.strings else [], parsed.status)


def rows(
    context: Context, conn: Connection, domain: DomainRow, question: Question, now: datetime
) -> list[tuple[int, bytes] | None]:
    """The live row (serial, nonce) behind each text; None where there is none, or more than one."""
    found: list[tuple[int, bytes] | None]
    if domain.policy.suite == DRAWN:
        found = [None] * len(question.status)
    else:
        found = translate.resolve(context, conn, domain, question.parsed.blocks, question.parsed.status)
    if not question.tags:
        return found
    owners = stored.owners(conn, domain.id, question.tags)
    moment = now.timestamp()
    for index, tag in enumerate(question.tags):
        owner = owners.get(tag)
        if owner is None:
            continue
        serial, _, status, nonce, expires = owner
        if status == 0 and (expires is None or expires > moment):
            found[index] = (serial, nonce) if found[index] is None else None
    return found
