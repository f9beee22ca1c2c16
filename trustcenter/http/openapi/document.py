"""The interface's description (OpenAPI 3.1), made from the same table that dispatches."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import msgspec

import trustcenter
from trustcenter.http.calls import FHIR_TYPES, PEER, Form, Route
from trustcenter.messages.api import Problem, StreamEnd

from .examples import example
from .fields import describe
from .rows import ROWS

_REF: Final = "#/components/schemas/{name}"
_REQUEST_ID: Final = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
_LOG: Final = {name: {"$ref": f"#/components/headers/{name}"} for name in ("Trust-Log-Head", "Trust-Log-Entry")}
_RETRY: Final = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
_NAME: Final = {"type": "string", "pattern": "^[a-z0-9.-]{1,200}$"}
_COUNT: Final = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
_PATH: Final[dict[str, dict[str, Any]]] = {  # what is not named here is a name or an id
    **dict.fromkeys(("index", "size", "old", "new", "chunk", "part"), _COUNT),
    "room": {"type": "string", "enum": ["registrar", "comparator"]},
    "file": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the file"},
}
_QUERY: Final[dict[str, dict[str, Any]]] = {  # with a default or nullable: may be left out
    "mode": {"type": "string", "enum": ["window", "full", "estimate"], "default": "window"},
    "from_version": {"type": "integer", "minimum": 1, "maximum": 255},
    "after": {**_COUNT, "default": 0, "description": "pairs of the map that are there already"},
    "recipient": _NAME,
    "since": {**_COUNT, "default": 0, "description": "number of the last batch that the recipient has"},
    "party": {"type": "string", "default": "", "description": "site:NAME or recipient:STUDY/NAME; a site's is its own"},
    "dry_run": {"type": "boolean", "default": False, "description": "only try: nothing is kept"},
    "patience": {"type": "integer", "minimum": 0, "maximum": 30, "default": 0, "description": "seconds"},
}
TAGS: Final = {  # first word of the path after the version -> what it is about
    "domains": "Pseudonyms: domains and what is done in them.",
    "reidentifications": "Originals of pseudonyms, under dual control.",
    "studies": "Studies: records, rows, consent, runs, clearing, releases.",
    "enrolments": "Practices that come in with a code.",
    "sites": "Sites, their tokens, certificates, limits and keys.",
    "staff": "People at the centre.",
    "keys": "Key versions.",
    "rotations": "Rotations of keys.",
    "key-proposals": "What takes two people.",
    "audit": "The log of each room.",
    "statements": "Signed statements that are held.",
    "retention": "For how long details of entries are kept.",
    "disclosures": "Decisions of a linkage, for an auditor.",
    "peer": "What the registrar asks the comparator, where the rooms are apart.",
    "service": "The service itself.",
}
REFUSALS: Final[dict[int, tuple[str, str, dict[str, Any]]]] = {  # status -> (name, when, further headers)
    400: ("BadRequest", "Body or parameters do not fit: `where` names the field", {}),
    401: ("Unauthorized", "No valid credential", {"WWW-Authenticate": {"schema": {"type": "string"}}}),
    403: ("Forbidden", "Refused by role or policy, or not approved yet", {}),
    404: ("NotFound", "There is no such thing, or it is not the caller's", {}),
    409: ("Conflict", "It stands against what is there already", {}),
    413: ("TooLarge", "Body or batch are over the limit, or too slow", {}),
    415: ("Unsupported", "The body is of another content type, or compressed", {}),
    422: ("Unverified", "A signature, digest or proof does not hold", {}),
    429: ("TooMany", "Rate or quota are used up: wait as long as Retry-After says", _RETRY),
    503: ("Unavailable", "Stopping, overloaded or without its store: send again what may be repeated", _RETRY),
}


@cache
def document(routes: tuple[Route, ...]) -> bytes:
    """The description of `routes` as JSON."""
    types: list[type[msgspec.Struct]] = [Problem, StreamEnd]
    for route in routes:
        for candidate in (route.takes, route.gives, route.line):
            if isinstance(candidate, type) and candidate not in types:
                types.append(candidate)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    describe(components)
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
                "description": "Site-specific pseudonyms and private record linkage. Unknown fields and parameters are"
                " refused; errors have a stable code and a hint, and never hold a value that was sent.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
            "paths": paths,
            "components": {
                "schemas": components,
                "responses": {name: _problem(refs, when, more) for name, when, more in REFUSALS.values()}
                | {"Problem": _problem(refs, "Any other error", {})},
                "headers": {
                    "X-Request-Id": {
                        "description": "Names the request in the service's log and in the audit log",
                        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                    },
                    "Trust-Log-Head": {
                        "description": "To sites: signed head of the registrar's log, base64 (docs/spec/log-heads.md)",
                        "schema": {"type": "string"},
                    },
                    "Trust-Log-Entry": {
                        "description": "To sites: index of the last entry that the request wrote, if it wrote any",
                        "schema": {"type": "string", "pattern": "^[0-9]+$"},
                    },
                    "Retry-After": {"description": "Seconds", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
                },
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer", "description": "tc1_…, shown once when it is made"},
                    "certificate": {"type": "mutualTLS", "description": "A client certificate that an operator bound"},
                },
            },
        },
        order="deterministic",
    )


def _problem(refs: dict[type[msgspec.Struct], dict[str, Any]], when: str, headers: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": f"{when}. It never holds a value that was sent.",
        "headers": _REQUEST_ID | headers,
        "content": {
            "application/problem+json": {"schema": refs[Problem], "example": example(Problem, request=False)},
        },
    }


def tag(route: Route) -> str:
    """What an operation is about: a word of TAGS."""
    word = route.path.removeprefix("/v1/").split("/")[0]
    return word if word in TAGS else "service"


def _operation(route: Route, refs: dict[type[msgspec.Struct], dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [tag(route)],
        "responses": {
            str(route.status): _answer(route, refs),
            **{str(status): _refusal(name) for status, (name, _, _) in REFUSALS.items() if _may(route, status)},
            "default": _refusal("Problem"),
        },
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.roles:
        token, certificate = {"token": list[str]()}, {"certificate": list[str]()}
        operation["security"] = [certificate] if route.roles == PEER else [token, certificate]
        operation["description"] = f"Roles: {', '.join(sorted(route.roles))}."
    if route.takes is not None:
        operation["requestBody"] = {"required": True, "content": _content(route, refs)}
    if route.form is not None:
        operation["description"] += (
            " As application/x-ndjson: one JSON string a line, other fields in the query; the answer has a line"
            f' per item, {{"{route.form.word}": ...}} or {{"error": code, "hint": ...}}, and {{"done": true}} last.'
        )
    return operation


def _may(route: Route, status: int) -> bool:
    """Whether an operation can be refused so by what it takes and who may call it."""
    if status == 400:
        return bool(route.roles)
    if status in (413, 415, 422):
        return route.takes is not None
    if status == 404:
        return "{" in route.path
    if status == 409:
        return route.method != "GET"
    return status == 503 or bool(route.roles)


def _refusal(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/responses/{name}"}


def _parameters(route: Route) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": _PATH.get(name, _NAME)}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    found += [
        {"name": name, "in": "query", "required": "default" not in _QUERY[name], "schema": _QUERY[name]}
        for name in route.query
    ]
    headers = dict(route.headers)
    if route.takes in ("bytes", "rows"):
        headers["Content-Digest"] = "RFC 9530: sha-256=:BASE64: of the body"
    found += [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in headers.items()
    ]
    return found


def _content(route: Route, refs: dict[type[msgspec.Struct], dict[str, Any]]) -> dict[str, Any]:
    """What the body may be."""
    if route.takes == "bytes":
        return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    if route.takes == "rows":
        return ROWS
    if not isinstance(route.takes, type):  # FHIR
        return {FHIR_TYPES[0]: {"schema": {"type": "object"}}} | {
            kind: {"schema": {"type": "string"}} for kind in FHIR_TYPES[1:]
        }
    content: dict[str, Any] = {
        "application/json": {"schema": refs[route.takes], "example": example(route.takes, request=True)}
    }
    if route.form is not None:
        content["application/x-ndjson"] = {"schema": {"type": "string"}, "example": '"4711"\n"4712"\n'}
    return content


def _answer(route: Route, refs: dict[type[msgspec.Struct], dict[str, Any]]) -> dict[str, Any]:
    headers = _REQUEST_ID | (_LOG if "site" in route.roles else {})
    answer: dict[str, Any] = {"description": route.summary, "headers": headers}
    if route.line is not None:
        lines = {"anyOf": [refs[route.line], refs[StreamEnd]]}
        answer["description"] += '. One JSON object per line; the last is {"done": true, "count": n}.'
        answer["content"] = {"application/x-ndjson": {"schema": lines, "example": example(route.line, request=False)}}
    elif isinstance(route.gives, type):
        made = example(route.gives, request=False)
        answer["content"] = {"application/json": {"schema": refs[route.gives], "example": made}}
        if route.form is not None:
            answer["content"]["application/x-ndjson"] = _lines(route.form, refs)
    elif route.gives == "text":
        answer["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif route.gives == "bytes":
        answer["content"] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return answer


def _lines(form: Form, refs: dict[type[msgspec.Struct], dict[str, Any]]) -> dict[str, Any]:
    """A line of an answer to a batch that came as lines."""
    text = {"type": "string"}
    served = {"type": "object", "properties": {form.word: text}, "required": [form.word]}
    hint = text | {"description": "What to do about it; may be empty"}
    code = text | {"description": "Code of what was not served; as the last line, of what ended the stream"}
    refused = {"type": "object", "properties": {"error": code, "hint": hint}, "required": ["error", "hint"]}
    return {"schema": {"anyOf": [served, refused, refs[StreamEnd]]}}
