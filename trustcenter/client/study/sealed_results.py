"""Results that the service sealed to the site's key."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO

import msgspec

from keys.hybrid import RecipientKey
from trustcenter.client.api import TrustCenter
from trustcenter.client.errors import BadAnswerError
from trustcenter.messages.api import ResultLine

from .secret_relay import own_name


async def lines(center: TrustCenter, study: str, key: RecipientKey) -> AsyncIterator[ResultLine]:
    """As `TrustCenter.results`, sealed on the way. Nothing is given before the end was seen.

    What came lies, sealed, in a file without a name, and is opened twice: once to see that it is whole, then for its
    lines. So memory does not grow with the results.

    Raises:
        RemoteError: no such study, or no key of the site is registered.
        WrongRecipientError, SealError: sealed to another key; changed, cut, or another study's or site's.
        BadAnswerError: what was sealed are no results.
    """
    info = f"trustcenter/study-results/1\0{study}\0{own_name(center)}".encode()
    with tempfile.TemporaryFile() as sealed:
        async for part in center.sealed_results(study):
            sealed.write(part)
        for _ in _opened(sealed, key, info):
            pass
        decoder = msgspec.json.Decoder(ResultLine)
        rest = b""
        for part in _opened(sealed, key, info):
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                yield _decoded(decoder, line)
        if rest:
            raise BadAnswerError("the sealed results cannot be read")


def _opened(sealed: BinaryIO, key: RecipientKey, info: bytes) -> Iterator[bytes]:
    sealed.seek(0)
    return key.open_stream(sealed.read, info)


def _decoded(decoder: msgspec.json.Decoder[ResultLine], line: bytes) -> ResultLine:
    try:
        return decoder.decode(line)
    except msgspec.MsgspecError:
        raise BadAnswerError("the sealed results cannot be read") from None
