"""Descriptions of the fields of messages in the interface's description.

A field means what `openapi_words` says of its name, unless its message means something else by it. Tests refuse a field
without words, and words without a field.
"""

from __future__ import annotations

from typing import Any, Final

from . import openapi_fields_keys, openapi_fields_rooms, openapi_fields_service, openapi_fields_studies
from .openapi_words import WORDS

_PARTS: Final = (openapi_fields_keys, openapi_fields_rooms, openapi_fields_service, openapi_fields_studies)
FIELDS: Final[dict[tuple[str, str], str]] = {
    (message, name): text
    for part in _PARTS
    for name, texts in part.FIELDS.items()
    for messages, text in texts.items()
    for message in messages.split()
}


def describe(components: dict[str, Any]) -> None:
    """Say of each field of some schemas what it means; what its type says of its form follows in brackets."""
    for message, schema in components.items():
        for name, field in schema.get("properties", {}).items():
            text = FIELDS.get((message, name)) or WORDS.get(name)
            if text is not None:
                form = field.get("description")
                field["description"] = f"{text} ({form})" if form else text
