"""Batches as lines: a JSON string in each line of the request, an object in each line of the answer, in order.

The request is taken in parts, so that the first answers leave while later ones are made, and no transaction is larger
than a part. What a JSON request has beside its items stands in the query.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from trustcenter.errors import TrustCenterError, UsageError
from trustcenter.messages.api import ItemError
from trustcenter.registrar.limits import require_batch

from .calls import Call, Form, Handler, Lines

CONTENT_TYPE: Final = "application/x-ndjson"
PART: Final = 10_000  # items of one part

_decoder = msgspec.json.Decoder(str)


async def parse(body: bytes, limit: int) -> list[str]:
    """The items of a body.

    Raises:
        LimitError: too many; known before they are decoded.
        UsageError: a line is not a JSON string.
    """
    require_batch(body.count(b"\n"), limit)
    try:
        return await asyncio.to_thread(_decoder.decode_lines, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UsageError(
            "a line is not a JSON string", code="malformed_line", hint='one item a line, as in "12345"'
        ) from None


def request(type_: type[msgspec.Struct], form: Form, items: list[str], query: Any) -> msgspec.Struct:
    """The message that a part amounts to, its other fields taken from the query.

    Raises:
        UsageError: a parameter is unknown or does not fit.
    """
    known = {field.encode_name for field in msgspec.structs.fields(type_)} - {form.asked}
    if not known.issuperset(query):
        raise UsageError("a parameter of the query is unknown", code="invalid_parameter", where="query")
    try:
        return msgspec.convert({form.asked: items, **query}, type_, strict=False)
    except msgspec.ValidationError as error:
        path = str(error).rpartition(" - at `$.")[2].rstrip("`") if " - at `$." in str(error) else "query"
        raise UsageError("a parameter does not fit", code="invalid_parameter", where=path.split("[")[0]) from None


def answer(call: Call, handler: Handler, type_: type[msgspec.Struct], form: Form, items: list[str]) -> Lines:
    """The lines of the answer. An error of the first part is the request's own; a later one ends the stream.

    Raises:
        UsageError: a parameter is given twice, or as `request`.
    """
    query = dict(call.query)
    if len(query) < len(call.query):  # `mode=get&mode=create`: which of the two was meant?
        raise UsageError("a parameter of the query is given twice", code="invalid_parameter", where="query")
    request(type_, form, [], query)  # before anything is done

    async def parts() -> AsyncIterator[Sequence[Any]]:
        for start in range(0, len(items), PART):
            part = request(type_, form, items[start : start + PART], query)
            try:
                made = await handler(replace(call, body=part))
            except TrustCenterError as error:
                if start == 0:
                    raise
                yield [Ended(error.code, error.hint)]
                return
            errors: dict[int, ItemError] = {error.index: error for error in getattr(made, "errors", ())}
            yield [
                {form.word: value} if index not in errors else _error(errors[index])
                for index, value in enumerate(getattr(made, form.given))
            ]

    return Lines(parts())


@dataclass(frozen=True)
class Ended:
    """Last line of a stream that an error ended; the items before it were served."""

    error: str
    hint: str


def _error(error: ItemError) -> dict[str, str]:
    return {"error": error.code, "hint": error.hint}
