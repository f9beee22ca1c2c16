"""Pseudonyms and their translation."""

from __future__ import annotations

from typing import Literal

from trustcenter.messages.common import Count, DomainName, Message

from .service import ItemError


class PseudonymRequest(Message, frozen=True, kw_only=True):
    """Originals to be replaced, in order. Each: 1 to 256 characters, no control characters.

    Mode "create" makes the pseudonyms that do not exist; "get" makes none: such an item is `unknown_original`.
    """

    originals: list[str]
    mode: Literal["create", "get"] = "create"


class PseudonymAnswer(Message, frozen=True, kw_only=True):
    """Pseudonyms in the order of the originals; null where `errors` names the index."""

    pseudonyms: list[str | None]
    errors: list[ItemError]
    key_version: int
    created: Count


class TranslateRequest(Message, frozen=True, kw_only=True):
    """Pseudonyms of earlier key versions; or, with `into`, pseudonyms that are to become those of another domain.

    Mode "create" makes in the other domain what does not exist; "get" makes none: such an item is `unknown_original`.
    """

    pseudonyms: list[str]
    into: DomainName | None = None
    mode: Literal["create", "get"] = "get"


class TranslateAnswer(Message, frozen=True, kw_only=True):
    """Current pseudonyms in the order of the old ones; null where `errors` names the index."""

    pseudonyms: list[str | None]
    errors: list[ItemError]
    key_version: int
    created: int = 0  # in the other domain, with mode "create"


class Translation(Message, frozen=True, kw_only=True):
    """One line of a streamed translation map."""

    old: str
    new: str
