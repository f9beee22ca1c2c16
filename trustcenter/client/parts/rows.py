"""Operations on rows: at the comparator, which may have an address of its own."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import msgspec

from trustcenter.client.answers import decoded, quoted
from trustcenter.client.calls import Calls
from trustcenter.errors import PolicyError, UsageError, VerificationError
from trustcenter.messages import api as m
from trustcenter.messages.carried import Settlement
from trustcenter.messages.receipts import Receipt
from trustcenter.messages.rooms import RoomParameters

if TYPE_CHECKING:
    from trustcenter.client.connection import Connection
    from trustcenter.client.transport import Transport


class RowOperations(Calls):
    """The part of `TrustCenter` that brings rows to the comparator."""

    connection: Connection
    _rows: Transport

    async def require_rooms(self, study: m.Study) -> bytes:
        """Refuse to send rows unless both rooms say the same of a study, each signed (M0), and are what they declare.

        Args:
            study: as the registrar shows it.

        Returns:
            The comparator's public key, which signs its receipts.

        Raises:
            UsageError: the rooms are apart, and the connection has one address only.
            PolicyError: what answers as the comparator is not one of that separation, or is the registrar itself.
            VerificationError: the rooms say different things, or a signature does not hold.
        """
        from keys.errors import SignatureError  # loaded by those who send rows only
        from keys.personal import verify_ed25519

        await self._require_apart(study.separation)
        path = f"/v1/studies/{quoted(study.name)}/parameters"
        said = [
            decoded(await http.call("GET", f"{path}/{room}", repeatable=True), RoomParameters)
            for http, room in ((self._http, "registrar"), (self._rows, "comparator"))
        ]
        for one, room in zip(said, ("registrar", "comparator"), strict=True):
            try:
                if one.room != room:
                    raise ValueError
                signature = base64.b64decode(one.signature, validate=True)
                verify_ed25519(bytes.fromhex(one.public_key), one.signed_bytes(), signature)
            except (SignatureError, ValueError):
                raise VerificationError(
                    "a room's word for the parameters of this study is not signed by it", code="bad_parameters"
                ) from None
        here, there = said
        shown = (study.name, study.version, study.fingerprint, study.passes, study.levels)
        if here.parameters != there.parameters or (*here.parameters[: len(shown)], here.lead) != (*shown, study.lead):
            raise VerificationError(
                "registrar and comparator say different things of this study",
                code="rooms_differ",
                hint="if it was changed a moment ago, try again; else tell both operators",
            )
        return bytes.fromhex(there.public_key)

    async def _require_apart(self, separation: str) -> None:
        if self.connection.comparator is None:
            if separation != "none":
                raise UsageError(
                    "the rooms of this service are apart, and the connection file has one address only",
                    code="comparator_needed",
                    hint="trustcenter rooms connect joins the files of both rooms",
                )
            return
        here = await self.version()
        there = decoded(await self._rows.call("GET", "/version", repeatable=True), m.Version)
        if (here.room, there.room) != ("registrar", "comparator") or here.instance == there.instance:
            raise PolicyError(
                "these two addresses are not those of a registrar and a comparator that are apart",
                code="rooms_not_apart",
                hint="compare the connection file with the operators of both rooms",
            )
        if not here.separation == there.separation == separation:
            raise PolicyError(
                "the two rooms declare different separation", code="separation_differs", hint="tell both operators"
            )

    async def version(self) -> m.Version:
        """What is running."""
        return await self._get("/version", m.Version)

    async def open_upload(self, study: str, upload: m.UploadOpen) -> m.UploadOpened:
        """Announce rows; what an earlier attempt left without a map is given up."""
        if self.connection.comparator is not None:
            await self._settle(study)
        answer = await self._rows.call("POST", _uploads(study), body=_encoded(upload), repeatable=False)
        return decoded(answer, m.UploadOpened)

    async def _settle(self, study: str) -> None:
        """Have what an earlier attempt left given up. Where the rooms have no connection, this site is it."""
        path = f"/v1/studies/{quoted(study)}/settlements"
        order = (await self._post(path, None, Settlement, repeatable=True)).order
        if order is not None:
            answer = await self._rows.call("POST", path, body=msgspec.json.encode(order), repeatable=True)
            await self._http.call("PUT", path, body=answer, repeatable=True)

    async def put_chunk(self, study: str, upload: str, index: int, rows: bytes) -> m.ChunkStored:
        """Send one chunk; the same bytes again are harmless, so it is retried."""
        digest = base64.b64encode(hashlib.sha256(rows).digest()).decode()
        answer = await self._rows.call(
            "PUT",
            f"{_uploads(study)}/{quoted(upload)}/chunks/{index:d}",
            body=rows,
            content_type="application/octet-stream",
            headers={"Content-Digest": f"sha-256=:{digest}:"},
            repeatable=True,
        )
        return decoded(answer, m.ChunkStored)

    async def complete_upload(self, study: str, upload: str) -> Receipt:
        """Close an upload; the comparator's receipt, again the same."""
        path = f"{_uploads(study)}/{quoted(upload)}/complete"
        return decoded(await self._rows.call("POST", path, body=b"", repeatable=True), Receipt)


def _uploads(study: str) -> str:
    return f"/v1/studies/{quoted(study)}/uploads"


def _encoded(message: m.UploadOpen) -> bytes:
    return msgspec.json.encode(message)
