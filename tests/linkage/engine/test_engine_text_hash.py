"""Numbers of block values: nobody can choose values that count as one block."""

from __future__ import annotations

import pytest

from linkage.encode.large import _text_hash


def test_the_hash_has_a_key_of_its_own_where_that_of_the_process_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    one, other = _text_hash(), _text_hash()
    assert one("Meier") == one("Meier")
    assert len({one("Meier"), other("Meier"), hash("Meier")}) == 3
    assert one("") == other("") == 0
    for text in ("random", ""):
        monkeypatch.setenv("PYTHONHASHSEED", text)
        assert _text_hash() is hash
    monkeypatch.delenv("PYTHONHASHSEED")
    assert _text_hash() is hash
