"""The root over the refs of an upload, which its receipt commits to (docs/spec/rooms.md, M2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .tree import merkle_root

LEAF_BYTES: Final = 4096  # 256 refs: a leaf for each would cost more than all else that is done about it


def refs_root(parts: Iterable[bytes]) -> bytes:
    """The RFC 6962 root over sorted refs, 256 to a leaf.

    Args:
        parts: the refs, 16 bytes each, packed; cut anywhere.
    """
    leaves: list[bytes] = []
    rest = b""
    for part in parts:
        rest += part
        whole = len(rest) - len(rest) % LEAF_BYTES
        leaves += [rest[at : at + LEAF_BYTES] for at in range(0, whole, LEAF_BYTES)]
        rest = rest[whole:]
    if rest:
        leaves.append(rest)
    return merkle_root(leaves)
