"""Numbers of batches of changes: without gaps inside an epoch, and never the same under two."""

from __future__ import annotations

import pytest

from trustcenter.registrar.release.release_changes import EPOCH_NUMBERS, following


@pytest.mark.parametrize(("epoch", "start"), [(0, 1), (1, 1_000_001), (3, 3_000_001)])
def test_numbers_of_an_epoch_have_no_gaps(epoch: int, start: int) -> None:
    numbers, last = [], 2 if epoch else 0
    for _ in range(5):
        last = following(last, epoch)
        numbers.append(last)
    assert numbers == list(range(start, start + 5))


def test_a_restored_instance_gives_no_number_again() -> None:
    given = {number for last in range(40) if (number := following(last, 0))}
    assert given == set(range(1, 41))
    for backup in range(40):  # restored to each of these moments, reopened, and restored and reopened once more
        again = following(following(backup, 1), 1)
        assert again == EPOCH_NUMBERS + 2
        assert following(again, 2) == 2 * EPOCH_NUMBERS + 1
        assert following(backup, 2) not in given
