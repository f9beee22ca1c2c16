"""What every part of the interface uses: errors, probes, ends of streams."""

from __future__ import annotations

from trustcenter.messages.common import Count, Hex16, Message


class Problem(Message, frozen=True, kw_only=True):
    """An error (RFC 9457). Never holds a value that the caller sent."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str = ""
    request_id: str = ""
    where: str = ""


class Version(Message, frozen=True, kw_only=True):
    """What is running."""

    product: str
    version: str
    api: list[str]
    suites: list[str]
    encodings: list[str]
    separation: str
    instance: Hex16
    room: str = "both"  # both | registrar | comparator: what this process serves


class Health(Message, frozen=True, kw_only=True):
    """Answer of the probes."""

    status: str


class ItemError(Message, frozen=True, kw_only=True):
    """Why one item of a batch was not served; the others were."""

    index: Count
    code: str
    hint: str = ""


class StreamEnd(Message, frozen=True, kw_only=True):
    """Last line of every NDJSON stream: without it the stream was cut."""

    done: bool
    count: Count
