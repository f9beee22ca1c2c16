"""Files of changes at the recipient: what is missing, or was sealed as something else, is named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from keys.errors import SealError
from keys.hybrid import RecipientKey, seal
from trustcenter.client.changes import FORMAT, Batch, ChangesFile, SealedBatch, open_changes
from trustcenter.errors import VerificationError


def sealed(key: RecipientKey, number: int, inside: int | None = None, after: int | None = None) -> SealedBatch:
    """A batch without changes, sealed as `number`; what is inside may say another."""
    batch = Batch(
        format=FORMAT,
        study="herz-1",
        recipient="uni",
        number=number if inside is None else inside,
        code=None,
        changes=[],
        after=after,
    )
    info = b"\0".join((FORMAT.encode(), b"herz-1", b"uni", str(number).encode()))
    return SealedBatch(number=number, sealed=seal(key.public, msgspec.json.encode(batch), info))


def written(folder: Path, batches: list[SealedBatch]) -> Path:
    path = folder / "changes.json"
    made = ChangesFile(format="trustcenter/changes-file/1", study="herz-1", recipient="uni", batches=batches)
    path.write_bytes(msgspec.json.encode(made))
    return path


def test_batches_in_order_are_opened(tmp_path: Path) -> None:
    key = RecipientKey.generate()
    assert open_changes(written(tmp_path, [sealed(key, n) for n in (4, 5, 6)]), key, "herz-1").last == 6


@pytest.mark.parametrize("numbers", [(1, 3), (2, 1), (1, 1)])
def test_a_batch_that_is_missing_or_out_of_order_is_named(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    key = RecipientKey.generate()
    with pytest.raises(VerificationError) as refused:
        open_changes(written(tmp_path, [sealed(key, n) for n in numbers]), key, "herz-1")
    assert refused.value.code == "changes_gap"


def test_a_batch_under_another_number_is_refused(tmp_path: Path) -> None:
    key = RecipientKey.generate()
    with pytest.raises(VerificationError) as refused:
        open_changes(written(tmp_path, [sealed(key, 1, inside=2)]), key, "herz-1")
    assert refused.value.code == "changes_gap"
    moved = SealedBatch(number=2, sealed=sealed(key, 1).sealed)
    with pytest.raises(SealError):
        open_changes(written(tmp_path, [moved]), key, "herz-1")


def test_numbers_of_another_epoch_follow_the_batch_that_they_name(tmp_path: Path) -> None:
    """After a restore: 1 and 2 were kept, 3 and 4 are gone, and what follows is of epoch 1."""
    key = RecipientKey.generate()
    one, two = sealed(key, 1), sealed(key, 2)
    first, second = sealed(key, 1_000_001, after=2), sealed(key, 1_000_002)
    assert open_changes(written(tmp_path, [one, two, first, second]), key, "herz-1").last == 1_000_002
    assert open_changes(written(tmp_path, [sealed(key, 1_000_001, after=0), second]), key, "herz-1").last == 1_000_002
    for gap in ([first, second], [two, first], [one, first], [one, two, second], [one, two, sealed(key, 3), first]):
        with pytest.raises(VerificationError) as refused:
            open_changes(written(tmp_path, gap), key, "herz-1")
        assert refused.value.code == "changes_gap"
    assert open_changes(written(tmp_path, [second]), key, "herz-1").last == 1_000_002  # a later part of one epoch
