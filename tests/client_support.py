"""Stand-ins for a service that misbehaves: what they answer, shared by the tests of the client."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

DOMAIN: dict[str, Any] = {
    "name": "north",
    "uuid": "0" * 32,
    "kind": "site",
    "site": "north",
    "study": None,
    "recipient": None,
    "suite": "computed",
    "key_version": 1,
    "pseudonyms": 0,
    "created": "2026-11-24T00:00:00Z",
}


def problem(status: int, code: str, **more: str) -> web.Response:
    """An answer as RFC 9457 has it."""
    body = {"type": "about:blank", "title": "t", "status": status, "code": code, "detail": "d", **more}
    return web.json_response(body, status=status, content_type="application/problem+json")


class Pseudonyms:
    """Pseudonyms without memory: "P-", domain, value in hex; refuses "bad…"; breaks or turns its key on request."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay, self.version, self.asked, self.requests = delay, 1, 0, 0
        self.break_after: int | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        domain = request.path.split("/")[3]
        if domain == "missing":
            return problem(404, "not_found")
        if request.method == "GET":
            return web.json_response({**DOMAIN, "name": domain})
        if self.break_after is not None and self.asked >= self.break_after:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        body = await request.json()
        values = body.get("originals") or body["pseudonyms"]
        self.asked += len(values)
        self.requests += 1
        await asyncio.sleep(self.delay)
        errors = [{"index": i, "code": "invalid_original", "hint": "h"} for i, v in enumerate(values) if "bad" in v]
        answers = [None if "bad" in v else self.pseudonym(domain, v) for v in values]
        answer = {"pseudonyms": answers, "errors": errors, "key_version": self.version}
        return web.json_response(answer | ({"created": len(values)} if "originals" in body else {}))

    def pseudonym(self, domain: str, value: str) -> str:
        return f"P-{domain}-{value.encode().hex()}"
