"""A stop in the middle of a large batch: it is answered in full or not done at all."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from pathlib import Path

import pytest
from conftest_operate import Center

pytestmark = pytest.mark.faults

COUNT = 100_000


@pytest.mark.parametrize("after", [0.3, 1.2])
def test_a_batch_under_way_at_a_stop_is_acknowledged_or_nothing(tmp_path: Path, after: float) -> None:
    center = Center(tmp_path)
    originals = [f"p{n}" for n in range(COUNT)]
    answers: list[dict[str, str]] = []
    with center.running() as process:
        center.found()

        def send() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
                answers.append(center.pseudonyms(originals))

        worker = threading.Thread(target=send)
        worker.start()
        time.sleep(after)
        process.terminate()
        worker.join(60)
        assert process.wait(60) == 0
    with center.running():
        known = center.post("/v1/domains/north/pseudonyms", {"originals": originals, "mode": "get"})["pseudonyms"]
    there = sum(one is not None for one in known)
    assert there in (0, COUNT)
    if answers:
        assert dict(zip(originals, known, strict=True)) == answers[0]
    assert center.fsck()[0] == 0
