"""A small world of sites and people at the live service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from raw_support import Raw

from trustcenter.client.connection import Connection


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
