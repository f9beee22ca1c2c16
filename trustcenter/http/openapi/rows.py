"""What a chunk of rows may be, in the interface's description."""

from __future__ import annotations

from typing import Any, Final

from trustcenter.http.row_forms import JSON, NDJSON, PACKED, PARQUET

_BYTES: Final = {"type": "string", "contentEncoding": "base64"}
_ROW: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["ref", "pass", "token", "filter"],
    "properties": {
        "ref": {**_BYTES, "description": "16 bytes"},
        "pass": {"type": "integer", "minimum": 0, "maximum": 255, "description": "Number of the pass, from 0"},
        "token": {**_BYTES, "description": "16 bytes"},
        "filter": {**_BYTES, "description": "32 bytes"},
    },
}
_PACKED: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rows"],
    "properties": {"rows": {**_BYTES, "description": "Packed rows of 65 bytes: ref, pass, token, filter"}},
}
ROWS: Final[dict[str, Any]] = {
    PACKED: {"schema": {"type": "string", "format": "binary", "description": "Packed rows of 65 bytes"}},
    JSON: {"schema": _PACKED},
    NDJSON: {"schema": _ROW},
    PARQUET: {"schema": {"type": "string", "format": "binary", "description": "Columns ref, pass, token and filter"}},
}
