"""What must not be left: identifiers and names of a resource, looked for in every string of it that is kept."""

from __future__ import annotations

import re
from typing import Any, Final

from . import rules
from .model import DEPTH, refuse

_SHORTEST: Final = 4  # characters; shorter identifiers are inside of everything and are not searched for
_TOKENS: Final = re.compile(r"[^\s,;|]+")


class Leftovers:
    """What one resource is known by, and the strings that are kept of it."""

    def __init__(self) -> None:
        self.secret: set[str] = set()  # in lower case
        self.kept: list[tuple[str, str]] = []  # path and string

    def remember(self, text: str) -> None:
        """Something that identifies."""
        if len(text) >= _SHORTEST:
            self.secret.add(text.lower())

    def remember_all(self, value: Any, depth: int) -> None:
        """Family and given names and numbers to call, as they stand."""
        if isinstance(value, dict) and depth < DEPTH:
            for key in ("family", "given", "name", "telecom"):
                self.remember_all(value.get(key), depth + 1)
            if isinstance(value.get("value"), str):
                self.remember(value["value"])
        elif isinstance(value, list) and depth < DEPTH:
            for item in value:
                self.remember_all(item, depth + 1)
        elif isinstance(value, str) and depth:
            for token in _TOKENS.findall(value):
                self.remember(token)

    def search(self) -> None:
        """Refuse a resource in which something that identifies is left.

        Raises:
            FhirRefusedError: with the place, never the value.
        """
        for path, text in self.kept:
            lower = text.lower()
            if rules.INSURANCE_NUMBER.search(text) or any(_inside(secret, lower) for secret in self.secret):
                raise refuse(
                    "an identifier is left in an element that is kept",
                    path,
                    code="fhir_identifier_left",
                    hint="it is set aside with --skip-failed; correct it at its source",
                )


def _inside(secret: str, text: str) -> bool:
    at = text.find(secret)
    while at >= 0:
        end = at + len(secret)
        if not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
            return True
        at = text.find(secret, at + 1)
    return False
