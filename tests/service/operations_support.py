"""What tests of the operations on pseudonyms share: domains with a policy, calls, and their entries in the log."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keys.passphrase import read_passphrase
from keys.personal import PersonalKey
from trustcenter.config import load
from trustcenter.instance.opening import open_instance

_names = itertools.count()
FORMAT = {"prefix": "PSN-", "alphabet": "numbers", "length": 8, "check": "damm"}


def new_name() -> str:
    return f"ops-{next(_names)}"


def make(world, **options: Any) -> str:
    name = new_name()
    made = world["operator"]("POST", "/v1/domains", {"name": name, "site": "north", **options})
    assert made.status == 201, made.body
    for option, value in options.items():
        assert made.json[option] == value
    return name


def post(world, domain: str, verb: str, body: Any, status: int = 200, **headers: str) -> Any:
    answer = world["north"]("POST", f"/v1/domains/{domain}/{verb}", body, headers=headers)
    assert answer.status == status, answer.body
    return answer.json


def ask(world, domain: str, originals: list[str], **more: Any) -> Any:
    return post(world, domain, "pseudonyms", {"originals": originals, **more})


def codes(answer: Any) -> list[tuple[int, str]]:
    return [(error["index"], error["code"]) for error in answer["errors"]]


def events(world) -> list[Any]:
    return [json.loads(line) for line in world["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()]


def entries(world, event: str, domain: str) -> list[dict[str, Any]]:
    found = [entry for line in events(world) if (entry := _entry(line)).get("event") == event]
    return [entry["data"] for entry in found if entry["data"].get("domain") == domain]


def _entry(line: Any) -> dict[str, Any]:
    if isinstance(line, dict) and "event" in line:
        return line
    inner = line.get("entry", line.get("leaf", {})) if isinstance(line, dict) else {}
    return inner if isinstance(inner, dict) else json.loads(inner)


def pairs(*items: tuple[str, str]) -> dict[str, Any]:
    return {"pairs": [{"original": original, "pseudonym": pseudonym} for original, pseudonym in items]}


def close(world, domain: str, days: int = 30) -> dict[str, Any]:
    """Two people close a domain."""
    proposed = world["operator"]("POST", f"/v1/domains/{domain}/close", {"days": days})
    assert proposed.status == 200, proposed.body
    return approve(world, "anna", domain, proposed.json["statement"])


def approve(world, name: str, domain: str, statement: str, status: int = 200, key: str = "") -> dict[str, Any]:
    signature = PersonalKey.load(world.keys[key or name]).sign("trustcenter/domain-close/1", statement.encode())
    answer = world[name]("POST", f"/v1/domains/{domain}/close/approvals", {"signature": signature})
    assert answer.status == status, answer.body
    body: dict[str, Any] = answer.json
    return body


async def later(directory: Path, days: int, job: Any = None) -> None:
    """Start the instance with a clock that is ahead, and stop it again."""
    config = load(directory)
    assert config.files.passphrase is not None
    passphrase = read_passphrase(config.path(config.files.passphrase), prompt=False)
    async with open_instance(config, passphrase, lambda: datetime.now(UTC) + timedelta(days=days)) as instance:
        if job is not None:
            await job(instance.registrar)
