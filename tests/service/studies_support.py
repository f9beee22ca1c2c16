"""A study at the live service up to an applied run, for tests of what comes after."""

from __future__ import annotations

import time
from typing import Any

from sources_support import Source, register, send_map, send_rows


def make_study(world: Any, recipient_key: Any, name: str, sites=("north", "south"), **other: Any) -> Any:
    body = {
        "name": name,
        "purpose": "Test of the joined care of hearts",
        "permit": "EK 2026-1",
        "participants": [{"site": site} for site in sites],
        "recipients": [{"name": "dms", "public_key": recipient_key.public}],
        **other,
    }
    return world["operator"]("POST", "/v1/studies", body)


def move(world: Any, study: str, state: str) -> Any:
    return world["operator"]("POST", f"/v1/studies/{study}/state", {"state": state})


def bring(world: Any, study: str, site: str, source: Source) -> dict[str, str]:
    """Register and upload a source; study pseudonyms by record number."""
    answer = register(world, site, study, source)
    assert answer.status == 200, answer.body
    receipt = send_rows(world, site, study, source)
    accepted = send_map(world, site, study, receipt, source.entries())
    assert accepted.status == 200, accepted.body
    return dict(zip(source.hex_numbers, answer.json["pseudonyms"], strict=True))


def link(world: Any, study: str) -> Any:
    """A run, to its end."""
    run = world["operator"]("POST", f"/v1/studies/{study}/runs").json
    deadline = time.monotonic() + 180
    while run["state"] not in ("applied", "failed", "cancelled") and time.monotonic() < deadline:
        time.sleep(0.3)
        run = world["operator"]("GET", f"/v1/studies/{study}/runs/{run['run']}").json
    assert run["state"] == "applied", run
    return run


def release(world: Any, study: str, *, approvers=("anna", "bernd")) -> Any:
    """A release that those approvers have signed."""
    from keys.personal import PersonalKey
    from trustcenter.registrar.release.releases import CONTEXT

    base = f"/v1/studies/{study}/releases"
    made = world["operator"]("POST", base, {"recipient": "dms"})
    assert made.status == 201, made.body
    found = made.json
    for name in approvers:
        signature = PersonalKey.load(world.keys[name]).sign(CONTEXT, found["statement"].encode())
        answer = world[name]("POST", f"{base}/{found['release']}/approvals", {"signature": signature})
        assert answer.status == 200, answer.body
        found = answer.json
    return found
