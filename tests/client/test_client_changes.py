"""Files of changes at the recipient: what is missing, or was sealed as something else, is named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from letter_support import Registrar

from keys.errors import SealError
from keys.hybrid import RecipientKey, seal
from trustcenter.client.errors import LocalFileError
from trustcenter.client.study.changes import (
    FORMAT,
    Batch,
    Change,
    ChangesFile,
    SealedBatch,
    apply,
    open_changes,
    read_codes,
)
from trustcenter.errors import VerificationError

CENTRE = Registrar()
KNOWN = [CENTRE.fingerprint]


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
    box = seal(key.public, msgspec.json.encode(batch), info)
    return SealedBatch(number=number, sealed=box, letter=CENTRE.letter("changes", "herz-1", str(number), box))


def written(folder: Path, batches: list[SealedBatch]) -> Path:
    path = folder / "changes.json"
    made = ChangesFile(format="trustcenter/changes-file/1", study="herz-1", recipient="uni", batches=batches)
    path.write_bytes(msgspec.json.encode(made))
    return path


def test_batches_in_order_are_opened(tmp_path: Path) -> None:
    key = RecipientKey.generate()
    assert open_changes(written(tmp_path, [sealed(key, n) for n in (4, 5, 6)]), key, "herz-1", KNOWN).last == 6


@pytest.mark.parametrize("numbers", [(1, 3), (2, 1), (1, 1)])
def test_a_batch_that_is_missing_or_out_of_order_is_named(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    key = RecipientKey.generate()
    with pytest.raises(VerificationError) as refused:
        open_changes(written(tmp_path, [sealed(key, n) for n in numbers]), key, "herz-1", KNOWN)
    assert refused.value.code == "changes_gap"


def test_a_batch_under_another_number_is_refused(tmp_path: Path) -> None:
    key = RecipientKey.generate()
    with pytest.raises(VerificationError) as refused:
        open_changes(written(tmp_path, [sealed(key, 1, inside=2)]), key, "herz-1", KNOWN)
    assert refused.value.code == "changes_gap"
    box = sealed(key, 1).sealed
    moved = SealedBatch(number=2, sealed=box, letter=CENTRE.letter("changes", "herz-1", "2", box))
    with pytest.raises(SealError):
        open_changes(written(tmp_path, [moved]), key, "herz-1", KNOWN)


def test_numbers_of_another_epoch_follow_the_batch_that_they_name(tmp_path: Path) -> None:
    """After a restore: 1 and 2 were kept, 3 and 4 are gone, and what follows is of epoch 1."""
    key = RecipientKey.generate()
    one, two = sealed(key, 1), sealed(key, 2)
    first, second = sealed(key, 1_000_001, after=2), sealed(key, 1_000_002)
    assert open_changes(written(tmp_path, [one, two, first, second]), key, "herz-1", KNOWN).last == 1_000_002
    assert (
        open_changes(written(tmp_path, [sealed(key, 1_000_001, after=0), second]), key, "herz-1", KNOWN).last
        == 1_000_002
    )
    for gap in ([first, second], [two, first], [one, first], [one, two, second], [one, two, sealed(key, 3), first]):
        with pytest.raises(VerificationError) as refused:
            open_changes(written(tmp_path, gap), key, "herz-1", KNOWN)
        assert refused.value.code == "changes_gap"
    assert (
        open_changes(written(tmp_path, [second]), key, "herz-1", KNOWN).last == 1_000_002
    )  # a later part of one epoch


def test_batches_that_the_registrar_did_not_sign_are_refused(tmp_path: Path) -> None:
    """Every member of a study knows the recipient's public key, and could seal a withdrawal to it."""
    key = RecipientKey.generate()
    one, two = sealed(key, 1), sealed(key, 2)
    foreign = Registrar().letter("changes", "herz-1", "2", two.sealed)
    for batch, code in (
        (msgspec.structs.replace(two, letter=""), "unsigned"),
        (msgspec.structs.replace(two, letter=one.letter), "not_from_registrar"),
        (msgspec.structs.replace(two, sealed=sealed(key, 2).sealed), "not_from_registrar"),
        (
            msgspec.structs.replace(two, letter=foreign),
            "wrong_log_key",
        ),
        (
            msgspec.structs.replace(two, letter=CENTRE.letter("changes", "herz-1", "2", two.sealed, "other")),
            "not_from_registrar",
        ),
    ):
        with pytest.raises(VerificationError) as refused:
            open_changes(written(tmp_path, [one, batch]), key, "herz-1", KNOWN)
        assert refused.value.code == code
    # What was signed before and after a rotation of the log's key, or by another log that is known as well.
    CENTRE.rotate()
    again = Registrar()
    three = sealed(key, 3)
    three = msgspec.structs.replace(three, letter=again.letter("changes", "herz-1", "3", three.sealed))
    file = written(tmp_path, [one, sealed(key, 2), three])
    assert open_changes(file, key, "herz-1", [again.fingerprint, *KNOWN]).last == 3


def test_a_batch_that_holds_something_else_is_named(tmp_path: Path) -> None:
    key = RecipientKey.generate()
    box = seal(
        key.public, b'{"format":"trustcenter/changes/9"}', b"\0".join((FORMAT.encode(), b"herz-1", b"uni", b"1"))
    )
    batch = SealedBatch(number=1, sealed=box, letter=CENTRE.letter("changes", "herz-1", "1", box))
    with pytest.raises(VerificationError) as refused:
        open_changes(written(tmp_path, [batch]), key, "herz-1", KNOWN)
    assert refused.value.code == "changes_unreadable"


def test_a_map_after_changes_says_no_quality_that_is_not_known() -> None:
    rows = [
        ("a", "A1", "P", "0.9900", "2"),
        ("b", "B1", "P", "0.9900", "2"),
        ("a", "A2", "Q", "0.9800", "3"),
        ("b", "B2", "Q", "0.9800", "3"),
        ("c", "C2", "Q", "0.9700", "3"),
        ("c", "C3", "R", "", "1"),
    ]
    changes = [
        Change(kind="moved", site="b", pseudonym="B1", person="P", into="R"),
        Change(kind="withdrawn", site="c", pseudonym="C2", person="Q"),
    ]
    assert apply(rows, changes) == [
        ("a", "A1", "P", "", "1"),
        ("a", "A2", "Q", "0.9800", "2"),
        ("b", "B2", "Q", "0.9800", "2"),
        ("b", "B1", "R", "", "2"),
        ("c", "C3", "R", "", "2"),
    ]
    assert apply(apply(rows, changes), changes) == apply(rows, changes)


def test_a_file_without_codes_acknowledges_nothing(tmp_path: Path) -> None:
    codes = tmp_path / "codes.csv"
    codes.write_text("number,code\n", encoding="utf-8")
    with pytest.raises(LocalFileError) as refused:
        read_codes(codes)
    assert refused.value.code == "no_codes"
