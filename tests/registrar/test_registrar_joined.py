"""A run over everything reads a study as columns: pairs and kept edges are those that a window comes to by objects."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from linkage.rows import EDGE
from trustcenter.messages.rooms import EDGE_BYTES
from trustcenter.registrar.linking import joined
from trustcenter.registrar.linking.changes import Changes
from trustcenter.registrar.linking.deciding import _keep
from trustcenter.registrar.linking.pairs import Key
from trustcenter.registrar.linking.reading import Edges, Records, Setting, resolve
from trustcenter.registrar.linking.subjects import NOBODY, Subjects
from trustcenter.registrar.linking.whole import Columns, Whole

PASSES = 3
DOMAINS = (7, 3, 5)  # by the names of their sites
Row = tuple[int, int, int, int, bytes]


class Case:
    """Records of three sites, with refs of up to two versions, and edges between any of them."""

    def __init__(self, seed: str, versions: tuple[int, ...]) -> None:
        self.chance = random.Random(seed)
        self.setting = Setting(
            study="s",
            schema="de-person/1",
            passes=PASSES,
            bounds=(0.05, 0.95),
            careful=False,
            calibrations=(),
            sites=("a", "b", "c"),
            domains=DOMAINS,
            deduplicated=(True,) * 3,
            verdicts=(),
            versions=versions,
        )
        self.keys: list[Key] = sorted((domain, serial) for domain in DOMAINS for serial in range(12))
        self.able = [self.chance.random() < 0.9 for _ in self.keys]
        self.persons = [self.chance.choice([None, self.bytes()]) for _ in self.keys]
        self.tags = [self.bytes() for _ in self.keys]
        self.groups = [  # record, version, refs
            (number, version, [self.bytes() for _ in range(PASSES)])
            for number in range(len(self.keys))
            for version in versions
            if self.chance.random() < 0.9
        ]
        self.stored = self.pairs(120)
        again = [edge for row in self.stored for edge in edges(row[4])]
        fresh = {self.edge()[1] for _ in range(150)} | {*self.chance.sample(again, 40)}
        self.fresh = np.frombuffer(b"".join(sorted(fresh)), EDGE)

    def bytes(self) -> bytes:
        return self.chance.randbytes(16)

    def ref(self, group: int) -> bytes:
        """One of a group, or one that nobody has."""
        return self.chance.choice([*self.groups[group][2], self.bytes()])

    def edge(self) -> tuple[tuple[int, int], bytes]:
        """The records of an edge, the smaller one first, and the edge."""
        one, other = self.chance.sample(range(len(self.groups)), 2)
        owners = sorted((self.groups[one][0], self.groups[other][0]))
        level = bytes([self.chance.randrange(1, 5)])
        return (owners[0], owners[1]), b"".join(sorted((self.ref(one), self.ref(other)))) + level

    def pairs(self, count: int) -> list[Row]:
        """As the table of pairs has them."""
        found: dict[tuple[int, int], dict[bytes, bytes]] = {}
        for owners, edge in (self.edge() for _ in range(count)):
            if self.keys[owners[0]][0] != self.keys[owners[1]][0]:
                found.setdefault(owners, {})[edge[:-1]] = edge
        return [(*self.keys[a], *self.keys[b], b"".join(sorted(held.values()))) for (a, b), held in found.items()]

    def whole(self, folder: Path) -> Whole:
        """As columns."""
        (folder / "refs").write_bytes(b"".join(ref for _, _, refs in self.groups for ref in refs))
        (folder / "stored").write_bytes(b"".join(row[4] for row in self.stored))
        number = {key: at for at, key in enumerate(self.keys)}
        known = [[number[row[:2]], number[row[2:4]]] for row in self.stored for _ in edges(row[4])]
        have = {record for record, _, _ in self.groups}
        table = np.array(self.keys, np.int64)
        columns = Columns(
            serials=table[:, 1],
            tags=packed(self.tags),
            persons=packed([person or NOBODY for person in self.persons]),
            quality=np.full(len(self.keys), np.nan),
            part=np.array([able and at in have for at, able in enumerate(self.able)]),
        )
        return Whole(
            setting=self.setting,
            domains=table[:, 0],
            sources=np.array([DOMAINS.index(domain) for domain, _ in self.keys], np.int32),
            columns=columns,
            owners=np.array([record for record, _, _ in self.groups], np.int32),
            versions=np.array([version for _, version, _ in self.groups], np.int64),
            refs=folder / "refs",
            known=np.array(known, np.int32).reshape(-1, 2),
            stored=folder / "stored",
        )

    def by_objects(self, changes: Changes) -> Subjects:
        """As a window reads and resolves what it touches."""
        have = {record for record, _, _ in self.groups}
        records = Records(
            keys=list(self.keys),
            sources=[DOMAINS.index(domain) for domain, _ in self.keys],
            tags=self.tags,
            part=[able and at in have for at, able in enumerate(self.able)],
            persons=self.persons,
            qualities=[None] * len(self.keys),
            numbers={key: at for at, key in enumerate(self.keys)},
            owners=[record for record, _, _ in self.groups],
            versions=[version for _, version, _ in self.groups],
            refs=bytearray(b"".join(ref for _, _, refs in self.groups for ref in refs)),
        )
        read = Edges()
        read.add_fresh(self.fresh)
        read.add_stored(self.stored, records.numbers)
        found = resolve(read, records, records.index(PASSES))
        _keep(changes, found, records, None)
        return Subjects.of(self.keys, records, found)


def edges(packed: bytes) -> list[bytes]:
    return [packed[at : at + EDGE_BYTES] for at in range(0, len(packed), EDGE_BYTES)]


def packed(values: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(values), np.uint8).reshape(-1, 16)


def kept(changes: Changes) -> dict[tuple[int, ...], bytes]:
    """The edges of each pair that changed."""
    changes.complete()
    assert changes.whole
    found: dict[tuple[int, ...], bytes] = {}
    rows = [row for part in changes.slices() if not part.lists for row in changes.read(part)]
    found.update((row[:4], row[4]) for row in rows)
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("versions", [(4,), (4, 5)])
@pytest.mark.parametrize("at_once", [9, 1_000_000])
def test_columns_come_to_what_objects_come_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: tuple[int, ...], at_once: int
) -> None:
    monkeypatch.setattr(joined, "_EDGES", at_once)
    for seed in range(8):
        case = Case(f"{versions} {seed}", versions)
        folders = [tmp_path / f"{seed}-{name}" for name in ("whole", "objects")]
        for folder in folders:
            folder.mkdir()
        (folders[0] / "fresh").write_bytes(case.fresh.tobytes())
        whole, objects = (Changes(folder) for folder in folders)
        found = joined.subjects(case.whole(folders[0]), folders[0] / "fresh", whole)
        expected = case.by_objects(objects)
        for name in ("keys", "sources", "tags", "persons", "quality", "gone", "gone_persons"):
            assert np.array_equal(getattr(found, name), getattr(expected, name), equal_nan=name == "quality"), name
        for side in "abcs":
            assert getattr(found.pairs, side).tolist() == getattr(expected.pairs, side).tolist()
            assert getattr(found.pairs, side).dtype == np.int32
        told = kept(whole)
        assert told == kept(objects)
        assert len(found.pairs) > 20
        assert len(told) > 50
        assert b"" in told.values(), "a pair that lost its last edge goes"


def test_edges_of_a_comparator_that_does_not_sort_them_are_kept_once(tmp_path: Path) -> None:
    case = Case("unsorted", (4,))
    case.stored = []
    by_smaller = {edge["lo"].tobytes(): edge.tobytes() for edge in case.fresh}  # which tells an edge, in a pair
    case.fresh = np.frombuffer(b"".join(sorted(by_smaller.values())), EDGE)
    twice = np.concatenate((case.fresh[::-1], case.fresh))
    (tmp_path / "fresh").write_bytes(twice.tobytes())
    (tmp_path / "objects").mkdir()
    found = joined.subjects(case.whole(tmp_path), tmp_path / "fresh", changes := Changes(tmp_path))
    expected = case.by_objects(objects := Changes(tmp_path / "objects"))
    assert found.pairs.c.tolist() == expected.pairs.c.tolist()
    assert kept(changes) == kept(objects)


def test_edges_whose_refs_begin_alike_count_once_although_they_were_known(tmp_path: Path) -> None:
    """A site chooses its refs: else each run over everything would count an edge once more."""
    case = Case("alike", (4,))
    for _, _, refs in case.groups:
        refs[:] = [bytes(8) + ref[8:] for ref in refs]
    case.stored = [row for row in case.pairs(600) if all(row[:2] < row[2:4] for _ in edges(row[4]))]
    known = {edge for row in case.stored for edge in edges(row[4])}
    case.fresh = np.frombuffer(b"".join(sorted(known)), EDGE)
    owner = {ref: number for number, _, refs in case.groups for ref in refs}
    alive = {edge for edge in known if edge[:16] in owner and edge[16:32] in owner}
    assert max(Counter(tuple(sorted((owner[e[:16]], owner[e[16:32]]))) for e in alive).values()) > 1
    (tmp_path / "fresh").write_bytes(case.fresh.tobytes())
    (tmp_path / "objects").mkdir()
    for found in (
        joined.subjects(case.whole(tmp_path), tmp_path / "fresh", Changes(tmp_path)),
        case.by_objects(Changes(tmp_path / "objects")),
    ):
        part = {key: number for number, key in enumerate(map(tuple, found.keys.tolist()))}
        expected = Counter(
            tuple(sorted(part.get(case.keys[owner[side]], -1) for side in (edge[:16], edge[16:32]))) for edge in alive
        )
        told = dict(
            zip(zip(found.pairs.a.tolist(), found.pairs.b.tolist(), strict=True), found.pairs.c.tolist(), strict=True)
        )
        assert told == {pair: many for pair, many in expected.items() if pair[0] >= 0}
