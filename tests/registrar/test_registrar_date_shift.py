"""Date-shift offsets against the vectors of the specification."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

from trustcenter.registrar.study.date_shift import inputs, offset

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "date-shift.json").read_text())


def test_vectors() -> None:
    for case in VECTORS["cases"]:
        for greatest, wanted in case["offsets"].items():
            assert offset(bytes.fromhex(case["tag"]), int(greatest)) == wanted


def test_the_input_is_labelled() -> None:
    assert inputs([bytes(16)]) == [b"trustcenter/date-shift/1\x00" + bytes(16)]


def test_offsets_are_uniform_and_the_maximum_only_scales_them() -> None:
    tags = [hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(20_000)]
    counts = Counter(offset(tag, 3) for tag in tags)
    assert set(counts) == set(range(-3, 4))
    assert max(abs(count - 20_000 / 7) for count in counts.values()) < 250  # five deviations
    for tag in tags[:2000]:
        assert abs(offset(tag, 365) / 731 - offset(tag, 3650) / 7301) < 0.002
