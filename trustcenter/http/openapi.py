"""The interface's description (OpenAPI 3.1), made from the same table that dispatches."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

import trustcenter
from trustcenter.messages.api import Problem, StreamEnd

from .calls import FHIR_TYPES, Route

_REF = "#/components/schemas/{name}"


@cache
def document(routes: tuple[Route, ...]) -> bytes:
    """The description of `routes` as JSON."""
    types: list[type[msgspec.Struct]] = [Problem, StreamEnd]
    for route in routes:
        for candidate in (route.takes, route.gives, route.line):
            if isinstance(candidate, type) and candidate not in types:
                types.append(candidate)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    refs = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "trustcenter",
                "version": trustcenter.__version__,
                "description": "Site-specific pseudonyms and private record linkage.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        },
        order="deterministic",
    )


_CHOICES: dict[str, dict[str, Any]] = {  # parameters of a query that may be left out
    "mode": {"type": "string", "enum": ["window", "full", "estimate"], "default": "window"}
}


def _operation(route: Route, refs: dict[type[msgspec.Struct], dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "responses": {
            str(route.status): _answer(route, refs),
            "default": {
                "description": "An error. It never holds a value that was sent.",
                "content": {"application/problem+json": {"schema": refs[Problem]}},
            },
        },
    }
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": "^[a-z0-9.-]{1,200}$"},
        }
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    parameters += [
        {
            "name": name,
            "in": "query",
            "required": name not in _CHOICES,
            "schema": _CHOICES.get(name, {"type": "integer", "minimum": 1, "maximum": 255}),
        }
        for name in route.query
    ]
    if route.takes == "bytes":
        parameters.append({"name": "Content-Digest", "in": "header", "required": True, "schema": {"type": "string"}})
    if parameters:
        operation["parameters"] = parameters
    if route.roles:
        operation["security"] = [{"token": []}]
        operation["description"] = f"Roles: {', '.join(sorted(route.roles))}."
    if route.takes == "bytes":
        operation["requestBody"] = {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    elif route.takes == "fhir":
        kinds: dict[str, Any] = {kind: {"schema": {"type": "string"}} for kind in FHIR_TYPES[1:]}
        kinds[FHIR_TYPES[0]] = {"schema": {"type": "object"}}
        operation["requestBody"] = {"required": True, "content": kinds}
    elif route.takes is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": refs[route.takes]}},
        }
        if route.form is not None:
            operation["requestBody"]["content"]["application/x-ndjson"] = {"schema": {"type": "string"}}
            operation["description"] += (
                " As application/x-ndjson: one JSON string a line, other fields in the query; the answer has a line"
                f' per item, {{"{route.form.word}": ...}} or {{"error": code, "hint": ...}}, and {{"done": true}} last.'
            )
    return operation


def _answer(route: Route, refs: dict[type[msgspec.Struct], dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": route.summary}
    if route.line is not None:
        lines = {"anyOf": [refs[route.line], refs[StreamEnd]]}
        answer["description"] += '. One JSON object per line; the last is {"done": true, "count": n}.'
        answer["content"] = {"application/x-ndjson": {"schema": lines}}
    elif isinstance(route.gives, type):
        answer["content"] = {"application/json": {"schema": refs[route.gives]}}
        if route.form is not None:
            answer["content"]["application/x-ndjson"] = {"schema": {"type": "object"}}
    elif route.gives == "text":
        answer["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif route.gives == "bytes":
        answer["content"] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return answer
