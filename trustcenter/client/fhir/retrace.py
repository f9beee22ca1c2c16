"""Pseudonyms of a resource that was pseudonymised before: a copy with places for what shall stand there instead.

The way back of `transform`, for translation and re-identification: ids, references, and identifiers of type PSEUDED
in the system of one of the domains. Everything else is kept as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from . import rules
from .model import DEPTH, FhirRules, Json, Place, Transformed, refuse

_URN = "urn:uuid:"


def retrace(resource: object, chosen: FhirRules) -> Transformed:
    """The copy of a resource, places still open: `original` of each is the pseudonym that stands there now.

    Raises:
        FhirRefusedError: it is no resource, or nested too deeply.
    """
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(resource, dict) or not isinstance(kind, str) or kind not in rules.RESOURCES:
        raise refuse("this is not a resource of FHIR R4", "", code="fhir_unknown_type")
    walk = _Retrace(chosen)
    made = walk.element(resource, kind, kind, 0)
    own = resource.get("id")
    if isinstance(own, str):
        walk.places.append(Place(made, "id", "", chosen.of(kind), own))
    return Transformed(made, walk.places, Counter())


class _Retrace:
    def __init__(self, chosen: FhirRules) -> None:
        self.chosen = chosen
        self.places: list[Place] = []
        systems = Counter(chosen.pseudonym_system.values())
        self.domains = {
            system: domain if systems[system] == 1 else None for domain, system in chosen.pseudonym_system.items()
        }

    def element(self, value: Json, kind: str, path: str, depth: int) -> Json:
        if depth > DEPTH:
            raise refuse("this is nested too deeply", path)
        if isinstance(value.get("resourceType"), str):
            kind = value["resourceType"]
        made: Json = {}
        for key, inner in value.items():
            here = f"{path}.{key}"
            made[key] = self.each(inner, lambda item, p: self.item(item, kind, p, depth), here)
            if key == "reference" and isinstance(inner, str):
                self.reference(made, inner, value.get("type"))
        if self.is_pseudonym(value):
            domain = self.domains[value["system"]] or self.chosen.of(kind)
            self.places.append(Place(made, "value", "", domain, value["value"]))
        return made

    def each(self, value: Any, one: Callable[[Any, str], Any], path: str) -> Any:
        return [one(item, path) for item in value] if isinstance(value, list) else one(value, path)

    def item(self, value: Any, kind: str, path: str, depth: int) -> Any:
        if isinstance(value, dict):
            return self.element(value, kind, path, depth + 1)
        if isinstance(value, list):
            raise refuse("a list in a list is not FHIR", path)
        return value

    def is_pseudonym(self, value: Json) -> bool:
        kind = value.get("type")
        codings = kind.get("coding") if isinstance(kind, dict) else None
        return (
            isinstance(value.get("value"), str)
            and isinstance(value.get("system"), str)
            and value["system"] in self.domains
            and isinstance(codings, list)
            and any(isinstance(coding, dict) and coding.get("code") == "PSEUDED" for coding in codings)
        )

    def reference(self, into: Json, text: str, kind: object) -> None:
        if text.startswith(_URN) and rules.ID.fullmatch(text[len(_URN) :]):
            domain = self.chosen.of(kind) if isinstance(kind, str) else self.chosen.domain
            self.places.append(Place(into, "reference", _URN, domain, text[len(_URN) :]))
        elif (match := rules.REFERENCE.fullmatch(text)) and match["type"] in rules.RESOURCES:
            prefix = f"{match['base'] or ''}{match['type']}/"
            self.places.append(Place(into, "reference", prefix, self.chosen.of(match["type"]), match["id"]))
