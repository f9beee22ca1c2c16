"""FHIR XML as the same dictionaries as FHIR JSON, as far as a Patient needs it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any, Final

from trustcenter.client.errors import LocalFileError

_NAMESPACE: Final = "{http://hl7.org/fhir}"
_SEVERAL: Final = frozenset(
    {"entry", "identifier", "name", "given", "address", "line", "extension", "coding", "link", "prefix"}
)
_PLAIN: Final = frozenset({"family", "given", "line", "city", "postalCode", "birthDate", "gender"})
_DOCTYPE: Final = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)


def parse(data: bytes, where: str) -> dict[str, Any]:
    """A resource.

    Raises:
        LocalFileError: not well-formed, not UTF-8, with a document type (which could hold entities), or no FHIR.
    """
    try:
        data.decode("utf-8-sig")
        if _DOCTYPE.search(data):
            raise ValueError
        root = ET.fromstring(data)  # noqa: S314 - without a document type there are no entities to expand
    except (ValueError, ET.ParseError, RecursionError):
        raise LocalFileError("this is no FHIR XML in UTF-8", code="bad_fhir", where=where) from None
    if not root.tag.startswith(_NAMESPACE):
        raise LocalFileError("this is no FHIR XML in UTF-8", code="bad_fhir", where=where)
    return _resource(root)


def _resource(element: ET.Element) -> dict[str, Any]:
    return {"resourceType": element.tag.removeprefix(_NAMESPACE), **_content(element)}


def _content(element: ET.Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if (url := element.get("url")) is not None:
        found["url"] = url
    for child in element:
        name = child.tag.removeprefix(_NAMESPACE)
        value = child.get("value")
        if name == "resource":
            found[name] = _resource(child[0]) if len(child) else {}
        elif value is not None or name in _PLAIN:
            _put(found, name, (value == "true") if name == "active" else value)
            _put(found, "_" + name, _content(child) if len(child) else None)
        else:
            _put(found, name, _content(child))
    return found


def _put(found: dict[str, Any], name: str, value: Any) -> None:
    if name.removeprefix("_") in _SEVERAL:
        found.setdefault(name, []).append(value)
    elif value is not None:
        found[name] = value
