"""What a resource is taken by and becomes: the caller's choices, places for pseudonyms, the refusal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from trustcenter.client.errors import LocalFileError

Json = dict[str, Any]

_ODD: Final = re.compile(r"[^A-Za-z0-9_.\[\]]+")
DEPTH: Final = 40  # of elements in each other, at most


class FhirRefusedError(LocalFileError):
    """A resource cannot be pseudonymised safely; `where` is its element."""

    code = "fhir_refused"


@dataclass(frozen=True)
class FhirRules:
    """What the caller decides.

    Attributes:
        domain: domain of everything that has no other.
        domains: domain by resource type; a type named here is taken although it is not known.
        systems: systems of further identifiers that become pseudonyms.
        pseudonym_system: domain → system of the pseudonyms that are written as identifiers.
    """

    domain: str
    domains: Mapping[str, str] = field(default_factory=dict)
    systems: frozenset[str] = frozenset()
    pseudonym_system: Mapping[str, str] = field(default_factory=dict)

    def of(self, resource_type: str) -> str:
        """The domain for a type of resource."""
        return self.domains.get(resource_type, self.domain)


@dataclass(frozen=True)
class Place:
    """Where a pseudonym goes: `into[key] = prefix + pseudonym`."""

    into: Json
    key: str
    prefix: str
    domain: str
    original: str


@dataclass
class Transformed:
    """The copy, its places, and how often which element was dropped."""

    resource: Json
    places: list[Place]
    dropped: Counter[str]


def refuse(message: str, path: str, *, code: str = "fhir_refused", hint: str = "") -> FhirRefusedError:
    """The refusal of a resource because of one of its elements."""
    # A path has names of elements, which in a file that is not FHIR may be anything.
    return FhirRefusedError(message, code=code, hint=hint, where=_ODD.sub("?", path)[:200])
