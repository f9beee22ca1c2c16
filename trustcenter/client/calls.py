"""Requests with a body and an answer of known forms: what the parts of `TrustCenter` are made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from trustcenter.messages.common import Message

from .answers import decoded

if TYPE_CHECKING:
    from .transport import Transport

T = TypeVar("T")

_ENCODER: Final = msgspec.json.Encoder()
_PIECE: Final = 2**18  # bytes of a streamed answer at once


class Calls:
    """One caller of one service. Every method raises as `TrustCenter` says."""

    _http: Transport

    async def _get(self, path: str, kind: type[T]) -> T:
        return decoded(await self._http.call("GET", path, repeatable=True), kind)

    async def _post(
        self,
        path: str,
        body: Message | None,
        kind: type[T],
        *,
        repeatable: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        sent = b"" if body is None else _ENCODER.encode(body)
        return decoded(await self._http.call("POST", path, body=sent, headers=headers, repeatable=repeatable), kind)

    async def _put(self, path: str, body: Message, kind: type[T]) -> T:
        return decoded(await self._http.call("PUT", path, body=_ENCODER.encode(body), repeatable=True), kind)

    async def _delete(self, path: str) -> None:
        await self._http.call("DELETE", path, repeatable=True)

    async def _stream(self, path: str) -> AsyncIterator[bytes]:
        async with self._http.stream(path) as body:
            async for part in body.iter_chunked(_PIECE):
                yield part
