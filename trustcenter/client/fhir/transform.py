"""One resource: a copy with places for pseudonyms. Pure; nothing here speaks to a service.

What happens is the table in docs/how-to/pipeline.md. In short: elements that `rules` does not name are dropped;
ids, references and identifiers of certain types become places that the caller fills; everything that names a
person is dropped and remembered, and a resource in which any of it is left somewhere is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from . import rules
from .identifying import Identifying
from .model import DEPTH, FhirRefusedError, FhirRules, Json, Transformed, refuse

__all__ = ["FhirRefusedError", "FhirRules", "Transformed", "transform"]


def transform(resource: object, chosen: FhirRules) -> Transformed:
    """The pseudonymised copy of a resource, places still open.

    Raises:
        FhirRefusedError: the resource, its type, or a value cannot be taken; the message has no value.
    """
    return _Walk(chosen).top(resource)


class _Walk(Identifying):
    def top(self, resource: object) -> Transformed:
        kind = self.type_of(resource, "")
        assert isinstance(resource, dict)
        self.root = kind
        parts = resource.get("contained", [])
        if not isinstance(parts, list):
            raise refuse("contained resources are a list", f"{kind}.contained")
        for number, part in enumerate(parts, 1):
            if isinstance(part, dict) and isinstance(part.get("id"), str):
                self.contained[part["id"]] = f"c{number}"
                self.remember(part["id"])
        made = self.resource(resource, kind, kind)
        if parts:
            made["contained"] = [self.part(part, f"{kind}.contained[{i}]") for i, part in enumerate(parts)]
        self.search()
        return Transformed(made, self.places, self.dropped)

    def type_of(self, resource: object, path: str) -> str:
        if not isinstance(resource, dict):
            raise refuse("a resource is a JSON object", path)
        kind = resource.get("resourceType")
        if not isinstance(kind, str) or kind not in rules.RESOURCES:
            raise refuse("this is not a resource of FHIR R4", path, code="fhir_unknown_type")
        path = path or kind
        if kind in rules.NEVER:
            raise refuse(
                f"a {kind} is not taken", path, code="fhir_unknown_type", hint="one resource per line, of a known type"
            )
        if kind not in rules.KNOWN and kind not in self.chosen.domains:
            raise refuse(
                f"a {kind} is taken only if it is named",
                path,
                code="fhir_unknown_type",
                hint=f"--domain-for {kind}=DOMAIN, after reading what is kept of it",
            )
        return kind

    def part(self, part: object, path: str) -> Json:
        kind = self.type_of(part, path)
        assert isinstance(part, dict)
        if "contained" in part:
            raise refuse("a contained resource contains another", path)
        made = self.resource(part, kind, path, inner=True)
        if isinstance(part.get("id"), str):
            made = {"resourceType": kind, "id": self.contained[part["id"]], **made}
        return made

    def resource(self, resource: Json, kind: str, path: str, *, inner: bool = False) -> Json:
        made: Json = {"resourceType": kind}
        if "id" in resource and not inner:
            own = resource["id"]
            if not isinstance(own, str) or not rules.ID.fullmatch(own):
                raise refuse("this is not an id", f"{path}.id")
            self.place(made, "id", "", self.chosen.of(kind), own)
        rest = {k: v for k, v in resource.items() if k not in ("resourceType", "id", "contained")}
        if kind == "Patient" or "birthDate" in rest:
            rest, born = {k: v for k, v in rest.items() if k != "birthDate"}, rest.get("birthDate")
            if born is not None:
                made["birthDate"] = self.birth_date(born, f"{path}.birthDate")
        made.update(self.element(rest, path, kind, 0))
        return made

    def element(self, value: Json, path: str, kind: str, depth: int) -> Json:
        if depth > DEPTH:
            raise refuse("this is nested too deeply", path)
        made: Json = {}
        public = str(value.get("system", "")).startswith(rules.PUBLIC)
        for key, inner in value.items():
            if inner is None:
                continue
            if key in ("modifierExtension", "implicitRules"):
                raise refuse("an element that changes the meaning of others cannot be dropped", f"{path}.{key}")
            here = f"{path}.{key}"
            result: Any = None
            if key in rules.IDENTIFIERS:
                result = self.each(inner, here, lambda v, p: self.identifier(v, p, kind))
            elif key == "extension":
                result = self.each(inner, here, lambda v, p: self.extension(v, p, kind, depth + 1, nested=False))
            elif key == "address":
                result = self.each(inner, here, self.address)
            elif key == "reference" and isinstance(inner, str):
                self.reference(made, inner, value.get("type"), here)
                continue
            elif key.startswith("_"):
                result = self.absent(inner, here) if key[1:] in rules.KEEP | rules.DATES | rules.CODES else None
            elif key == "birthDate":
                result = self.birth_date(inner, here)
            else:
                result = self.each(inner, here, partial(self.value, key, kind, depth, public))
            if result is None or result in ({}, []):
                self.drop(path, key, inner)
            else:
                made[key] = result
        return made

    def each(self, value: Any, path: str, one: Callable[[Any, str], Any]) -> Any:
        if not isinstance(value, list):
            return one(value, path)
        made = [one(item, f"{path}[{i}]") for i, item in enumerate(value) if item is not None]
        return [item for item in made if item is not None and item != {}]

    def value(self, key: str, kind: str, depth: int, public: bool, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return self.element(value, path, kind, depth + 1) if key in rules.KEEP else None
        if not isinstance(value, str):
            return value if key in rules.KEEP and not isinstance(value, list) else None
        if key in rules.CODES:
            self.must(rules.CODE, value, path)
            if not (public and key in ("code", "version")):
                self.kept.append((path, value))
            return value
        if key in rules.URIS:
            self.must(rules.URI, value, path)
            self.kept.append((path, value))
            return value
        if key in rules.DATES:
            self.must(rules.DATE, value, path)
            return value
        if key in rules.UNITS and rules.UNIT.fullmatch(value):
            self.kept.append((path, value))
            return value
        return None

    def extension(self, value: Any, path: str, kind: str, depth: int, *, nested: bool) -> Json | None:
        if not isinstance(value, dict) or not isinstance(value.get("url"), str) or depth > DEPTH:
            raise refuse("this is not an extension", path)
        url = value["url"]
        if not (rules.URI.fullmatch(url) or (nested and rules.NESTED_URL.fullmatch(url))):
            raise refuse("this is not the address of an extension", f"{path}.url")
        made: Json = {"url": url}
        for key, inner in value.items():
            result: Any = None
            here = f"{path}.{key}"
            if key == "extension":
                result = self.each(inner, here, lambda v, p: self.extension(v, p, kind, depth + 1, nested=True))
            elif key == "valueIdentifier":
                result = self.identifier(inner, here, kind)
            elif key == "valueCode" and isinstance(inner, str):
                self.must(rules.CODE, inner, here)
                self.kept.append((here, inner))
                result = inner
            elif key in rules.EXTENSION_VALUES:
                if isinstance(inner, dict):
                    result = self.element(inner, here, kind, depth + 1)
                elif not isinstance(inner, (str, list)):
                    result = inner
            if result is not None and result not in ({}, []):
                made[key] = result
        if len(made) == 1:
            return None
        self.kept.append((f"{path}.url", url))
        return made

    def absent(self, value: Any, path: str) -> Json | None:
        """What is said about a missing value; all else that is attached to a primitive is dropped."""
        found = value.get("extension", []) if isinstance(value, dict) else []
        for item in found if isinstance(found, list) else []:
            code = item.get("valueCode") if isinstance(item, dict) and item.get("url") == rules.DATA_ABSENT else None
            if isinstance(code, str):
                self.must(rules.CODE, code, path)
                self.kept.append((path, code))
                return {"extension": [{"url": rules.DATA_ABSENT, "valueCode": code}]}
        return None

    def drop(self, path: str, key: str, value: Any) -> None:
        known = key if key in rules.DROPPED | rules.KEEP | rules.IDENTIFIERS | rules.UNITS else "?"
        self.dropped[f"{rules.INDEX.sub('', path)}.{known}"] += 1
        if key in ("name", "telecom", "contact", "display", "text", "photo"):
            self.remember_all(value, 0)

    def must(self, pattern: re.Pattern[str], value: str, path: str) -> None:
        if len(value) > 1024 or not pattern.fullmatch(value):
            raise refuse("the value is not of the type of this element", path, code="fhir_bad_value")
