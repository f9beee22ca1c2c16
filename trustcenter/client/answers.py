"""Reading answers, and paths of requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote

import msgspec

from .errors import BadAnswerError

T = TypeVar("T")


def quoted(segment: str) -> str:
    """One segment of a path."""
    return quote(segment, safe="")


def decoded(body: bytes, kind: type[T]) -> T:
    """An answer of a known form.

    Raises:
        BadAnswerError: it has another.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise unexpected() from None


def as_long(answer: T, items: Sequence[object], asked: Sequence[object]) -> T:
    """The answer, which has as many items as were asked for.

    Raises:
        BadAnswerError: it has not.
    """
    # Positions are all that ties an answer to its question: a wrong length would mix up patients.
    if len(items) != len(asked):
        raise unexpected()
    return answer


def unexpected() -> BadAnswerError:
    """For an answer that this client cannot read."""
    return BadAnswerError(
        "the service answered something that this version of the client does not know",
        hint="compare the versions: trustcenter --version, and GET /version of the service",
    )
