"""One resource: a copy with places for pseudonyms. Pure; nothing here speaks to a service.

What happens is the table in docs/how-to/pipeline.md. In short: elements that `rules` does not name are dropped;
ids, references and identifiers of certain types become places that the caller fills; everything that names a
person is dropped and remembered, and a resource in which any of it is left somewhere is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from trustcenter.client.errors import LocalFileError

from . import rules

Json = dict[str, Any]

_DEPTH: Final = 40
_SHORTEST: Final = 4  # characters; shorter identifiers are inside of everything and are not searched for
_INDEX: Final = re.compile(r"\[[0-9]+\]")
_TOKENS: Final = re.compile(r"[^\s,;|]+")


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


def transform(resource: object, chosen: FhirRules) -> Transformed:
    """The pseudonymised copy of a resource, places still open.

    Raises:
        FhirRefusedError: the resource, its type, or a value cannot be taken; the message has no value.
    """
    return _Walk(chosen).top(resource)


class _Walk:
    def __init__(self, chosen: FhirRules) -> None:
        self.chosen = chosen
        self.places: list[Place] = []
        self.dropped: Counter[str] = Counter()
        self.secret: set[str] = set()  # what identifies, in lower case
        self.kept: list[tuple[str, str]] = []  # path and string
        self.contained: dict[str, str] = {}
        self.root = ""

    def top(self, resource: object) -> Transformed:
        kind = self.type_of(resource, "")
        assert isinstance(resource, dict)
        self.root = kind
        parts = resource.get("contained", [])
        if not isinstance(parts, list):
            raise _refuse("contained resources are a list", f"{kind}.contained")
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
            raise _refuse("a resource is a JSON object", path)
        kind = resource.get("resourceType")
        if not isinstance(kind, str) or kind not in rules.RESOURCES:
            raise _refuse("this is not a resource of FHIR R4", path, code="fhir_unknown_type")
        path = path or kind
        if kind in rules.NEVER:
            raise _refuse(
                f"a {kind} is not taken", path, code="fhir_unknown_type", hint="one resource per line, of a known type"
            )
        if kind not in rules.KNOWN and kind not in self.chosen.domains:
            raise _refuse(
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
            raise _refuse("a contained resource contains another", path)
        made = self.resource(part, kind, path, inner=True)
        if isinstance(part.get("id"), str):
            made = {"resourceType": kind, "id": self.contained[part["id"]], **made}
        return made

    def resource(self, resource: Json, kind: str, path: str, *, inner: bool = False) -> Json:
        made: Json = {"resourceType": kind}
        if "id" in resource and not inner:
            own = resource["id"]
            if not isinstance(own, str) or not rules.ID.fullmatch(own):
                raise _refuse("this is not an id", f"{path}.id")
            self.place(made, "id", "", self.chosen.of(kind), own)
        rest = {k: v for k, v in resource.items() if k not in ("resourceType", "id", "contained")}
        if kind == "Patient" or "birthDate" in rest:
            rest, born = {k: v for k, v in rest.items() if k != "birthDate"}, rest.get("birthDate")
            if born is not None:
                made["birthDate"] = self.birth_date(born, f"{path}.birthDate")
        made.update(self.element(rest, path, kind, 0))
        return made

    def element(self, value: Json, path: str, kind: str, depth: int) -> Json:
        if depth > _DEPTH:
            raise _refuse("this is nested too deeply", path)
        made: Json = {}
        public = str(value.get("system", "")).startswith(rules.PUBLIC)
        for key, inner in value.items():
            if inner is None:
                continue
            if key in ("modifierExtension", "implicitRules"):
                raise _refuse("an element that changes the meaning of others cannot be dropped", f"{path}.{key}")
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

    # --- what identifies -------------------------------------------------------------------------------

    def place(self, into: Json, key: str, prefix: str, domain: str, original: str) -> None:
        if not prefix or prefix.endswith(("Patient/", "Encounter/", ":")) or any(c.isdigit() for c in original):
            self.remember(original)  # the id of an institution may well be a word of its addresses
        if rules.UUID.fullmatch(original):
            original = original.lower()  # so that urn:uuid: in any case finds its resource
        into[key] = None  # keeps the order of keys
        self.places.append(Place(into, key, prefix, domain, original))

    def reference(self, into: Json, text: str, kind: object, path: str) -> None:
        if text == "#":
            into["reference"] = text
        elif text.startswith("#"):
            if text[1:] not in self.contained:
                raise _refuse("nothing of this name is contained", path, code="fhir_bad_reference")
            into["reference"] = "#" + self.contained[text[1:]]
        elif text.startswith("urn:uuid:") and rules.UUID.fullmatch(text[9:]):
            typed = isinstance(kind, str) and kind in rules.RESOURCES
            if self.chosen.domains and not typed:
                raise _refuse(
                    "a urn:uuid reference does not say to what it points",
                    path,
                    code="fhir_bad_reference",
                    hint="with --domain-for, such references need their `type`",
                )
            domain = self.chosen.of(str(kind)) if typed else self.chosen.domain
            self.place(into, "reference", "urn:uuid:", domain, text[9:])
        elif (match := rules.REFERENCE.fullmatch(text)) and match["type"] in rules.RESOURCES:
            base = match["base"] or ""
            if base:
                self.kept.append((path, base))
            self.place(into, "reference", f"{base}{match['type']}/", self.chosen.of(match["type"]), match["id"])
        else:
            raise _refuse(
                "this is not a reference to a resource",
                path,
                code="fhir_bad_reference",
                hint="Type/id, an address that ends like that, urn:uuid:, or # and a contained resource",
            )

    def identifier(self, value: Any, path: str, kind: str) -> Json | None:
        if not isinstance(value, dict):
            raise _refuse("this is not an identifier", path)
        text, system = value.get("value"), value.get("system")
        codings = value.get("type", {}).get("coding", []) if isinstance(value.get("type"), dict) else []
        types = {str(c.get("code", "")) for c in codings if isinstance(c, dict)} if isinstance(codings, list) else set()
        if isinstance(text, str):
            self.remember(text)
        insured = types & rules.INSURANCE_TYPES or (isinstance(system, str) and rules.INSURANCE_SYSTEM.match(system))
        wanted = [name for name in rules.PSEUDONYMIZED if name in types]
        named = isinstance(system, str) and system in self.chosen.systems
        if wanted and not (insured or named) and isinstance(text, str) and rules.INSURANCE_NUMBER.search(text):
            raise _refuse(
                "this looks like the number of a health insurance",
                path,
                code="fhir_insurance_number",
                hint="if it is none, name its system with --identifier-system",
            )
        if insured or not (wanted or named) or not isinstance(text, str) or not text:
            return None
        domain = self.chosen.of(rules.PSEUDONYMIZED[wanted[0]] if wanted else kind)
        made: Json = {
            "type": {"coding": [{"system": rules.PSEUDED_SYSTEM, "code": "PSEUDED"}]},
            "system": self.chosen.pseudonym_system[domain],
        }
        self.place(made, "value", "", domain, text)
        return made

    def birth_date(self, value: Any, path: str) -> str:
        match = rules.BIRTH_DATE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise _refuse("this is not a date", path)
        return match[1]

    def address(self, value: Any, path: str) -> Json:
        if not isinstance(value, dict):
            raise _refuse("this is not an address", path)
        made: Json = {}
        if value.get("type") in rules.ADDRESS_TYPES:
            made["type"] = value["type"]
        code, country = value.get("postalCode"), value.get("country")
        if isinstance(code, str) and (match := rules.POSTCODE.match(code)):
            made["postalCode"] = match[0]
        if isinstance(country, str) and rules.COUNTRY.fullmatch(country):
            made["country"] = country
        for key in value:
            if key not in made:
                self.dropped[f"{self.root}.address"] += 1
                break
        return made if made.keys() - {"type"} else {}

    def extension(self, value: Any, path: str, kind: str, depth: int, *, nested: bool) -> Json | None:
        if not isinstance(value, dict) or not isinstance(value.get("url"), str) or depth > _DEPTH:
            raise _refuse("this is not an extension", path)
        url = value["url"]
        if not (rules.URI.fullmatch(url) or (nested and rules.NESTED_URL.fullmatch(url))):
            raise _refuse("this is not the address of an extension", f"{path}.url")
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
        self.dropped[f"{_INDEX.sub('', path)}.{known}"] += 1
        if key in ("name", "telecom", "contact", "display", "text", "photo"):
            self.remember_all(value, 0)

    # --- what must not be left -------------------------------------------------------------------------

    def must(self, pattern: re.Pattern[str], value: str, path: str) -> None:
        if len(value) > 1024 or not pattern.fullmatch(value):
            raise _refuse("the value is not of the type of this element", path, code="fhir_bad_value")

    def remember(self, text: str) -> None:
        if len(text) >= _SHORTEST:
            self.secret.add(text.lower())

    def remember_all(self, value: Any, depth: int) -> None:
        """Family and given names and numbers to call, as they stand."""
        if isinstance(value, dict) and depth < _DEPTH:
            for key in ("family", "given", "name", "telecom"):
                self.remember_all(value.get(key), depth + 1)
            if isinstance(value.get("value"), str):
                self.remember(value["value"])
        elif isinstance(value, list) and depth < _DEPTH:
            for item in value:
                self.remember_all(item, depth + 1)
        elif isinstance(value, str) and depth:
            for token in _TOKENS.findall(value):
                self.remember(token)

    def search(self) -> None:
        for path, text in self.kept:
            lower = text.lower()
            if rules.INSURANCE_NUMBER.search(text) or any(_inside(secret, lower) for secret in self.secret):
                raise _refuse(
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


def _refuse(message: str, path: str, *, code: str = "fhir_refused", hint: str = "") -> FhirRefusedError:
    return FhirRefusedError(message, code=code, hint=hint, where=path)
