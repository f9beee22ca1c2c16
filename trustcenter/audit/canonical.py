"""Canonical JSON for audit entries: the subset of RFC 8785 that has one spelling per value by construction.

Strings, integers within ±2^53, lists and objects whose keys are lower-case ASCII words. No floats, no booleans,
no null. For this subset RFC 8785 means: keys in ascending order, no white space, shortest escapes.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

INTEGER_MAX: Final = 2**53
DEPTH_MAX: Final = 6

_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_encoder = msgspec.json.Encoder(order="sorted")
_known_keys: set[str] = set()  # words seen before, so that the pattern runs once per word of ours


def encode(value: object) -> bytes:
    """The canonical bytes of `value`.

    Raises:
        ValueError: a value outside the subset. The message never holds it.
    """
    check(value)
    try:
        return _encoder.encode(value)
    except (UnicodeEncodeError, ValueError):
        raise ValueError("a string must not hold surrogates") from None


def check(value: object, depth: int = DEPTH_MAX) -> None:
    """Refuse what is outside the subset.

    Raises:
        ValueError: a type, number, key or nesting that is not allowed.
    """
    kind = type(value)
    if kind is str:
        return
    if kind is int:
        if not -INTEGER_MAX <= value <= INTEGER_MAX:  # type: ignore[operator]
            raise ValueError("an integer must be within 2^53")
        return
    if depth == 0:
        raise ValueError("nested too deeply")
    if kind is dict:
        if not value.keys() <= _known_keys:  # type: ignore[attr-defined]
            _check_keys(value)  # type: ignore[arg-type]
        for item in value.values():  # type: ignore[attr-defined]
            # Most values are strings and small numbers: no call for them, as a log has millions of entries.
            if type(item) is not str and not (type(item) is int and -INTEGER_MAX <= item <= INTEGER_MAX):
                check(item, depth - 1)
        return
    if kind is list:
        for item in value:  # type: ignore[attr-defined]
            check(item, depth - 1)
        return
    raise ValueError("only strings, integers, lists and objects are allowed")


def _check_keys(value: dict[object, object]) -> None:
    for key in value:
        if key not in _known_keys:
            if type(key) is not str or not _KEY.match(key):
                raise ValueError("a key must be a lower-case word")
            if len(_known_keys) < 1000:
                _known_keys.add(key)


def decode(raw: bytes) -> object:
    """Read bytes that must be canonical.

    Raises:
        ValueError: not JSON, outside the subset, or spelled in another way.
    """
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("this is not JSON") from None
    if encode(value) != raw:
        raise ValueError("this is not the canonical spelling")
    return value
