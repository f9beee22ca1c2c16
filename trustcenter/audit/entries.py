"""The entry: one leaf of a log (docs/spec/audit-log.md). Built in one place, checked in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from . import canonical
from .events import COMPARATOR_EVENTS, EVENTS, Event, Outcome

VERSION: Final = 1
LEAF_BYTES_MAX: Final = 65_535  # what an entry bundle of tlog-tiles can hold
WHO_CHARS_MAX: Final = 128
ROOMS: Final = ("registrar", "comparator")

_TIME: Final = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z\Z",
    re.ASCII,
)
# With one of these the comparator's log and the registrar's would tell together which rows belong to which request.
_NOT_AT_COMPARATOR: Final = frozenset({"time", "request", "domain", "serials", "commitment"})
_DATA_DEPTH: Final = canonical.DEPTH_MAX - 1  # the entry itself is the first level
_RESERVED: Final = frozenset({"v", "seq", "event", "time", "clock_skew"})
_encoder = msgspec.json.Encoder(order="sorted")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entry. The registrar's carry `time`, the comparator's `window`, never both.

    Attributes:
        v: format, 1.
        seq: leaf index, from 0.
        event: an `Event`.
        who: name of a site or a member of staff, or "service".
        outcome: an `Outcome`.
        data: what else is known, without identities and pseudonyms.
        time: RFC 3339, UTC, microseconds; never earlier than that of the entry before.
        clock_skew: microseconds by which the clock was behind the entry before; present only if it was.
        window: the study's window at that moment, 0 outside of studies.
    """

    v: int
    seq: int
    event: str
    who: str
    outcome: str
    data: dict[str, Any]
    time: str | msgspec.UnsetType = msgspec.UNSET
    clock_skew: int | msgspec.UnsetType = msgspec.UNSET
    window: int | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(Entry)


def build(room: str, seq: int, event: Event, fields: Mapping[str, Any], time: str | None, clock_skew: int = 0) -> bytes:
    """The canonical bytes of a new entry.

    Args:
        room: "registrar" or "comparator".
        seq: its leaf index.
        event: what happened.
        fields: "who", optionally "outcome" (default: done, or refused for refusals), at the comparator "window";
            everything else becomes `data`.
        time: the registrar's time, None at the comparator.
        clock_skew: see `Entry`; 0 for none.

    Raises:
        ValueError: a field that may not stand in an entry. The message holds names of fields, never a value.
    """
    data = dict(fields)
    who = data.pop("who", None)
    outcome = data.pop("outcome", None)
    if not _RESERVED.isdisjoint(data):
        raise ValueError("an entry's own words cannot be set: v, seq, event, time, clock_skew")
    end = b"}"
    if room == "comparator":
        window = data.pop("window", None)
        _check_comparator(event, window, data)
        end = b',"window":%d}' % window
    canonical.check(data, _DATA_DEPTH)
    # The words in ascending order, which is the canonical spelling; those that many entries share are spelled once.
    # An object for each entry, sorted and spelled anew, would cost as much as its hash and its row together. Reading
    # an entry holds it against `encode`.
    start = b'{"clock_skew":%d,"data":' % clock_skew if clock_skew else b'{"data":'
    middle, last = _event_part(event, outcome), _who_part(who)
    leaf = b"%b%b%b%d%b%b%b" % (start, _spelled(data), middle, seq, _time_part(time), last, end)
    if len(leaf) > LEAF_BYTES_MAX:
        raise ValueError("an entry must not be longer than 65535 bytes")
    return leaf


@lru_cache(maxsize=1_000)
def _event_part(event: Event, outcome: str | None) -> bytes:
    word = event.value
    told = _default(word) if outcome is None else str(outcome)
    _check_outcome(word, told)
    return f',"event":"{word}","outcome":"{told}","seq":'.encode()


@lru_cache(maxsize=4)
def _time_part(time: str | None) -> bytes:
    return b"" if time is None else f',"time":"{time}"'.encode()


@lru_cache(maxsize=1_000, typed=True)
def _who_part(who: str | None) -> bytes:
    name = "service" if who is None else who
    _check_who(name)
    return b',"v":1,"who":' + _spelled(name)


def parse(leaf: bytes, room: str) -> Entry:
    """Read the canonical bytes of an entry.

    Raises:
        ValueError: they are not; the message says why, without a value.
    """
    try:
        entry = _decoder.decode(leaf)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("it is not an entry of version 1") from None
    check(entry, room)
    if encode(entry) != leaf:
        raise ValueError("it is not in canonical form")
    return entry


def encode(entry: Entry) -> bytes:
    """The canonical bytes of a checked entry."""
    return _spelled(entry)


def _spelled(value: object) -> bytes:
    try:
        return _encoder.encode(value)
    except (UnicodeEncodeError, ValueError):
        raise ValueError("a string must not hold surrogates") from None


def check(entry: Entry, room: str) -> None:
    """What every entry of a room's log must be, whatever came before it.

    Raises:
        ValueError: it is not.
    """
    event = EVENTS.get(entry.event)
    if entry.v != VERSION or event is None:
        raise ValueError("its version or event is unknown to this program")
    if not 0 <= entry.seq < canonical.INTEGER_MAX:
        raise ValueError("its sequence number is not possible")
    if room == "comparator":
        if entry.time is not msgspec.UNSET or entry.clock_skew is not msgspec.UNSET:
            raise ValueError("the comparator's entries carry the window, not the time")
        _check_comparator(event, entry.window, entry.data)
    else:
        if entry.window is not msgspec.UNSET:
            raise ValueError("the registrar's entries carry the time, not the window")
        if entry.time is msgspec.UNSET or not _TIME.match(entry.time):
            raise ValueError("its time is not RFC 3339 in UTC with microseconds")
        if entry.clock_skew is not msgspec.UNSET and not 0 < entry.clock_skew <= canonical.INTEGER_MAX:
            raise ValueError("its clock skew must be positive")
    _check_who(entry.who)
    _check_outcome(entry.event, entry.outcome)
    canonical.check(entry.data, _DATA_DEPTH)


def _check_who(who: object) -> None:
    if type(who) is not str or not 0 < len(who) <= WHO_CHARS_MAX:
        raise ValueError("who must be a name of 1 to 128 characters")


def _check_outcome(event: str, outcome: str) -> None:
    if outcome not in _OUTCOMES or (outcome == "refused") != (event[-8:] == ":refused"):
        raise ValueError("its outcome does not fit its event")


def _check_comparator(event: Event, window: object, data: Mapping[str, Any]) -> None:
    if not _NOT_AT_COMPARATOR.isdisjoint(data):
        raise ValueError("the comparator's entries hold no time, request, domain, serials or commitment")
    if event not in COMPARATOR_EVENTS:
        raise ValueError("this event cannot happen at the comparator")
    if type(window) is not int or not 0 <= window <= canonical.INTEGER_MAX:
        raise ValueError("the comparator's entries must carry the window")


def day_start(day: str) -> str:
    """The first moment of a day (YYYY-MM-DD, UTC), written as in entries."""
    return f"{day}T00:00:00.000000Z"


def room_of(origin: str) -> str:
    """The room at the end of an origin, such as trustcenter/<instance>/registrar.

    Raises:
        ValueError: no such room.
    """
    room = origin.rpartition("/")[2]
    if room not in ROOMS:
        raise ValueError("the origin of a log ends with the name of a room")
    return room


def _default(event: str) -> str:
    return "refused" if event[-8:] == ":refused" else "done"


_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)
