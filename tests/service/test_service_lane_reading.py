"""What the short way of small requests takes for a request is what aiohttp takes for one, byte by byte."""

from __future__ import annotations

import asyncio
import random

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser

from trustcenter.http.access import bearer
from trustcenter.http.lane import Plain, read


def request(body: bytes, *more: str) -> bytes:
    lines = ("POST /v1/domains/north/pseudonyms HTTP/1.1", "Host: x", "Authorization: Bearer tc1_abc",
             "Content-Type: application/json", f"Content-Length: {len(body)}", *more)  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_a_head_whose_body_is_still_to_come_is_known_as_such() -> None:
    whole = request(b'{"originals": ["a"]}')
    start = whole.index(b"\r\n\r\n") + 4
    for end in range(start, len(whole)):
        assert read(whole[:end]) == "more"
    assert isinstance(read(whole), Plain)
    for end in range(start):
        assert read(whole[:end]) is None
    assert read(whole + b" ") is None
    assert read(request(b" " * 5000)[:1000]) is None


ODD = (
    b"Transfer-Encoding: chunked", b"Content-Length: 5", b"Content-Length: +5", b"Expect: 100-continue", b" folded",
    b"Content-Encoding: gzip", b"Connection: close", b"Connection: upgrade", b"Upgrade: h2c", b"Idempotency-Key: k",
    b"Content-Length : 26", b"Host: y", b"Host", b": x", b"Content-Type: text/plain", b"Authorization: Bearer other",
    b"Accept: a\tb", b"Accept: a\x00b", b"Accept:", b"Accept: \x80", b"content-length: 26",
)  # fmt: skip


class _Nobody(BaseProtocol):
    pass


def _by_aiohttp(data: bytes, loop: asyncio.AbstractEventLoop) -> tuple[str, str, str | None, bytes] | None:
    """Method, path, Authorization and body of the one whole request that `data` is; None if it is anything else."""
    parser = HttpRequestParser(_Nobody(loop), loop, 2**16, max_line_size=8190, max_field_size=8190)
    try:
        messages, upgraded, tail = parser.feed_data(data)
    except HttpProcessingError:
        return None
    if len(messages) != 1 or upgraded or tail:
        return None
    message, payload = messages[0]
    if not payload.is_eof() or message.chunked or message.compression or message.should_close:
        return None
    return message.method, message.path, message.headers.get("Authorization"), payload.read_nowait()


def test_what_is_read_is_what_aiohttp_reads() -> None:
    """Thousands of requests with a byte, a line or a header changed: whatever is taken, aiohttp reads just so."""
    chosen = random.Random(11)
    loop = asyncio.new_event_loop()
    whole = request(b'{"originals": ["a", "b"]}', "User-Agent: x", "Accept: */*", "Connection: keep-alive")
    taken = 0
    try:
        for _ in range(6000):
            data = _changed(whole, chosen)
            plain = read(data)
            while plain == "more":
                data += b" "
                plain = read(data)
            if isinstance(plain, Plain):
                taken += 1
                found = _by_aiohttp(data, loop)
                assert found is not None, data
                assert found[:2] == ("POST", f"/v1/domains/{plain.domain}/pseudonyms"), data
                assert found[3] == plain.body, data
                assert bearer(found[2]) == plain.token, data
    finally:
        loop.close()
    assert 300 < taken < 5000


def _changed(whole: bytes, chosen: random.Random) -> bytes:
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    kind = chosen.randrange(7)
    if kind == 0:
        at = chosen.randrange(len(whole))
        return whole[:at] + bytes([chosen.randrange(256)]) + whole[at + 1 :]
    if kind == 1:
        at = chosen.randrange(len(whole))
        return whole[:at] + bytes([chosen.choice(b"\r\n\t :\x00,")]) + whole[at:]
    if kind == 2:
        at = chosen.randrange(len(whole))
        return whole[:at] + whole[at + chosen.randrange(1, 4) :]
    if kind == 3:
        lines.insert(chosen.randrange(1, len(lines) + 1), chosen.choice(ODD))
    elif kind == 4:
        lines.append(lines.pop(chosen.randrange(1, len(lines))))
    elif kind == 5:
        body = body + chosen.choice((b"", b"GET / HTTP/1.1\r\n\r\n", b" "))
    else:
        at = chosen.randrange(1, len(lines))
        lines[at] = chosen.choice(
            (lines[at].lower(), lines[at].upper(), lines[at] + b" ", lines[at].replace(b": ", b":"))
        )
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
