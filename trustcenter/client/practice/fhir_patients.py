"""FHIR resources Patient in the shapes of MII, KBV (basis and archive interface) and ISiK, from JSON or XML.

Specification: docs/spec/practice-files.md. Archive exports carry the patient's name in the name of the file, so files
are told apart by their position only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from trustcenter.client.errors import LocalFileError

_KVID: Final = frozenset({"http://fhir.de/sid/gkv/kvid-10", "http://fhir.de/NamingSystem/gkv/kvid-10"})
_INSURED_TYPES: Final = frozenset({"KVZ10", "GKV", "PKV"})
_INSURED: Final = re.compile(r"[A-Z][0-9]{9}")
_OWN_NAME: Final = "http://hl7.org/fhir/StructureDefinition/humanname-own-name"
_ADXP: Final = "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-"
_SEX: Final = "http://fhir.de/StructureDefinition/gender-amtlich-de"
_FORMER: Final = ("surname", "street", "house_number", "postcode", "town")

Row = dict[str, str]
Json = dict[str, Any]


def patients(content: Any) -> Iterator[Json]:
    """The Patients in a parsed document: itself, the entries of a Bundle, or of a list of either."""
    if isinstance(content, list):
        for item in content:
            yield from patients(item)
        return
    kind = content.get("resourceType") if isinstance(content, dict) else None
    if kind == "Patient":
        yield content
    elif kind == "Bundle":
        for entry in _dicts(content.get("entry")):
            yield from patients(entry.get("resource"))


def rows(found: list[tuple[str, Json]], id_system: str | None, warnings: Counter[str]) -> list[Row]:
    """One row per patient; of several versions of one only the latest.

    Args:
        found: position in the input, and Patient.
        id_system: system of the identifier that is the site's own id; without it the one of type MR, else `id`.
        warnings: added to.

    Raises:
        LocalFileError: a patient without that identifier, or two versions of which none is known to be the later.
    """
    kept: dict[str, tuple[str, Row]] = {}
    for where, patient in found:
        if patient.get("active") is False or any(link.get("type") == "replaced-by" for link in _of(patient, "link")):
            warnings["patient:not_active"] += 1
            continue
        row = _row(patient, id_system, where)
        updated = _text(_dict(patient.get("meta")).get("lastUpdated"))
        if (before := kept.get(row["id"])) is not None:
            if not updated or not before[0] or updated == before[0]:
                raise LocalFileError(
                    "the patient is there twice, and no time says which version is the later one",
                    code="repeated_id",
                    where=where,
                )
            warnings["patient:older_version"] += 1
            if updated < before[0]:
                continue
        kept[row["id"]] = (updated, row)
    return [row for _, row in kept.values()]


def _row(patient: Json, id_system: str | None, where: str) -> Row:
    names, addresses = _of(patient, "name"), _of(patient, "address")
    name = _best(names, ("official", "usual", ""))
    address = _best([a for a in addresses if a.get("type") != "postal"], ("home", ""))
    row = {
        "id": _own_id(patient, id_system, where),
        "surname": _family(name),
        "given_name": " ".join(_text(given) for given in _list(name.get("given"))).strip(),
        "birth_date": _text(patient.get("birthDate")),
        "sex": _sex(patient),
        **_address(address),
        "insured_number": _insured(patient),
        "birth_name": _several(names, "maiden", _family),
        "former_surname": _several(names, "old", _family),
    }
    old = [_address(a) for a in addresses if a.get("use") == "old"]
    return {**row, **{f"former_{key}": "|".join(a[key].replace("|", " ") for a in old) for key in _FORMER[1:]}}


def _own_id(patient: Json, id_system: str | None, where: str) -> str:
    identifiers = [i for i in _of(patient, "identifier") if i.get("use") != "old"]
    if id_system is not None:
        values = {_text(i.get("value")) for i in identifiers if i.get("system") == id_system}
    else:
        values = {_text(i.get("value")) for i in identifiers if "MR" in _types(i)} or {_text(patient.get("id"))}
    values.discard("")
    if len(values) != 1:
        raise LocalFileError(
            "the patient has no own number, or several" if values else "the patient has no own number",
            code="row_without_id",
            hint="name the system of the identifier that your site counts patients by: --id-system",
            where=where,
        )
    return values.pop().strip()


def _insured(patient: Json) -> str:
    for identifier in _of(patient, "identifier"):
        system, value = identifier.get("system"), _text(identifier.get("value")).strip()
        # Other systems of insured numbers (pseudonymous, of old cards) do not name a person for life.
        if system in _KVID or (not system and _types(identifier) & _INSURED_TYPES and _INSURED.match(value)):
            return value
    return ""


def _sex(patient: Json) -> str:
    gender = _text(patient.get("gender"))
    for extension in _of(_dict(patient.get("_gender")), "extension"):
        if extension.get("url") == _SEX:
            return _text(_dict(extension.get("valueCoding")).get("code")) or gender
    return gender


def _family(name: Json) -> str:
    """The surname without particles and additions where the resource has it so, else as it stands."""
    for extension in _of(_dict(name.get("_family")), "extension"):
        if extension.get("url") == _OWN_NAME and (own := _text(extension.get("valueString"))):
            return own
    return _text(name.get("family"))


def _address(address: Json) -> Row:
    texts, beside = _list(address.get("line")), _list(address.get("_line"))
    street = number = ""
    for at in range(max(len(texts), len(beside))):
        parts: dict[str, str] = {}
        for extension in _of(_dict(beside[at]) if at < len(beside) else {}, "extension"):
            url = _text(extension.get("url"))
            if url.startswith(_ADXP):
                parts[url.removeprefix(_ADXP)] = _text(extension.get("valueString"))
        if "postBox" in parts or street:
            continue  # no dwelling, or what is behind the street: a storey, a district
        street = parts.get("streetName") or (_text(texts[at]) if at < len(texts) else "")
        number = parts.get("houseNumber", "") if parts.get("streetName") else ""
    postcode, town = _text(address.get("postalCode")), _text(address.get("city"))
    return {"street": street, "house_number": number, "postcode": postcode, "town": town}


def _best(items: list[Json], uses: tuple[str, ...]) -> Json:
    """The first item of the first use that there is."""
    return next((item for use in uses for item in items if _text(item.get("use")) == use), {})


def _several(names: list[Json], use: str, read: Callable[[Json], str]) -> str:
    return "|".join(text.replace("|", " ") for n in names if n.get("use") == use and (text := read(n)))


def _types(identifier: Json) -> set[str]:
    return {_text(coding.get("code")) for coding in _of(_dict(identifier.get("type")), "coding")}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: object) -> list[Json]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _of(holder: Json, key: str) -> list[Json]:
    return _dicts(holder.get(key))
