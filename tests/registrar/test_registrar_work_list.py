"""Which doubtful pair a steward sees first."""

from __future__ import annotations

from trustcenter.messages.api import ClearingTask
from trustcenter.registrar.doubts.work_list import urgency


def task(name: str, records: int, created: str = "2026-11-28T00:00:00Z") -> ClearingTask:
    return ClearingTask(
        task=name * 32,
        sites=["north", "south"],
        origin="run",
        edges=3,
        level=1.5,
        rivals=0,
        joined=False,
        records=records,
        decided=False,
        postponed=None,
        created=created,
    )


def test_what_is_at_stake_comes_first_then_what_is_near_the_cut_then_what_waits() -> None:
    ordered = [
        (task("f", 5), 0.4),  # five records, however sure the run was
        (task("e", 2), None),  # named by people
        (task("d", 2), 0.01),  # the run knew least
        (task("c", 2, "2026-11-27T00:00:00Z"), 0.2),  # waits longest
        (task("a", 2), 0.2),
        (task("b", 2), 0.2),
    ]
    given = [ordered[at] for at in (3, 5, 0, 4, 2, 1)]
    assert sorted(given, key=lambda pair: urgency(*pair)) == ordered
