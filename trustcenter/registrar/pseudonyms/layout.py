"""What stands in a row of a pseudonym, byte by byte, and what the keys make of it (docs/spec/pseudonym-rows.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keys import computed
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow

from . import sealing

LOOKUP_VERSION: Final = 1  # of studies, whose originals are random numbers: their lookup keys are never rotated
_INDEX_0: Final = bytes(4)  # index of the row among several pseudonyms of one original
_STRING: Final = b"\0string\0"  # an original is printable: none begins like this


def row_id(serial: int, nonce: bytes) -> bytes:
    """Serial and nonce of a row, 11 bytes: unique for ever, so it also serves as the nonce of the seal."""
    return serial.to_bytes(6, "big") + nonce


def row_ids(serials: NDArray[np.uint64], nonces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`row_id` of many rows: uint8 (n, 11)."""
    ids = np.empty((len(serials), 11), np.uint8)
    ids[:, :6] = serials.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:]
    ids[:, 6:] = nonces
    return ids


def seal_head(domain: DomainRow) -> bytes:
    """Start of the associated data of sealed originals: they open only in the row they were written for."""
    return b"trustcenter/original/1\0" + bytes.fromhex(domain.uuid)


def unseal_rows(context: Context, domain: DomainRow, rows: Sequence[tuple[int, bytes, bytes, bytes]]) -> list[bytes]:
    """Originals of rows (serial, nonce, tag, sealed) of one domain.

    Raises:
        SealError: a row was changed outside the service.
    """
    head = seal_head(domain)
    ids = [row_id(serial, nonce) for serial, nonce, _, _ in rows]
    aads = [head + ident + _INDEX_0 + row[2] for ident, row in zip(ids, rows, strict=True)]
    return sealing.unseal(context, domain, [ident + b"\1" for ident in ids], [row[3] for row in rows], aads)


def format_rows(
    context: Context, domain: DomainRow, version: int, serials: NDArray[np.uint64], nonces: NDArray[np.uint8]
) -> list[str]:
    """The pseudonyms of rows under a key version: a pure function of the rows and the two keys."""
    if len(serials) == 0:
        return []
    blocks = computed.inner_blocks(domain.h, domain.uuid, version, serials, nonces)
    return computed.format_blocks(context.keys.encipher(domain.uuid, version, blocks))


def string_tags(context: Context, domain: DomainRow, texts: Sequence[str], version: int | None = None) -> list[bytes]:
    """Keyed tag of each string, 16 bytes, under the newest version or another one of the lookup key."""
    values = [_STRING + text.encode("utf-8", "surrogatepass") for text in texts]
    return context.keys.tags(domain.uuid, version or domain.lookup[0], values)


def string_aads(domain: DomainRow, ids: Sequence[bytes], tags: Sequence[bytes]) -> list[bytes]:
    """What the sealed strings of entries are bound to."""
    head = b"trustcenter/string/1\0" + bytes.fromhex(domain.uuid)
    return [head + ident + tag for ident, tag in zip(ids, tags, strict=True)]
