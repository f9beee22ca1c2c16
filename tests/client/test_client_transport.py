"""What the client does when the service, the network or somebody in between does not behave."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import trustme
from aiohttp import web
from client_support import DOMAIN, problem

from trustcenter.client import BadAnswerError, RemoteError, TrustCenter, UnreachableError
from trustcenter.client.settings import Settings
from trustcenter.errors import VerificationError, exit_code
from trustcenter.messages import api as m

Rogue = Any  # the fixture's class lives in conftest.py, which is not importable
QUICK = Settings(backoff=0.01, backoff_max=0.02, retry_for=2.0)


@pytest.mark.parametrize("status", [429, 503])
async def test_repeatable_calls_are_retried(rogue: Rogue, status: int) -> None:
    async def twice_busy(_: web.Request) -> web.Response:
        return problem(status, "busy") if len(rogue.asked) < 3 else web.json_response(DOMAIN)

    rogue.handler = twice_busy
    async with TrustCenter(rogue.connection, QUICK) as center:
        assert (await center.domain("north")).name == "north"
    assert len(rogue.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 500])
async def test_other_problems_are_not_retried(rogue: Rogue, status: int) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return problem(status, "no")

    rogue.handler = refuse
    async with TrustCenter(rogue.connection, QUICK) as center:
        with pytest.raises(RemoteError):
            await center.domain("north")
    assert len(rogue.asked) == 1


async def test_calls_with_an_effect_are_sent_once(rogue: Rogue) -> None:
    async def busy(_: web.Request) -> web.Response:
        return problem(503, "busy")

    rogue.handler = busy
    async with TrustCenter(rogue.connection, QUICK) as center:
        with pytest.raises(RemoteError):
            await center.create_domain(m.DomainCreate(name="north", site="north"))
        with pytest.raises(RemoteError):
            await center.rotate_key("north", m.RotateRequest(dry_run=False, expected_version=1))
        with pytest.raises(RemoteError):
            await center.propose_release("sepsis", "dms")
        with pytest.raises(RemoteError):
            await center.start_run("sepsis")
    assert len(rogue.asked) == 4


async def test_retry_after_is_respected(rogue: Rogue) -> None:
    times: list[float] = []

    async def later(_: web.Request) -> web.Response:
        times.append(time.monotonic())
        if len(times) > 1:
            return web.json_response(DOMAIN)
        answer = problem(429, "rate_limited")
        answer.headers["Retry-After"] = "1"
        return answer

    rogue.handler = later
    async with TrustCenter(rogue.connection, QUICK) as center:
        await center.domain("north")
    assert times[1] - times[0] >= 1.0


async def test_a_dropped_connection_is_retried_for_repeatable_calls_only(rogue: Rogue) -> None:
    async def drop_first(request: web.Request) -> web.Response:
        if len(rogue.asked) == 1 or request.path == "/v1/domains":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(DOMAIN)

    rogue.handler = drop_first
    async with TrustCenter(rogue.connection, QUICK) as center:
        assert (await center.domain("north")).name == "north"
        assert len(rogue.asked) == 2
        with pytest.raises(UnreachableError):
            await center.create_domain(m.DomainCreate(name="north", site="north"))
    assert len(rogue.asked) == 3


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "usage", 1),
        (401, "policy", 4),
        (403, "policy", 4),
        (404, "not_found", 1),
        (409, "conflict", 1),
        (413, "limit", 1),
        (422, "verification", 3),
        (500, "internal", 2),
        (507, "internal", 2),
    ],
)
async def test_a_problem_becomes_an_error_of_its_kind(rogue: Rogue, status: int, kind: str, code: int) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return problem(status, "some_code", hint="do this", where="row 7", request_id="abc")

    rogue.handler = refuse
    async with TrustCenter(rogue.connection, QUICK) as center:
        with pytest.raises(RemoteError) as caught:
            await center.domain("north")
    error = caught.value
    assert (error.code, error.kind, error.hint, error.where) == ("some_code", kind, "do this", "row 7")
    assert (error.request_id, error.status, exit_code(error)) == ("abc", status, code)


async def test_the_status_line_decides_not_the_body(rogue: Rogue) -> None:
    async def lie(_: web.Request) -> web.Response:
        answer = problem(403, "forbidden")
        answer.set_status(500)
        return answer

    rogue.handler = lie
    async with TrustCenter(rogue.connection, QUICK) as center:
        with pytest.raises(RemoteError) as caught:
            await center.domain("north")
    assert caught.value.kind == "internal"


async def test_a_page_of_a_gateway_is_an_unexpected_answer_and_not_shown(rogue: Rogue) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(status=502, text="<h1>patient 4711</h1>", content_type="text/html")

    rogue.handler = page
    async with TrustCenter(rogue.connection, QUICK) as center:
        with pytest.raises(RemoteError) as caught:
            await center.domain("north")
    assert caught.value.code == "unexpected_answer"
    assert "4711" not in repr(caught.value) + caught.value.message + caught.value.hint


async def test_redirects_are_not_followed(rogue: Rogue) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("/somewhere")

    rogue.handler = elsewhere
    async with TrustCenter(rogue.connection, QUICK) as center:
        with pytest.raises(RemoteError):
            await center.domain("north")
    assert rogue.asked == [("GET", "/v1/domains/north")]


async def test_proxies_of_the_environment_are_ignored(rogue: Rogue, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(DOMAIN)

    rogue.handler = answer
    async with TrustCenter(rogue.connection, QUICK) as center:
        assert (await center.domain("north")).name == "north"


async def test_another_authority_is_refused_before_the_token_is_sent(rogue: Rogue) -> None:
    other = msgspec.structs.replace(rogue.connection, ca=trustme.CA().cert_pem.bytes().decode())
    async with TrustCenter(other, QUICK) as center:
        with pytest.raises(VerificationError) as caught:
            await center.domain("north")
    assert (caught.value.code, exit_code(caught.value), rogue.asked) == ("untrusted_service", 3, [])


@pytest.mark.parametrize(
    ("days", "name", "code"),
    [
        ((-2, -1), "127.0.0.1", "service_certificate_expired"),
        ((1, 2), "127.0.0.1", "service_certificate_early"),
        ((-1, 1), "127.0.0.2", "other_service_name"),
        ((-1, 1), "center.example", "other_service_name"),
    ],
)
async def test_a_certificate_that_does_not_hold_is_told_by_what_is_wrong_with_it(
    rogue: Rogue, authority: trustme.CA, days: tuple[int, int], name: str, code: str
) -> None:
    begin, end = (datetime.now(UTC) + timedelta(days=count) for count in days)
    rogue.use(authority.issue_cert(name, not_before=begin, not_after=end))
    async with TrustCenter(rogue.connection, QUICK) as center:
        with pytest.raises(VerificationError) as caught:
            await center.domain("north")
    assert (caught.value.code, exit_code(caught.value), rogue.asked) == (code, 3, [])
    assert caught.value.hint


async def test_an_answer_of_another_length_is_never_used(rogue: Rogue) -> None:
    async def short(_: web.Request) -> web.Response:
        return web.json_response({"pseudonyms": ["X"], "errors": [], "key_version": 1, "created": 1})

    rogue.handler = short
    async with TrustCenter(rogue.connection, QUICK) as center:
        with pytest.raises(BadAnswerError):
            await center.pseudonymize("north", ["a", "b"])


async def test_an_unknown_field_is_an_unexpected_answer(rogue: Rogue) -> None:
    async def more(_: web.Request) -> web.Response:
        return web.json_response({**DOMAIN, "surname": "Müller"})

    rogue.handler = more
    async with TrustCenter(rogue.connection, QUICK) as center:
        with pytest.raises(BadAnswerError) as caught:
            await center.domain("north")
    assert "surname" not in caught.value.message + caught.value.hint


async def test_an_endless_answer_is_cut_off(rogue: Rogue) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await answer.write(b"x" * 65536)
            await asyncio.sleep(0)
        return answer

    rogue.handler = endless
    async with TrustCenter(rogue.connection, Settings(answer_bytes=2**20)) as center:
        with pytest.raises(BadAnswerError) as caught:
            await center.domain("north")
    assert caught.value.code == "answer_too_large"


def _stream(*lines: bytes) -> Any:
    async def answer(request: web.Request) -> web.StreamResponse:
        made = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await made.prepare(request)
        for line in lines:
            await made.write(line)
        return made

    return answer


ONE = b'{"old":"A","new":"B"}\n'


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ((ONE,), "stream_cut"),
        ((ONE, b'{"done":true,"count":2}\n'), "unexpected_answer"),
        ((ONE, b'{"done":false,"count":1}\n'), "unexpected_answer"),
        ((ONE, b'{"done":true,"count":1}\n', ONE), "unexpected_answer"),
        ((b"<html>\n",), "unexpected_answer"),
        ((b"x" * 100_000,), "answer_too_large"),
        ((), "stream_cut"),
    ],
    ids=["no end", "wrong count", "not done", "after the end", "no json", "long line", "empty"],
)
async def test_a_stream_without_its_right_end_is_an_error(rogue: Rogue, lines: tuple[bytes, ...], error: str) -> None:
    rogue.handler = _stream(*lines)
    async with TrustCenter(rogue.connection, QUICK) as center:
        with pytest.raises((BadAnswerError, UnreachableError)) as caught:
            async for _ in center.translations("north", 1):
                pass
    assert caught.value.code == error


async def test_a_whole_stream_is_read_whatever_its_pieces(rogue: Rogue) -> None:
    text = ONE * 3 + b'{"done":true,"count":3}\n'
    rogue.handler = _stream(*(text[i : i + 7] for i in range(0, len(text), 7)))
    async with TrustCenter(rogue.connection, QUICK) as center:
        assert [pair.new async for pair in center.translations("north", 1)] == ["B"] * 3


async def test_a_stream_that_breaks_is_unreachable(rogue: Rogue) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        made = web.StreamResponse()
        await made.prepare(request)
        await made.write(ONE)
        assert request.transport is not None
        request.transport.abort()
        return made

    rogue.handler = broken
    async with TrustCenter(rogue.connection, QUICK) as center:
        with pytest.raises(UnreachableError):
            async for _ in center.translations("north", 1):
                pass


async def test_chunks_carry_their_digest_and_the_token_is_a_bearer(rogue: Rogue) -> None:
    async def stored(_: web.Request) -> web.Response:
        return web.json_response({"upload": "0" * 32, "chunk": 0, "received": 1, "chunks": 1})

    rogue.handler = stored
    async with TrustCenter(rogue.connection, QUICK) as center:
        await center.put_chunk("sepsis", "0" * 32, 0, b"rows")
    digest = base64.b64encode(hashlib.sha256(b"rows").digest()).decode()
    assert rogue.headers[0]["Content-Digest"] == f"sha-256=:{digest}:"
    assert rogue.headers[0]["Authorization"] == "Bearer tc1_secret-token"
    assert rogue.headers[0]["Accept-Encoding"] == "identity"


async def test_names_cannot_leave_their_place_in_the_path(rogue: Rogue) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(DOMAIN)

    rogue.handler = answer
    async with TrustCenter(rogue.connection, QUICK) as center:
        await center.domain("../keys?x=1#y")
    assert rogue.asked == [("GET", "/v1/domains/..%2Fkeys%3Fx%3D1%23y")]


async def test_at_most_so_many_requests_at_a_time(rogue: Rogue) -> None:
    now = most = 0
    three = asyncio.Barrier(3)

    async def slow(_: web.Request) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await three.wait()
        await asyncio.sleep(0.02)  # in which a fourth would come
        now -= 1
        return web.json_response(DOMAIN)

    rogue.handler = slow
    async with TrustCenter(rogue.connection, Settings(concurrency=3)) as center:
        await asyncio.gather(*(center.domain("north") for _ in range(12)))
    assert most == 3


async def test_a_site_create_is_what_the_interface_says(rogue: Rogue) -> None:
    seen: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return web.json_response({"name": "n", "kind": "diz", "title": "T", "created": "now"}, status=201)

    rogue.handler = answer
    async with TrustCenter(rogue.connection, QUICK) as center:
        made = await center.create_site(m.SiteCreate(name="n", kind=m.SiteKind.DIZ, title="T"))
    assert seen == [{"name": "n", "kind": "diz", "title": "T"}]
    assert made.kind is m.SiteKind.DIZ
