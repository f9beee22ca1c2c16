"""A service that misbehaves gets neither a signature nor an output out of the client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from client_support import DOMAIN

from trustcenter.client import TrustCenter
from trustcenter.client.errors import BadAnswerError
from trustcenter.client.jobs.sources import Selection
from trustcenter.client.reidentify import NotInTicketError, approve, fetch_file, request_file
from trustcenter.errors import TrustCenterError, VerificationError
from trustcenter.messages import reidentification as wire

IDENT, SALT = "ab" * 16, b"s" * 16
VALUES = ["PSN-1", "PSN-2"]


def described(**changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "instance": "00" * 16, "reidentification": IDENT, "domain": "north", "domain_uuid": "11" * 16,
        "site": "north", "reason": "why", "pseudonyms": 2, "digest": wire.digest(SALT, VALUES), "signatures": 1,
        "fetches": 5, "open_until": "2026-12-01T00:00:00.000000Z", "valid_hours": 24,
    }  # fmt: skip
    return {
        "reidentification": IDENT, "domain": "north", "site": "north", "reason": "why", "pseudonyms": 2,
        "statement": wire.Statement(**(facts | changes)).text, "approvals": [], "required": 1, "state": "approved",
        "expires": "2026-12-01T00:00:00.000000Z", "fetches_left": 4, "denied_by": None, "denial": None,
        "created": "2026-11-24T00:00:00.000000Z", "salt": SALT.hex(),
    }  # fmt: skip


def answering(rogue: Any, one: dict[str, Any], originals: dict[str, Any] | None = None) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/originals"):
            return web.json_response(originals)
        if request.path.endswith("/domains/north"):
            return web.json_response(DOMAIN)
        return web.json_response(one)

    rogue.handler = handler


def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("psn\n" + "".join(f"{value}\n" for value in VALUES))
    return path


def chosen(tmp_path: Path) -> Selection:
    return Selection(source(tmp_path), "psn")


@pytest.mark.parametrize(
    ("originals", "errors", "error"),
    [
        (["4711", "PSN-2"], [], BadAnswerError),
        (["PSN-1", "PSN-2"], [], BadAnswerError),
        (["4711"], [], BadAnswerError),
        (["4711", "4712", "4713"], [], BadAnswerError),
        (["4711", None], [], NotInTicketError),
        (["4711", None], [{"index": 1, "code": "not_in_ticket"}], NotInTicketError),
        (["4711", "4712"], [{"index": 0, "code": "not_in_ticket"}], NotInTicketError),
    ],
    ids=["one echoed", "all echoed", "too few", "too many", "null", "null and its error", "a value and its error"],
)
async def test_no_output_unless_every_row_has_its_original(
    rogue: Any, tmp_path: Path, originals: list[Any], errors: list[Any], error: type[Exception]
) -> None:
    answering(rogue, described(), {"originals": originals, "errors": errors, "fetches_left": 3, "state": "approved"})
    async with TrustCenter(rogue.connection) as center:
        with pytest.raises(error):
            await fetch_file(center, IDENT, chosen(tmp_path), tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


async def test_a_failed_fetch_is_not_repeated(rogue: Any, tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/originals"):
            raise web.HTTPServiceUnavailable
        return web.json_response(DOMAIN if request.path.endswith("/domains/north") else described())

    rogue.handler = handler
    async with TrustCenter(rogue.connection) as center:
        with pytest.raises(TrustCenterError):
            await fetch_file(center, IDENT, chosen(tmp_path), tmp_path / "out.csv")
    assert [method for method, path in rogue.asked if path.endswith("/originals")] == ["POST"]


@pytest.mark.parametrize(
    "changes",
    [
        {"reidentification": "cd" * 16},
        {"domain": "south"},
        {"site": "south"},
        {"reason": "another"},
        {"pseudonyms": 2000},
        {"reason": "why\npseudonyms: 2"},
    ],
    ids=["request", "domain", "site", "reason", "number", "a line smuggled in"],
)
async def test_a_statement_that_says_something_else_is_not_signed(rogue: Any, changes: dict[str, Any]) -> None:
    answering(rogue, described(**changes))

    def sign(_: str) -> str:
        raise AssertionError("asked to sign")

    async with TrustCenter(rogue.connection) as center:
        with pytest.raises(VerificationError):
            await approve(center, IDENT, sign)
    assert {method for method, _ in rogue.asked} == {"GET"}


@pytest.mark.parametrize(
    "changes", [{"digest": "0" * 64}, {"digest": wire.digest(SALT, ["PSN-1", "PSN-3"])}, {"pseudonyms": 3}]
)
async def test_the_requester_checks_what_the_approver_will_sign(
    rogue: Any, tmp_path: Path, changes: dict[str, Any]
) -> None:
    answering(rogue, described(**changes))
    async with TrustCenter(rogue.connection) as center:
        with pytest.raises(VerificationError):
            await request_file(center, "north", chosen(tmp_path), "why")
        answering(rogue, described())
        assert (await request_file(center, "north", chosen(tmp_path), "why")).reidentification == IDENT
