"""Writing a bundle: everything an auditor needs offline but the fingerprint (docs/spec/audit-bundle.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from . import canonical
from .note import Key

FORMAT: Final = "trustcenter/audit-bundle/1"
MEDIA_TYPE: Final = "application/x-ndjson"
# An entry line is this, the leaf hash in hex, this, the leaf itself, and the end: readable by any JSON tool,
# and cut at fixed places by the verifier.
ENTRY_START: Final = b'{"hash":"'
ENTRY_MIDDLE: Final = b'","leaf":'
ENTRY_END: Final = b"}\n"


def bundle(key: Key, size: int, rows: Iterable[tuple[bytes, bytes]], checkpoint: str) -> Iterator[bytes]:
    """Yield the lines of a bundle, each ended by LF.

    Args:
        key: the log's public key; its name is the log's origin.
        size: number of entries.
        rows: (leaf hash, leaf) in order.
        checkpoint: signed note of that size.
    """
    yield canonical.encode({"format": FORMAT, "origin": key.name, "size": size, "vkey": key.vkey}) + b"\n"
    for hash_, leaf in rows:
        yield b"".join((ENTRY_START, hash_.hex().encode(), ENTRY_MIDDLE, leaf, ENTRY_END))
    yield canonical.encode({"checkpoint": checkpoint}) + b"\n"
