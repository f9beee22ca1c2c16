"""The Merkle tree of RFC 6962 (section 2.1) and RFC 9162: hashing, growing, proofs and their verification.

Pure functions over bytes. A frontier is the list of roots of the complete subtrees that a tree of `size` leaves
splits into, largest first: one per set bit of `size`. It is all that is needed to append and to compute the root.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Final

from trustcenter.errors import VerificationError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

_sha256 = hashlib.sha256


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 || leaf)."""
    return _sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return _sha256(b"\x01" + left + right).digest()


def grow(frontier: list[bytes], size: int, hash_: bytes) -> None:
    """Append a leaf hash to a frontier in place; amortised one node hash per leaf.

    Args:
        frontier: of the tree with `size` leaves; becomes that of `size + 1`.
        size: leaves before the call.
        hash_: leaf hash.
    """
    while size & 1:
        hash_ = _sha256(b"\x01" + frontier.pop() + hash_).digest()
        size >>= 1
    frontier.append(hash_)


def grow_many(frontier: list[bytes], size: int, hashes: Sequence[bytes], kept: int) -> list[tuple[int, int, bytes]]:
    """Append leaf hashes to a frontier in place.

    Args:
        frontier: of the tree with `size` leaves; becomes that of `size + len(hashes)`.
        size: leaves before the call.
        hashes: of the leaves, in order.
        kept: the lowest level, at least 1, whose nodes are wanted.

    Returns:
        (level, position, hash) of every inner node of these levels that was completed; a node of `level` covers the
        2^level leaves from position * 2^level on.
    """
    nodes: list[tuple[int, int, bytes]] = []
    sha256, pop, push = _sha256, frontier.pop, frontier.append
    for place, leaf in enumerate(hashes, size):
        hash_, rest, level = leaf, place, 0
        while rest & 1:
            hash_ = sha256(b"\x01" + pop() + hash_).digest()
            rest >>= 1
            level += 1
            if level >= kept:
                nodes.append((level, rest, hash_))
        push(hash_)
    return nodes


def grow_by(frontier: list[bytes], size: int, level: int, hash_: bytes) -> None:
    """Append a complete subtree of 2^level leaves to a frontier in place; `size` must be a multiple of 2^level."""
    while size >> level & 1:
        hash_ = node_hash(frontier.pop(), hash_)
        level += 1
    frontier.append(hash_)


def root_of(frontier: Sequence[bytes]) -> bytes:
    """The root of the tree that has this frontier."""
    if not frontier:
        return EMPTY_ROOT
    root = frontier[-1]
    for left in reversed(frontier[:-1]):
        root = node_hash(left, root)
    return root


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaves in the given order (leaf hashing included); about 1.5 µs per leaf."""
    sha256 = hashlib.sha256
    level = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        # Pairing neighbours and carrying an odd last node up gives the same tree as splitting at powers of two.
        odd = level.pop() if len(level) % 2 else None
        pairs = iter(level)
        level = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
        if odd is not None:
            level.append(odd)
    return level[0]


# Generation. `subtree(start, end)` gives the root over the leaves [start, end), so that a store may answer for
# complete subtrees from what it kept.
Subtree = Callable[[int, int], bytes]


def split_point(size: int) -> int:
    """The largest power of two below `size` (size >= 2)."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """The path PATH(index, D[size]) of RFC 6962, 2.1.1, from the leaf upwards.

    Raises:
        ValueError: not 0 <= index < size.
    """
    if not 0 <= index < size:
        raise ValueError("the index must be below the size")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split_point(end - start)
        if index < middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(start, middle))
            start = middle
    path.reverse()
    return path


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """The proof PROOF(old, D[new]) of RFC 6962, 2.1.2.

    Raises:
        ValueError: not 1 <= old <= new.
    """
    if not 1 <= old <= new:
        raise ValueError("the older size must be at least 1 and not above the newer one")
    path: list[bytes] = []
    start, end = 0, new
    complete = True  # whether the old tree equals the subtree [start, end) seen so far, from leaf 0 on
    while old != end:
        middle = start + split_point(end - start)
        if old <= middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(start, middle))
            start = middle
            complete = False
    if not complete:
        path.append(subtree(start, end))
    path.reverse()
    return path


# Verification: raises, never returns False.


def verify_inclusion(index: int, size: int, hash_: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash is leaf `index` of the tree (RFC 9162, 2.1.3.2).

    Raises:
        VerificationError: it is not, or an argument is out of range or not 32 bytes.
    """
    _lengths([hash_, root, *path])
    if not 0 <= index < size:
        raise VerificationError("the leaf index is outside the tree")
    node, last, running = index, size - 1, hash_
    for sibling in path:
        if last == 0:
            raise VerificationError("the inclusion proof is too long")
        if node & 1 or node == last:
            running = node_hash(sibling, running)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            running = node_hash(running, sibling)
        node >>= 1
        last >>= 1
    if last != 0:
        raise VerificationError("the inclusion proof is too short")
    _equal(running, root, "the inclusion proof leads to another root")


def verify_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that the tree of `new` leaves extends that of `old` leaves (RFC 9162, 2.1.4.2).

    An old size of 0 is refused, as nothing would be proven, and equal sizes allow the empty path only.

    Raises:
        VerificationError: it does not, or an argument is out of range or not 32 bytes.
    """
    _lengths([old_root, new_root, *path])
    if not 1 <= old <= new:
        raise VerificationError("the older size must be at least 1 and not above the newer one")
    if old == new:
        if path:
            raise VerificationError("the consistency proof is too long")
        _equal(old_root, new_root, "two roots of the same size differ")
        return
    steps = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not steps:
        raise VerificationError("the consistency proof is too short")
    node, last = old - 1, new - 1
    while node & 1:
        node >>= 1
        last >>= 1
    running_old = running_new = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            raise VerificationError("the consistency proof is too long")
        if node & 1 or node == last:
            running_old = node_hash(sibling, running_old)
            running_new = node_hash(sibling, running_new)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            running_new = node_hash(running_new, sibling)
        node >>= 1
        last >>= 1
    if last != 0:
        raise VerificationError("the consistency proof is too short")
    _equal(running_old, old_root, "the consistency proof does not lead to the older root")
    _equal(running_new, new_root, "the consistency proof does not lead to the newer root")


def _lengths(hashes: Sequence[bytes]) -> None:
    if any(len(hash_) != HASH_BYTES for hash_ in hashes):
        raise VerificationError("a hash of a proof must have 32 bytes")


def _equal(found: bytes, expected: bytes, message: str) -> None:
    if not hmac.compare_digest(found, expected):
        raise VerificationError(message)
