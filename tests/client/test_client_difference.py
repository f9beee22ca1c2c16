"""What a site sends: only what the centre does not hold, in parts that fit together again."""

from __future__ import annotations

import numpy as np
import pytest

from linkage.encode import Encoded
from linkage.maps import map_dtype
from linkage.rows import ROW, sort_order
from trustcenter.client.study.difference import Part, new_records, parts

P = 3


def source(seed: int, n: int) -> Encoded:
    """`n` records with random refs: what the difference looks at is refs only."""
    random = np.random.Generator(np.random.Philox(seed))
    refs = random.integers(0, 256, (n, P, 16), np.uint8)
    refs = np.sort(refs.view("S16")[..., 0], axis=1).view(np.uint8).reshape(n, P, 16)
    rows = np.zeros(n * P, ROW)
    rows["ref"] = refs.reshape(-1, 16)
    rows["pass"] = np.tile(np.arange(P), n)
    numbers = random.integers(0, 256, (n, 16), np.uint8)
    return Encoded(rows[sort_order(rows["ref"])], numbers, refs, np.full(n, P, np.uint8), (0,) * P, (0,) * P)


def refs_in(part: Part) -> list[bytes]:
    return [ref.tobytes() for ref in part.rows["ref"]]


def refs_of(encoded: Encoded) -> list[bytes]:
    return sorted(bytes(ref) for ref in encoded.refs.reshape(-1, 16))


@pytest.mark.parametrize("most", [1000, 40, 7, 1])
def test_the_first_time_everything_goes(most: int) -> None:
    encoded = source(1, 40)
    made = list(parts(encoded, b"", most))
    assert len(made) == -(-40 // most)
    assert sorted(ref for part in made for ref in refs_in(part)) == refs_of(encoded)
    assert max(p.records for p in made) - min(p.records for p in made) <= 1
    for part in made:
        assert refs_in(part) == sorted(refs_in(part))
        entries = np.frombuffer(part.entries, map_dtype(P))
        assert sorted(bytes(r) for r in entries["refs"].reshape(-1, 16)) == refs_in(part)
        numbers = [bytes(n) for n in entries["record_number"]]
        assert numbers == sorted(numbers)
        assert len(numbers) == part.records


def test_what_is_held_is_not_sent_again() -> None:
    encoded = source(2, 30)
    held = b"".join(refs_of(encoded))
    assert new_records(encoded, held) == (0, 0)
    assert list(parts(encoded, held, 100)) == []


def test_a_changed_record_sends_its_new_rows_and_its_whole_entry() -> None:
    before, after = source(3, 30), source(3, 30)
    changed = after.refs.copy()
    changed[7, 1] = 0
    changed[7] = np.sort(changed[7].view("S16")[..., 0], axis=0).view(np.uint8).reshape(P, 16)
    rows = after.rows.copy()
    rows["ref"] = np.sort(changed.reshape(-1, 16).view("S16")[:, 0]).view(np.uint8).reshape(-1, 16)
    after = Encoded(rows, after.record_numbers, changed, after.live_passes, after.missing, after.capped)
    held = b"".join(refs_of(before))
    assert new_records(after, held) == (1, 1)
    (part,) = parts(after, held, 100)
    assert refs_in(part) == [b"\0" * 16]
    entry = np.frombuffer(part.entries, map_dtype(P))
    assert len(entry) == 1
    assert bytes(entry["record_number"][0]) == bytes(before.record_numbers[7])
    assert entry["refs"][0].tolist() == changed[7].tolist()
