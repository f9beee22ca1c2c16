"""Raw requests over TLS, and a small world of sites and people at the live service."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from trustcenter.client.connection import Connection


@dataclass
class Answer:
    """Status, headers and body of a raw response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


class Raw:
    """One caller, with no client library in between."""

    def __init__(self, connection: Connection, token: str | None = "own") -> None:
        parts = urlsplit(connection.url)
        context = ssl.create_default_context(cadata=connection.ca)
        self._make = lambda: http.client.HTTPSConnection(parts.hostname, parts.port, context=context, timeout=60)
        self._token = connection.token if token == "own" else token

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        sent = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        conn = self._make()
        try:
            conn.request(method, path, data, sent)
            response = conn.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            conn.close()


@dataclass
class World:
    """A live service with two sites, a domain each, and one person per staff role."""

    live: Any
    callers: dict[str, Raw]
    keys: dict[str, Path]

    def __getitem__(self, name: str) -> Raw:
        return self.callers[name]


@pytest.fixture(scope="module")
def world(live: Any, tmp_path_factory: pytest.TempPathFactory) -> World:
    from keys.personal import PersonalKey

    operator_connection = Connection.load(live.operator)
    operator = Raw(operator_connection)
    callers = {"operator": operator, "nobody": Raw(operator_connection, None)}
    keys: dict[str, Path] = {}

    def with_token(token: str) -> Raw:
        return Raw(operator_connection, token)

    for site in ("north", "south", "east"):
        made = operator("POST", "/v1/sites", {"name": site, "kind": "diz", "title": site.title()})
        assert made.status == 201, made.body
        callers[site] = with_token(operator("POST", f"/v1/sites/{site}/tokens", {}).json["token"])
        assert operator("POST", "/v1/domains", {"name": site, "site": site}).status == 201
    folder = tmp_path_factory.mktemp("people")
    for name, role in (("anna", "approver"), ("bernd", "approver"), ("clara", "auditor"), ("dora", "steward")):
        body: dict[str, Any] = {"name": name, "role": role}
        if role == "approver":
            key = PersonalKey.generate()
            keys[name] = folder / f"{name}.key"
            key.save(keys[name])
            body["public_key"] = key.public
        added = operator("POST", "/v1/staff", body)
        assert added.status == 201, added.body
        callers[name] = with_token(added.json["token"]["token"])
    return World(live, callers, keys)
