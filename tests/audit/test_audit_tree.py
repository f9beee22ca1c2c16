"""The tree against published answers and, exhaustively for small sizes, against the definition."""

from __future__ import annotations

from typing import Any

import pytest

from trustcenter.audit import tree
from trustcenter.audit.tree import merkle_root
from trustcenter.errors import VerificationError

SIZES = 34


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, as written there."""
    if not leaves:
        return tree.EMPTY_ROOT
    if len(leaves) == 1:
        return tree.leaf_hash(leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return tree.node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def naive_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    k = tree.split_point(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(m: int, leaves: list[bytes], complete: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962, 2.1.2."""
    n = len(leaves)
    if m == n:
        return [] if complete else [naive_root(leaves)]
    k = tree.split_point(n)
    if m <= k:
        return [*naive_proof(m, leaves[:k], complete), naive_root(leaves[k:])]
    return [*naive_proof(m - k, leaves[k:], False), naive_root(leaves[:k])]


LEAVES = [bytes([n, n * 7 % 256]) for n in range(SIZES)]
ROOTS = [naive_root(LEAVES[:n]) for n in range(SIZES + 1)]


def _subtree(start: int, end: int) -> bytes:
    return naive_root(LEAVES[start:end])


def test_vectors(tree_case: dict[str, Any]) -> None:
    _hold(tree_case)


def test_vectors_of_lengths_and_sizes(edge_case: dict[str, Any]) -> None:
    _hold(edge_case)


def _hold(case: dict[str, Any]) -> None:
    def raw(name: str) -> bytes:
        return bytes.fromhex(case[name])

    def check() -> None:
        path = [bytes.fromhex(item) for item in case.get("path", ())]
        match case["kind"]:
            case "leaf":
                tree._equal(tree.leaf_hash(raw("leaf")), raw("hash"), "")
            case "node":
                tree._equal(tree.node_hash(raw("left"), raw("right")), raw("hash"), "")
            case "root":
                tree._equal(merkle_root([bytes.fromhex(leaf) for leaf in case["leaves"]]), raw("hash"), "")
            case "inclusion":
                tree.verify_inclusion(case["index"], case["size"], raw("hash"), path, raw("root"))
            case "consistency":
                tree.verify_consistency(case["old"], case["new"], path, raw("old_root"), raw("new_root"))

    if case["expect"] == "valid":
        check()
    else:
        with pytest.raises(VerificationError):
            check()


def test_batch_root_and_frontier_agree_with_the_definition() -> None:
    frontier: list[bytes] = []
    for n in range(SIZES + 1):
        assert merkle_root(LEAVES[:n]) == tree.root_of(frontier) == ROOTS[n]
        assert len(frontier) == n.bit_count()
        if n < SIZES:
            tree.grow(frontier, n, tree.leaf_hash(LEAVES[n]))


@pytest.mark.parametrize("step", [1, 3, 8, 32])
@pytest.mark.parametrize("kept", [1, 3])
def test_grow_many_tells_every_completed_node_once(step: int, kept: int) -> None:
    frontier: list[bytes] = []
    nodes: list[tuple[int, int, bytes]] = []
    for start in range(0, 32, step):
        hashes = [tree.leaf_hash(leaf) for leaf in LEAVES[start : min(start + step, 32)]]
        nodes += tree.grow_many(frontier, start, hashes, kept)
    assert frontier == [naive_root(LEAVES[:32])]
    expected = {(level, at) for level in range(kept, 6) for at in range(32 >> level)}
    assert {(level, at) for level, at, _ in nodes} == expected
    assert len(nodes) == len(expected)
    for level, position, hash_ in nodes:
        assert hash_ == naive_root(LEAVES[position << level : position + 1 << level])


def test_every_inclusion_proof_of_small_trees() -> None:
    for size in range(1, SIZES + 1):
        for index in range(size):
            path = tree.inclusion_proof(index, size, _subtree)
            assert path == naive_path(index, LEAVES[:size])
            leaf = tree.leaf_hash(LEAVES[index])
            tree.verify_inclusion(index, size, leaf, path, ROOTS[size])
            wrong = [
                (index, size, tree.leaf_hash(b"other"), path, ROOTS[size]),
                (index, size, leaf, path, ROOTS[size - 1]),
                (index, size, leaf, [*path, ROOTS[size]], ROOTS[size]),
                *((other, size, leaf, path, ROOTS[size]) for other in range(-1, size + 1) if other != index),
                *((index, size, leaf, path[:at] + path[at + 1 :], ROOTS[size]) for at in range(len(path))),
                *(
                    (index, size, leaf, [*path[:at], bytes(32), *path[at + 1 :]], ROOTS[size])
                    for at in range(len(path))
                ),
            ]
            for arguments in wrong:
                with pytest.raises(VerificationError):
                    tree.verify_inclusion(*arguments)


def test_every_consistency_proof_of_small_trees() -> None:
    for new in range(1, SIZES + 1):
        for old in range(1, new + 1):
            path = tree.consistency_proof(old, new, _subtree)
            assert path == naive_proof(old, LEAVES[:new])
            tree.verify_consistency(old, new, path, ROOTS[old], ROOTS[new])
            wrong = [
                (old, new, path, ROOTS[old - 1], ROOTS[new]),
                (old, new, path, ROOTS[old], ROOTS[new - 1]),
                (old, new, [*path, ROOTS[new]], ROOTS[old], ROOTS[new]),
                (0, new, path, tree.EMPTY_ROOT, ROOTS[new]),
                *((old, new, path[:at] + path[at + 1 :], ROOTS[old], ROOTS[new]) for at in range(len(path))),
                *(
                    (old, new, [*path[:at], bytes(32), *path[at + 1 :]], ROOTS[old], ROOTS[new])
                    for at in range(len(path))
                ),
            ]
            if old < new:
                wrong.append((new, old, path, ROOTS[new], ROOTS[old]))
                wrong.append((new, new, path, ROOTS[old], ROOTS[new]))
            for arguments in wrong:
                with pytest.raises(VerificationError):
                    tree.verify_consistency(*arguments)


def test_generation_refuses_what_cannot_be_proven() -> None:
    for index, size in [(-1, 3), (3, 3), (0, 0)]:
        with pytest.raises(ValueError):
            tree.inclusion_proof(index, size, _subtree)
    for old, new in [(0, 3), (4, 3), (0, 0)]:
        with pytest.raises(ValueError):
            tree.consistency_proof(old, new, _subtree)
