"""The audit half of the client: heads, proofs and exports, as sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import msgspec

from trustcenter.messages import api as m

from .answers import decoded, quoted, unexpected

if TYPE_CHECKING:
    from .settings import Settings
    from .transport import Transport


class AuditOperations:
    """What `TrustCenter` can ask of the logs."""

    settings: Settings
    _http: Transport

    async def audit_export(self, room: str) -> AsyncIterator[bytes]:
        """The log of a room as a bundle, in pieces, exactly as sent."""
        async with self._http.stream(f"/v1/audit/{quoted(room)}/export") as body:
            async for piece in body.iter_any():
                yield piece

    async def audit_extract(self, room: str, wanted: m.LogExtract) -> AsyncIterator[bytes]:
        """Chosen entries of the log of a room as a bundle, in pieces, exactly as sent."""
        sent = msgspec.json.encode(wanted)
        async with self._http.stream(f"/v1/audit/{quoted(room)}/extracts", body=sent) as body:
            async for piece in body.iter_any():
                yield piece

    async def audit_checkpoint(self, room: str) -> str:
        """The signed head of a room's log."""
        answer = await self._http.call("GET", f"/v1/audit/{quoted(room)}/checkpoint", repeatable=True)
        try:
            return answer.decode("utf-8")
        except UnicodeDecodeError:
            raise unexpected() from None

    async def inclusion(self, room: str, index: int, size: int) -> m.InclusionProof:
        """The proof that entry `index` is in the log of `size` entries."""
        path = f"/v1/audit/{quoted(room)}/inclusion/{index:d}/{size:d}"
        return decoded(await self._http.call("GET", path, repeatable=True), m.InclusionProof)

    async def consistency(self, room: str, old: int, new: int) -> m.ConsistencyProof:
        """The proof that the log of `new` entries extends that of `old`."""
        path = f"/v1/audit/{quoted(room)}/consistency/{old:d}/{new:d}"
        return decoded(await self._http.call("GET", path, repeatable=True), m.ConsistencyProof)
