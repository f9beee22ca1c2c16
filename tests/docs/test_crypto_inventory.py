"""The inventory of cryptography is what the code uses, and the page is what the inventory says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from trustcenter import inventory
from trustcenter.errors import InternalError

ROOT = Path(__file__).parents[2]


def test_everything_that_is_used_is_explained_and_the_reverse() -> None:
    assert inventory.found()
    assert inventory.unused() == []


def test_the_page_is_what_the_code_says() -> None:
    page = (ROOT / "docs" / "reference" / "crypto-inventory.md").read_text(encoding="utf-8")
    assert page == inventory.page(), "trustcenter keys inventory --markdown > docs/reference/crypto-inventory.md"


def test_the_deviations_are_named() -> None:
    deviations = [item.algorithm for item in inventory.items() if item.deviation]
    assert any("permutation of single blocks" in name for name in deviations)


@pytest.mark.parametrize(
    "source",
    [
        "from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305",
        "import hashlib\nhashlib.md5(b'')",
        "from cryptography.hazmat.primitives.asymmetric import rsa",
    ],
)
def test_what_is_new_is_noticed(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = set(inventory._words(ast.parse(source)))
    known = {word for names, _ in inventory._KNOWN for word in names}
    assert words - known
    before = inventory._words
    monkeypatch.setattr(inventory, "_words", lambda tree: [*before(tree), *words])
    with pytest.raises(InternalError, match="without an explanation"):
        inventory.found()
