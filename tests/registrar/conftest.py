"""An opened registrar with two sites, and what tests ask of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests_support import make_instance

from trustcenter import config
from trustcenter.auth import Principal
from trustcenter.instance.opening import open_instance
from trustcenter.messages import api
from trustcenter.registrar import domain_create
from trustcenter.registrar.context import Context
from trustcenter.registrar.pseudonyms import operations

NORTH = Principal("north", "site", "t")
SOUTH = Principal("south", "site", "t")
OPERATOR = Principal("olga", "operator", "t")
QUOTA = 200


class House:
    """The registrar, called as a site's requests would call it."""

    north, south = NORTH, SOUTH
    quota = QUOTA

    def __init__(self, context: Context) -> None:
        self.context = context

    async def ask(self, who: Principal, domain: str, request: str, *originals: str) -> api.PseudonymAnswer:
        body = api.PseudonymRequest(originals=list(originals))
        return await operations.pseudonymize(self.context, who, request, domain, body)

    async def issued(self) -> list[dict[str, Any]]:
        """What the log says of issues, oldest first."""
        query = "SELECT leaf FROM audit_entry ORDER BY seq"
        leaves = await self.context.db.read(lambda conn: conn.execute(query).fetchall())
        entries = [json.loads(leaf) for (leaf,) in leaves]
        return [entry["data"] for entry in entries if entry["event"] == "site:pseudonym:issue"]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    make_instance(tmp_path / "instance")
    loaded = config.load(tmp_path / "instance")
    limits = msgspec.structs.replace(loaded.limits, new_per_day=QUOTA)
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    async with open_instance(msgspec.structs.replace(loaded, limits=limits), passphrase) as opened:
        context = opened.registrar

        def sites(conn: Any) -> None:
            context.directory.add_site(conn, "north", "diz", "North")
            context.directory.add_site(conn, "south", "diz", "South")

        await context.db.write(sites)
        for name, site in (("north", "north"), ("south", "south")):
            await domain_create.create(context, OPERATOR, "r", api.DomainCreate(name=name, site=site))
        await domain_create.create(
            context, OPERATOR, "r", api.DomainCreate(name="oneway", site="north", reversible=False)
        )
        yield House(context)
