"""Which chain of a continuous backup is the newest: by when it began, however soon one follows the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from trustcenter.instance.backups import chain as chains


def test_chains_begun_in_one_second_are_in_the_order_they_were_begun(tmp_path: Path) -> None:
    begun = datetime(2027, 3, 1, 12, 30, 15, 0, UTC)
    made = [chains.new_chain(tmp_path, begun + timedelta(microseconds=n)).name for n in range(20)]
    assert [one.name for one in chains.chains(tmp_path)] == made
    assert made[7].startswith("20270301T123015.000007Z-")


def test_names_of_earlier_releases_are_read_and_precede_what_followed_in_their_second(tmp_path: Path) -> None:
    (tmp_path / "20270301T123015Z-ffffffff").mkdir()
    (tmp_path / "20270301T123016Z-00000000").mkdir()
    (tmp_path / "20270301T123014Z-ffffffff").mkdir()
    new = chains.new_chain(tmp_path, datetime(2027, 3, 1, 12, 30, 15, 1, UTC)).name
    assert [one.name for one in chains.chains(tmp_path)] == [
        "20270301T123014Z-ffffffff",
        "20270301T123015Z-ffffffff",
        new,
        "20270301T123016Z-00000000",
    ]
