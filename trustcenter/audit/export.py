"""Writing a bundle: everything an auditor needs offline but the fingerprint (docs/spec/audit-bundle.md)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from . import canonical
from .chain import KeyChain
from .extract import Line, Selection
from .note import sign_note

FORMAT: Final = "trustcenter/audit-bundle/1"
FORMAT_2: Final = "trustcenter/audit-bundle/2"
EXTRACT: Final = "trustcenter/audit-extract/1"
# An entry line is this, the leaf hash in hex, this, the leaf itself, and the end: readable by any JSON tool,
# and cut at fixed places by the verifier.
ENTRY_START: Final = b'{"hash":"'
ENTRY_MIDDLE: Final = b'","leaf":'
ENTRY_END: Final = b"}\n"
# The same for entries that were left out: level, hash of the subtree.
OMITTED_START: Final = b'{"level":'
OMITTED_MIDDLE: Final = b',"omitted":"'
OMITTED_END: Final = b'"}\n'


def bundle(chain: KeyChain, size: int, rows: Iterable[tuple[bytes, bytes]], checkpoint: str) -> Iterator[bytes]:
    """Yield the lines of a bundle of the whole log, each ended by LF.

    Version 1 as long as the log has had one key, so that earlier verifiers read it.

    Args:
        chain: the log's keys; their name is the log's origin.
        size: number of entries.
        rows: (leaf hash, leaf) in order.
        checkpoint: signed note of that size.
    """
    if chain.handovers:
        yield _header_2(chain, size, Selection())
    else:
        key = chain.first
        yield canonical.encode({"format": FORMAT, "origin": key.name, "size": size, "vkey": key.vkey}) + b"\n"
    for hash_, leaf in rows:
        yield b"".join((ENTRY_START, hash_.hex().encode(), ENTRY_MIDDLE, leaf, ENTRY_END))
    yield _footer(checkpoint)


def extract(
    chain: KeyChain,
    size: int,
    selection: Selection,
    lines: Iterable[Line],
    checkpoint: str,
    sign: Callable[[bytes], bytes],
) -> Iterator[bytes]:
    """Yield the lines of a bundle that holds some entries, each ended by LF.

    Args:
        chain: the log's keys.
        size: number of entries of the log.
        selection: what was asked for. That these are all such entries is not proven, but signed.
        lines: see `pruned`.
        checkpoint: signed note of that size.
        sign: with the last key of the chain.
    """
    digest = hashlib.sha256()
    for line in _chosen(chain, size, selection, lines):
        digest.update(line)
        yield line
    if selection == Selection():
        yield _footer(checkpoint)
        return
    note = sign_note(extract_text(chain.first.name, digest.digest()), chain.last, sign)
    yield canonical.encode({"checkpoint": checkpoint, "extract": note}) + b"\n"


def extract_text(origin: str, digest: bytes) -> str:
    """What the log's key signs of an extract: the SHA-256 of all lines before the last."""
    return f"{EXTRACT}\n{origin}\n{base64.b64encode(digest).decode()}\n"


def _chosen(chain: KeyChain, size: int, selection: Selection, lines: Iterable[Line]) -> Iterator[bytes]:
    yield _header_2(chain, size, selection)
    for level, hash_, leaf in lines:
        digits = hash_.hex().encode()
        if leaf is not None:
            yield b"".join((ENTRY_START, digits, ENTRY_MIDDLE, leaf, ENTRY_END))
        else:
            yield b"".join((OMITTED_START, b"%d" % level, OMITTED_MIDDLE, digits, OMITTED_END))


def _header_2(chain: KeyChain, size: int, selection: Selection) -> bytes:
    header = {
        "format": FORMAT_2,
        "handovers": [handover.note for handover in chain.handovers],
        "origin": chain.first.name,
        "selection": msgspec.to_builtins(selection),
        "size": size,
        "vkey": chain.first.vkey,
    }
    header["selection"] = {
        word: list(value) if isinstance(value, tuple) else value for word, value in header["selection"].items()
    }
    return canonical.encode(header) + b"\n"


def _footer(checkpoint: str) -> bytes:
    return canonical.encode({"checkpoint": checkpoint}) + b"\n"
