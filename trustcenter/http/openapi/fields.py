"""Descriptions of the fields of messages in the interface's description.

A field means what `words` says of its name, unless its message means something else by it. Tests refuse a field
without words, and words without a field.
"""

from __future__ import annotations

from typing import Any, Final

from . import fields_keys, fields_rooms, fields_service, fields_studies
from .words import WORDS

_PARTS: Final = (fields_keys, fields_rooms, fields_service, fields_studies)
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
