"""Single calls share requests, and nobody's answer, error or cancellation is somebody else's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from trustcenter.client import RemoteError, TrustCenter, UnreachableError
from trustcenter.client.coalesce import Coalescer
from trustcenter.client.errors import ItemRefusedError
from trustcenter.client.settings import Settings
from trustcenter.messages.api import ItemError

Rogue = Any


@dataclass
class Service:
    """Answers as the service does: "p-" + value; refuses values that begin with "bad"."""

    delay: float = 0.0
    gate: asyncio.Event | None = None  # where there is one, no request is answered before it is set
    requests: list[list[str]] = field(default_factory=list)
    under_way: int = 0
    most: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        values = body.get("originals") or body["pseudonyms"]
        answers, errors = await self.ask(values)
        told = [{"index": e.index, "code": e.code, "hint": e.hint} for e in errors]
        answer = {"pseudonyms": answers, "errors": told, "key_version": 1}
        return web.json_response(answer | ({"created": 0} if "originals" in body else {}))

    async def ask(self, values: Any) -> tuple[list[str | None], list[ItemError]]:
        self.requests.append(list(values))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.delay)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.under_way -= 1
        errors = [
            ItemError(index=i, code="invalid_original", hint=f"about {i}")
            for i, value in enumerate(values)
            if value.startswith("bad")
        ]
        return [None if v.startswith("bad") else f"p-{v}" for v in values], errors


async def test_calls_of_one_moment_share_a_request(rogue: Rogue) -> None:
    service = Service()
    rogue.handler = service.handle
    async with TrustCenter(rogue.connection) as center:
        found = await asyncio.gather(*(center.pseudonym("north", f"{i % 300}") for i in range(1000)))
        assert found == [f"p-{i % 300}" for i in range(1000)]
        assert len(service.requests) == 1
        assert await asyncio.gather(center.translate_one("north", "a"), center.translate_one("south", "b")) == [
            "p-a",
            "p-b",
        ]
    assert sorted(service.requests[1:]) == [["a"], ["b"]]


async def test_calls_made_while_a_request_is_under_way_share_the_next(rogue: Rogue) -> None:
    service = Service(gate=asyncio.Event())
    rogue.handler = service.handle
    async with TrustCenter(rogue.connection, Settings(coalesce_hold=3600.0)) as center:
        tasks = [asyncio.create_task(center.pseudonym("north", "0"))]
        await asked(service, 1)
        for i in range(1, 40):  # one call every two milliseconds
            tasks.append(asyncio.create_task(center.pseudonym("north", str(i))))
            await asyncio.sleep(0.002)
        assert service.gate is not None
        service.gate.set()
        assert await asyncio.gather(*tasks) == [f"p-{i}" for i in range(40)]
    assert service.requests == [["0"], [str(i) for i in range(1, 40)]]


async def asked(service: Service, count: int) -> None:
    """Wait until so many requests have come."""
    while len(service.requests) < count:  # noqa: ASYNC110 - a fake service tells nobody
        await asyncio.sleep(0.002)


async def test_a_slow_request_holds_the_next_one_back_for_a_moment_only() -> None:
    service = Service(gate=asyncio.Event())  # it never answers
    queue = Coalescer(service.ask, Settings(coalesce_hold=0.02))
    first = asyncio.create_task(queue("a"))
    await asked(service, 1)
    second = asyncio.create_task(queue("b"))
    await asked(service, 2)
    assert service.requests == [["a"], ["b"]]
    await queue.close()
    assert await asyncio.gather(first, second, return_exceptions=True)


async def test_requests_are_bounded_in_number_and_size(rogue: Rogue) -> None:
    service = Service(delay=0.01)
    rogue.handler = service.handle
    async with TrustCenter(rogue.connection, Settings(batch=7, concurrency=3)) as center:
        found = await asyncio.gather(*(center.pseudonym("north", str(i)) for i in range(500)))
    assert found == [f"p-{i}" for i in range(500)]
    assert max(map(len, service.requests)) == 7
    assert service.most <= 3


async def test_an_error_of_the_request_is_one_exception_for_each_call(rogue: Rogue) -> None:
    async def refuse(_: web.Request) -> web.Response:
        body = {"type": "about:blank", "title": "t", "status": 404, "code": "not_found", "detail": "no such domain"}
        return web.json_response(body, status=404, content_type="application/problem+json")

    rogue.handler = refuse
    async with TrustCenter(rogue.connection) as center:
        found = await asyncio.gather(*(center.pseudonym("north", str(i)) for i in range(5)), return_exceptions=True)
    assert [type(e).__mro__[1] for e in found] == [RemoteError] * 5
    assert {(e.code, e.kind, e.status) for e in found} == {("not_found", "not_found", 404)}  # type: ignore[union-attr]
    assert len({id(e) for e in found}) == 5
    assert len(rogue.asked) == 1


@pytest.mark.parametrize("value", ["", "\ud800", "x" * 5000])
async def test_a_value_that_would_spoil_the_request_is_refused_alone(rogue: Rogue, value: str) -> None:
    service = Service()
    rogue.handler = service.handle
    async with TrustCenter(rogue.connection) as center:
        good, bad = await asyncio.gather(
            center.pseudonym("north", "4711"), center.pseudonym("north", value), return_exceptions=True
        )
    assert good == "p-4711"
    assert isinstance(bad, ItemRefusedError)
    assert bad.code == "invalid_value"
    assert service.requests == [["4711"]]


async def test_closing_ends_waiting_calls_with_an_error(rogue: Rogue) -> None:
    service = Service(gate=asyncio.Event())  # it never answers
    rogue.handler = service.handle
    async with TrustCenter(rogue.connection) as center:
        tasks = [asyncio.create_task(center.pseudonym("north", str(i))) for i in range(3)]
        await asked(service, 1)
        tasks.append(asyncio.create_task(center.pseudonym("north", "late")))
        await asyncio.sleep(0)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(e, UnreachableError) and e.code == "client_closed" for e in found)


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "bad-1", "bad-2", "e", "f"]),  # value
        st.integers(0, 6),  # milliseconds until the call
        st.one_of(st.none(), st.integers(0, 12)),  # milliseconds until its cancellation
    ),
    max_size=30,
)


@given(CALLS, st.integers(1, 4), st.integers(1, 3), st.booleans())
@examples(max_examples=60)
def test_each_call_gets_exactly_its_own(
    calls: list[tuple[str, int, int | None]], batch: int, concurrency: int, broken: bool
) -> None:
    service = Service(delay=0.003)

    async def ask(values: Any) -> tuple[list[str | None], list[ItemError]]:
        answer = await service.ask(values)
        if broken and "e" in values:
            raise UnreachableError("cut")
        return answer

    async def main() -> None:
        queue = Coalescer(ask, Settings(batch=batch, concurrency=concurrency, coalesce_hold=0.004))

        async def one(value: str, wait: int) -> str:
            await asyncio.sleep(wait / 1000)
            return await queue(value)

        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(one(value, wait)) for value, wait, _ in calls]
        for task, (_, _, cancel) in zip(tasks, calls, strict=True):
            if cancel is not None:
                loop.call_later(cancel / 1000, task.cancel)
        async with asyncio.timeout(100):
            found = await asyncio.gather(*tasks, return_exceptions=True)
        for (value, _, cancel), result in zip(calls, found, strict=True):
            if cancel is not None and isinstance(result, asyncio.CancelledError):
                continue
            if isinstance(result, UnreachableError):
                assert broken
            elif value.startswith("bad"):
                assert isinstance(result, ItemRefusedError)
                assert result.code == "invalid_original"
            else:
                assert result == f"p-{value}"
        assert all(len(values) <= batch and len(set(values)) == len(values) for values in service.requests)
        assert service.most <= concurrency
        await queue.close()

    asyncio.run(main())
