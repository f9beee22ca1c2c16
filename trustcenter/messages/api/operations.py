"""What can be done with pseudonyms beyond create-or-get, and what a domain may be made to promise."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from trustcenter.messages.common import Count, Message

from .service import ItemError


class Suite(StrEnum):
    """How pseudonyms are made: computed under two keys, or drawn at random and stored."""

    COMPUTED = "computed"
    DRAWN = "drawn"


class DrawnFormat(Message, frozen=True, kw_only=True):
    """Format of suite "drawn": a name of an alphabet or its characters, information characters, check characters."""

    prefix: Annotated[str, msgspec.Meta(max_length=32)] = ""
    alphabet: Annotated[str, msgspec.Meta(min_length=2, max_length=128)]
    length: Annotated[int, msgspec.Meta(ge=1, le=64)]
    check: Literal["none", "damm", "verhoeff", "hamming", "reed-solomon"] = "none"


class DomainClose(Message, frozen=True, kw_only=True):
    """Closes a domain: no more issue from now on, its keys destroyed after so many days."""

    days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 30


class AdditionalRequest(Message, frozen=True, kw_only=True):
    """`count` more pseudonyms for each original, in order; the same original twice gets twice as many."""

    originals: list[str]
    count: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1


class AdditionalAnswer(Message, frozen=True, kw_only=True):
    """The new pseudonyms per original, in order; null where `errors` names the index."""

    pseudonyms: list[list[str] | None]
    errors: list[ItemError]
    key_version: int
    repeated: bool  # the request was answered before, and this is that answer


class ValidateRequest(Message, frozen=True, kw_only=True):
    """Pseudonyms to be looked up."""

    pseudonyms: list[str]


class ValidateAnswer(Message, frozen=True, kw_only=True):
    """A verdict per pseudonym, in order."""

    results: list[Literal["ok", "wrong_check_characters", "unknown_pseudonym", "ambiguous"]]


class Selection(Message, frozen=True, kw_only=True):
    """Either pseudonyms or originals. An original stands for all of its pseudonyms."""

    pseudonyms: list[str] | None = None
    originals: list[str] | None = None


class RemovalAnswer(Message, frozen=True, kw_only=True):
    """What became of each item, in order; null where `errors` names the index. `rows`: entries changed."""

    results: list[Literal["anonymised", "deleted"] | None]
    errors: list[ItemError]
    rows: Count


class ImportPair(Message, frozen=True, kw_only=True):
    """A pseudonym that exists elsewhere, and its original."""

    original: str
    pseudonym: str


class ImportRequest(Message, frozen=True, kw_only=True):
    """Pairs of another system."""

    pairs: list[ImportPair]


class ImportAnswer(Message, frozen=True, kw_only=True):
    """What became of each pair, in order; null where `errors` names the index."""

    results: list[Literal["imported", "present"] | None]
    errors: list[ItemError]
    imported: Count
