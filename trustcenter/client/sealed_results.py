"""Results that the service sealed to the site's key."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import msgspec

from keys.hybrid import RecipientKey
from trustcenter.messages.api import ResultLine

from .api import TrustCenter
from .errors import BadAnswerError
from .secret_relay import own_name


async def lines(center: TrustCenter, study: str, key: RecipientKey) -> AsyncIterator[ResultLine]:
    """As `TrustCenter.results`, sealed on the way. Nothing is given before the end was seen.

    Raises:
        RemoteError: no such study, or no key of the site is registered.
        WrongRecipientError, SealError: sealed to another key; changed, cut, or another study's or site's.
        BadAnswerError: what was sealed are no results.
    """
    info = f"trustcenter/study-results/1\0{study}\0{own_name(center)}".encode()
    blob = b"".join([part async for part in center.sealed_results(study)])
    opened = b"".join(key.open_stream(io.BytesIO(blob).read, info))
    try:
        found = msgspec.json.Decoder(ResultLine).decode_lines(opened)
    except msgspec.MsgspecError:
        raise BadAnswerError("the sealed results cannot be read") from None
    for line in found:
        yield line
