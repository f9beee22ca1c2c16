"""The commitments of many rows at once are the HMACs that the specification names."""

from __future__ import annotations

import hmac
import os

import numpy as np
import pytest

from trustcenter.registrar.pseudonyms.commitments import cut, leaves


@pytest.mark.parametrize(("count", "length"), [(0, 62), (1, 62), (3, 0), (257, 62), (20, 200)])
def test_they_are_hmacs(count: int, length: int) -> None:
    salts = np.frombuffer(os.urandom(16 * count), np.uint8).reshape(count, 16)
    messages = np.frombuffer(os.urandom(length * count), np.uint8).reshape(count, length)
    wanted = [hmac.digest(s.tobytes(), m.tobytes(), "sha256") for s, m in zip(salts, messages, strict=True)]
    assert leaves(salts, messages) == wanted


def test_a_matrix_is_cut_into_its_rows() -> None:
    assert cut(np.frombuffer(b"abcdef", np.uint8).reshape(2, 3)) == [b"abc", b"def"]
