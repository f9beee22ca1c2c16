"""Checking pseudonyms without a service, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

_BATCH: Final = 10_000
_VERDICTS: Final = ("ok", "malformed", "wrong_check_characters")


def check_all(pseudonyms: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Verdict ("ok", "malformed", "wrong_check_characters") and suggestions for each string, in order.

    A suggestion is the string with one character corrected, by Reed-Solomon alone: nothing is asked of a store.
    """
    from keys import computed

    rest = iter(pseudonyms)
    while batch := list(islice(rest, _BATCH)):
        status = computed.parse(batch).status.tolist()
        for text, code in zip(batch, status, strict=True):
            yield _VERDICTS[code], computed.suggest(text) if code else []
