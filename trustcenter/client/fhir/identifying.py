"""The elements that identify: ids, references, identifiers, birth dates, addresses."""

from __future__ import annotations

from collections import Counter
from typing import Any

from trustcenter.client.jobs.rowjob import MOST_CHARS

from . import rules
from .leftovers import Leftovers
from .model import FhirRules, Json, Place, refuse


class Identifying(Leftovers):
    """Turns elements that identify into places for pseudonyms, or makes them coarser."""

    def __init__(self, chosen: FhirRules) -> None:
        super().__init__()
        self.chosen = chosen
        self.places: list[Place] = []
        self.dropped: Counter[str] = Counter()
        self.contained: dict[str, str] = {}
        self.root = ""

    def place(self, into: Json, key: str, prefix: str, domain: str, original: str) -> None:
        """Leave a place for the pseudonym of an original."""
        if not prefix or prefix.endswith(("Patient/", "Encounter/", ":")) or any(c.isdigit() for c in original):
            self.remember(original)  # the id of an institution may well be a word of its addresses
        if rules.UUID.fullmatch(original):
            original = original.lower()  # so that urn:uuid: in any case finds its resource
        into[key] = None  # keeps the order of keys
        self.places.append(Place(into, key, prefix, domain, original))

    def reference(self, into: Json, text: str, kind: object, path: str) -> None:
        """A reference, whose id becomes a place."""
        if text == "#":
            into["reference"] = text
        elif text.startswith("#"):
            if text[1:] not in self.contained:
                raise refuse("nothing of this name is contained", path, code="fhir_bad_reference")
            into["reference"] = "#" + self.contained[text[1:]]
        elif text.startswith("urn:uuid:") and rules.UUID.fullmatch(text[9:]):
            typed = isinstance(kind, str) and kind in rules.RESOURCES
            if self.chosen.domains and not typed:
                raise refuse(
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
            raise refuse(
                "this is not a reference to a resource",
                path,
                code="fhir_bad_reference",
                hint="Type/id, an address that ends like that, urn:uuid:, or # and a contained resource",
            )

    def identifier(self, value: Any, path: str, kind: str) -> Json | None:
        """An identifier of type PSEUDED, or None where none is kept."""
        if not isinstance(value, dict):
            raise refuse("this is not an identifier", path)
        text, system = value.get("value"), value.get("system")
        codings = value.get("type", {}).get("coding", []) if isinstance(value.get("type"), dict) else []
        types = {str(c.get("code", "")) for c in codings if isinstance(c, dict)} if isinstance(codings, list) else set()
        if isinstance(text, str):
            if len(text) > MOST_CHARS:
                raise refuse("the value of an identifier is too long", path, code="fhir_bad_value")
            self.remember(text)
        insured = types & rules.INSURANCE_TYPES or (isinstance(system, str) and rules.INSURANCE_SYSTEM.match(system))
        wanted = [name for name in rules.PSEUDONYMIZED if name in types]
        named = isinstance(system, str) and system in self.chosen.systems
        if wanted and not (insured or named) and isinstance(text, str) and rules.INSURANCE_NUMBER.search(text):
            raise refuse(
                "this looks like the number of a health insurance",
                path,
                code="fhir_insurance_number",
                hint="if it is none, name its system with --identifier-system",
            )
        if insured or not (wanted or named) or not isinstance(text, str) or not text:
            what = "insurance" if insured else "other"
            self.dropped[f"{rules.INDEX.sub('', path)}({what})"] += 1
            return None
        domain = self.chosen.of(rules.PSEUDONYMIZED[wanted[0]] if wanted else kind)
        made: Json = {
            "type": {"coding": [{"system": rules.PSEUDED_SYSTEM, "code": "PSEUDED"}]},
            "system": self.chosen.pseudonym_system[domain],
        }
        self.place(made, "value", "", domain, text)
        return made

    def birth_date(self, value: Any, path: str) -> str:
        """Year and month."""
        match = rules.BIRTH_DATE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise refuse("this is not a date", path)
        return match[1]

    def address(self, value: Any, path: str) -> Json:
        """Two digits of the postcode, and the country."""
        if not isinstance(value, dict):
            raise refuse("this is not an address", path)
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
