"""The root over the refs of an upload: the vectors of docs/spec/rooms.md, however the refs come cut."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from trustcenter.audit.refs_root import refs_root

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "rooms" / "refs-root.json").read_text())["cases"]


def refs(count: int) -> bytes:
    return b"".join(sorted(hashlib.sha256(f"ref {n}".encode()).digest()[:16] for n in range(count)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["refs"]))
def test_the_vectors(case) -> None:
    packed = refs(case["refs"])
    assert refs_root([packed]).hex() == case["root"]
    for size in (16, 5000, 4096):
        assert refs_root(packed[at : at + size] for at in range(0, len(packed), size)).hex() == case["root"]
    assert refs_root([packed[:-16]]).hex() != case["root"]


def test_a_root_by_hand() -> None:
    packed = refs(300)
    leaves = [hashlib.sha256(b"\0" + part).digest() for part in (packed[:4096], packed[4096:])]
    assert refs_root([packed]) == hashlib.sha256(b"\1" + leaves[0] + leaves[1]).digest()
