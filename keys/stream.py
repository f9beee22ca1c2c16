"""Sealing a payload in chunks with a final flag: docs/spec/sealed-message.md, section 2.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway and Vizár, 2015) with a counter nonce.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ._guard import Secret
from .errors import SealError

CHUNK_BYTES: Final = 65536
_TAG_BYTES: Final = 16


def seal_chunks(key: Secret, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Seal a payload given in parts of any size. The key must be used for this payload only.

    Args:
        key: 32 bytes.
        parts: the payload.

    Yields:
        Sealed chunks; 65,552 bytes, the last one possibly shorter.
    """
    aead = AESGCM(key.reveal())
    pending = bytearray()
    index = 0
    for part in parts:
        at = 0
        while at < len(part):
            if len(pending) == CHUNK_BYTES:  # full, and more is coming: so it is not the last
                yield aead.encrypt(_nonce(index, final=False), pending, None)
                index += 1
                pending = bytearray()
            taken = part[at : at + CHUNK_BYTES - len(pending)]
            pending += taken
            at += len(taken)
    yield aead.encrypt(_nonce(index, final=True), pending, None)


def open_chunks(key: Secret, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Open what `seal_chunks` gave. Each chunk is authentic and in place; only the end proves that it is all.

    Args:
        key: 32 bytes.
        read: gives up to that many bytes, b"" at the end.

    Raises:
        SealError: changed, reordered, cut short or extended; `where` is the chunk.
    """
    aead = AESGCM(key.reveal())
    index = 0
    block = read_full(read, CHUNK_BYTES + _TAG_BYTES)
    while True:
        following = read_full(read, CHUNK_BYTES + _TAG_BYTES)
        try:
            plaintext = aead.decrypt(_nonce(index, final=not following), block, None)
        except InvalidTag:
            raise SealError("the sealed message was changed or cut short", where=f"chunk {index}") from None
        if not plaintext and index:
            raise SealError("the sealed message ends with an empty chunk", where=f"chunk {index}")
        yield plaintext
        if not following:
            return
        block, index = following, index + 1


def _nonce(index: int, *, final: bool) -> bytes:
    return index.to_bytes(11, "big") + bytes([final])


def read_full(read: Callable[[int], bytes], size: int) -> bytes:
    """`size` bytes, or fewer at the end; a pipe may give less than it was asked for."""
    data = read(size)
    while data and len(data) < size:
        more = read(size - len(data))
        if not more:
            break
        data += more
    return data
