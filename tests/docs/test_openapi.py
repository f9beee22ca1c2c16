"""The interface's description: valid, complete, and with examples that are what they say."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import validate

from trustcenter.http.calls import Route
from trustcenter.http.openapi.document import document
from trustcenter.http.openapi.fields import FIELDS
from trustcenter.http.openapi.words import WORDS
from trustcenter.http.routes.rooms import routes_of
from trustcenter.http.routes.table import ROUTES

DOCUMENT = msgspec.json.decode(document(ROUTES))
OPERATIONS = [pytest.param(route, id=route.name) for route in ROUTES]


def described(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][route.path][route.method.lower()]
    return found


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


@pytest.mark.parametrize("route", OPERATIONS)
def test_every_operation_is_complete(route: Route) -> None:
    operation = described(route)
    assert operation["summary"]
    assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    parameters = {(p["in"], p["name"]) for p in operation.get("parameters", [])}
    assert {name for place, name in parameters if place == "path"} == set(re.findall(r"{(\w+)}", route.path))
    assert {name for place, name in parameters if place == "query"} == set(route.query)
    assert ("429" in operation["responses"]) == bool(route.roles) == ("security" in operation)
    assert {"503", "default", str(route.status)} <= operation["responses"].keys()
    for answer in operation["responses"].values():
        name = answer.get("$ref", "").removeprefix("#/components/responses/")
        assert not name or name in DOCUMENT["components"]["responses"]


def test_every_field_of_every_message_is_described_and_nothing_else_is() -> None:
    fields = {
        (message, name): field
        for room in ("both", "registrar", "comparator")
        for message, schema in msgspec.json.decode(document(routes_of(room)))["components"]["schemas"].items()
        for name, field in schema.get("properties", {}).items()
    }
    assert [place for place in sorted(fields) if place not in FIELDS and place[1] not in WORDS] == []
    assert [place for place, field in sorted(fields.items()) if "description" not in field] == []
    assert FIELDS.keys() <= fields.keys()
    assert {name for _, name in fields.keys() - FIELDS.keys()} == WORDS.keys()


@pytest.mark.parametrize("route", OPERATIONS)
def test_every_example_is_a_message_of_its_type(route: Route) -> None:
    operation = described(route)
    if isinstance(route.takes, type):
        shown = operation["requestBody"]["content"]["application/json"]["example"]
        msgspec.json.decode(msgspec.json.encode(shown), type=route.takes)
    for kind, media in ((route.gives, "application/json"), (route.line, "application/x-ndjson")):
        if isinstance(kind, type):
            shown = operation["responses"][str(route.status)]["content"][media]["example"]
            msgspec.json.decode(msgspec.json.encode(shown), type=kind)


def test_parameters_have_their_own_types() -> None:
    def schema(path: str, method: str, name: str) -> dict[str, Any]:
        found = DOCUMENT["paths"][path][method]["parameters"]
        return next(one for one in found if one["name"] == name)

    assert schema("/v1/studies/{study}/changes", "get", "recipient")["schema"]["type"] == "string"
    assert not schema("/v1/studies/{study}/changes", "get", "since")["required"]
    assert not schema("/v1/rotations/{rotation}/map", "get", "party")["required"]
    assert schema("/v1/audit/{room}/consistency/{old}/{new}", "get", "old")["schema"]["type"] == "integer"
    assert schema("/v1/domains/{domain}/additional", "post", "Idempotency-Key")["required"]
