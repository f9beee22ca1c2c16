"""What msgspec knows of the types that it decodes, built before threads need it.

It is built when a type is first decoded, and not by one thread at a time: a second thread that decodes the same type
meanwhile, or one that holds it, meets it half built, and the process ends. So a service builds everything first.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

_OURS = ("keys.", "linkage.", "trustcenter.")


def build() -> list[type[msgspec.Struct]]:
    """Build all types of ours that are imported by now; returns them."""
    built = [kind for kind in _below(msgspec.Struct) if kind.__module__.startswith(_OURS)]
    for kind in built:
        msgspec.json.Decoder(kind)
    return built


def _below(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)
