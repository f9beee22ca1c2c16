"""A site's results, sealed to the key that an operator registered for it: docs/spec/secret-relay.md, section 7."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec

from keys import hybrid
from trustcenter.auth import Principal
from trustcenter.messages import api
from trustcenter.registrar import site_keys
from trustcenter.registrar.context import Context
from trustcenter.store import Connection

from . import records_read, studies


def info(study: str, site: str) -> bytes:
    """The context that sealed results are bound to."""
    return f"trustcenter/study-results/1\0{study}\0{site}".encode()


async def sealed(context: Context, caller: Principal, request: str, study: str) -> AsyncIterator[Sequence[bytes]]:
    """The caller's results as lines of JSON, sealed to its registered key.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        ConflictError: no key of the caller is registered.
        PolicyError: the study is in no state for it.
    """

    def begin(conn: Connection) -> str:
        studies.find(conn, study, caller)
        return site_keys.public_key(conn, f"site:{caller.name}")

    key = await context.db.read(begin)
    batches = records_read.own_results(context, caller, request, study)
    loop, encoder = asyncio.get_running_loop(), msgspec.json.Encoder()

    async def following() -> list[api.ResultLine] | None:
        return await anext(batches, None)

    def parts() -> Iterator[bytes]:
        # Sealing pulls its parts, in a thread; they are made by the event loop, one batch at a time.
        while (batch := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
            yield encoder.encode_lines(batch)

    pieces = hybrid.seal_stream(key, parts(), info(study, caller.name))
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield [piece]
