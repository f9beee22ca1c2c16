"""The index: look-ups, windows, bulk loading, compaction."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.errors import TokenIndexBusyError, TokenIndexDamagedError, TokenIndexError
from linkage.executors.chunks import buckets as read_buckets
from linkage.executors.chunks import cut
from linkage.executors.files import sha256_of
from linkage.executors.plan import plan_of
from linkage.index import refs as refs_file
from linkage.index import segment as segment_file
from linkage.index.manifest import BATCHES, Manifest, Part, flush_folder, read, write
from linkage.index.segment import WORDS, Segment, in_order
from linkage.index.window import Window
from linkage.join import Edges, join_words, merge
from linkage.rows import open_rows
from linkage.schema import Schema

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]

_MERGE = 4  # segments of like size are merged when there are so many of them
_RANGE_ROWS = 1 << 18  # rows merged at a time
_LOCK = "lock"


@dataclass(frozen=True)
class TokenIndex:
    """An index in a directory.

    Readers need no lock: files never change, and a reader that began before a change sees the state before it.

    Attributes:
        folder: the directory; holds tokens and filters, so it needs the care of the rows files.
    """

    folder: Path

    @classmethod
    def create(cls, folder: Path, study: str, version: int, schema: Schema) -> TokenIndex:
        """An empty index in a new or empty directory.

        Raises:
            TokenIndexError: the directory holds something.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise TokenIndexError("the directory for a new index is not empty")
        write(
            folder,
            Manifest(
                study=study,
                version=version,
                fingerprint=schema.fingerprint,
                levels=schema.levels,
                caps=tuple(p.cap for p in schema.passes),
            ),
        )
        return cls(folder)

    @property
    def manifest(self) -> Manifest:
        """Its state now."""
        return read(self.folder)

    def look_up(self, window: Window) -> Edges:
        """Edges of the new rows of a window, with each other and with what is live; nothing is changed.

        The rows that the window retires do not count as live. Caps are judged as they will stand after the window.
        Over windows, the edges that were found and whose refs are live are those of a comparison of all live rows,
        as long as no source goes beyond a cap (keyed-passes.md, section 6).

        Raises:
            TokenIndexError: the window is malformed.
            TokenIndexDamagedError: a file is missing or cut.
        """
        while True:
            state = self.manifest
            window.check(len(state.caps))
            try:
                return self._look_up(state, window)
            except TokenIndexDamagedError:
                if self.manifest.sequence == state.sequence:
                    raise  # else the files went because another process merged them meanwhile

    def _look_up(self, state: Manifest, window: Window) -> Edges:
        names = _sources(state, window)
        found = []
        with self._opened(state) as (segments, retired):
            hidden = [*retired, (state.sequence + 1, window.retired)]
            for number, fresh in window.entries(names).items():
                wanted = np.unique(fresh[:, 0])
                known = [
                    _living(one.find(number, wanted), part.sequence, hidden)
                    for part, one in zip(state.segments, segments, strict=True)
                ]
                found.append(_join_fresh(fresh, _each_once([fresh, *known]), state, number))
        return merge(found, len(names))

    def apply(self, window: Window) -> bool:
        """Add the new rows of a window and retire its refs, in one durable step.

        Returns:
            False if this very window was applied before: then nothing is changed.

        Raises:
            TokenIndexError: the window is malformed.
            TokenIndexBusyError: another process changes the index.
        """
        with self._changing() as state:
            window.check(len(state.caps))
            identity = window.identity
            if identity in state.batches:
                return False
            names = _sources(state, window)
            sequence = state.sequence + 1
            segments, retired = state.segments, state.retired
            if any(len(rows) for rows in window.rows.values()):
                blocks = ((number, in_order(part)) for number, part in window.entries(names).items())
                segments = (*segments, self._segment(state, sequence, sum(map(len, window.rows.values())), blocks))
            if len(window.retired):
                name = f"del-{sequence:010}"
                n, sha256 = refs_file.write(self.folder / name, window.retired)
                retired = (*retired, Part(name=name, sequence=sequence, n=n, sha256=sha256))
            batches = (*state.batches, identity)[-BATCHES:]
            self._become(
                state,
                msgspec.structs.replace(
                    state, sources=names, sequence=sequence, segments=segments, retired=retired, batches=batches
                ),
            )
        return True

    def load(self, files: Sequence[Path]) -> int:
        """Add whole rows files as one segment; memory does not grow with them.

        Returns:
            the number of rows.

        Raises:
            TokenIndexError: a file is of another study, version or schema, or its source is in the index already.
            TokenIndexBusyError: another process changes the index.
            RowsFileError, RowsFileDamagedError: a file.
        """
        heads = [open_rows(path)[0] for path in files]
        with self._changing() as state, tempfile.TemporaryDirectory(dir=self.folder, prefix=".load-") as work:
            wanted = (state.study, state.version, state.fingerprint)
            if any((h.study, h.version, h.fingerprint) != wanted for h in heads):
                raise TokenIndexError("a rows file is not of the index's study, version and schema")
            names = [h.source for h in heads]
            if len({*names, *state.sources}) != len(names) + len(state.sources):
                raise TokenIndexError("a source is in the index already", hint="send what changed as a window")
            plan = plan_of(files, state.levels, state.caps)
            for number in range(len(files)):
                cut(Path(work), plan, number)
            offset = len(state.sources)

            def blocks() -> Iterator[tuple[int, U64]]:
                for first in range(0, plan.buckets, plan.span):
                    end = min(first + plan.span, plan.buckets)
                    for at, (words, source) in enumerate(read_buckets(Path(work), plan, first, end), first):
                        owner = (source + offset).astype(np.uint64)[:, None]
                        yield at >> plan.bits, in_order(np.hstack((words, owner)))

            sequence = state.sequence + 1
            part = self._segment(state, sequence, plan.rows, blocks())
            self._become(
                state,
                msgspec.structs.replace(
                    state,
                    sources=(*state.sources, *names),
                    sequence=sequence,
                    segments=(*state.segments, part),
                ),
            )
        return plan.rows

    def compact(self, *, whole: bool = False) -> int:
        """Merge segments of like size, the newest first; retired rows of what is merged go.

        Args:
            whole: merge all segments into one, and forget all retired refs.

        Returns:
            how many segments were merged.
        """
        with self._changing() as state:
            first = 0 if whole else _worth_merging([s.n for s in state.segments])
            chosen = state.segments[first:]
            if (len(chosen) < 2 and not whole) or not chosen:
                return 0
            sequence = state.sequence + 1
            with self._opened(state) as (segments, retired):
                blocks = _merged(state, list(zip(chosen, segments[first:], strict=True)), retired)
                part = self._segment(state, sequence, sum(s.n for s in chosen), blocks)
            # What was retired is gone from the merged rows; a list stays as long as older segments need it.
            left = state.segments[:first]
            kept = tuple(r for r in state.retired if any(s.sequence < r.sequence for s in left))
            self._become(state, msgspec.structs.replace(state, sequence=sequence, segments=(*left, part), retired=kept))
        return len(chosen)

    def check(self) -> None:
        """Read every file and compare its hash.

        Raises:
            TokenIndexDamagedError: one was changed.
        """
        state = self.manifest
        with self._opened(state):
            pass
        for part in state.segments:
            if sha256_of(self.folder / part.name, skip=segment_file.HEAD) != part.sha256:
                raise TokenIndexDamagedError("a file of the index was changed", hint="build it again")

    def _segment(self, state: Manifest, sequence: int, rows: int, blocks: Iterator[tuple[int, U64]]) -> Part:
        name = f"seg-{sequence:010}"
        n, sha256 = segment_file.write(self.folder / name, len(state.caps), rows, blocks)
        return Part(name=name, sequence=sequence, n=n, sha256=sha256)

    def _become(self, before: Manifest, state: Manifest) -> None:
        """The files are durable and named before the manifest names them."""
        flush_folder(self.folder)
        write(self.folder, state)
        for part in (*before.segments, *before.retired):
            if part not in (*state.segments, *state.retired):
                (self.folder / part.name).unlink()

    def _sweep(self, state: Manifest) -> None:
        """Remove what changes left behind that never came to their end."""
        named = {p.name for p in (*state.segments, *state.retired)}
        for path in self.folder.iterdir():
            if re.fullmatch(r"(seg|del)-[0-9]{10}", path.name) and path.name not in named:
                path.unlink()
            elif path.name.startswith(".load-"):
                shutil.rmtree(path)

    @contextmanager
    def _changing(self) -> Iterator[Manifest]:
        read(self.folder)  # says so where there is none, before a lock file is made
        handle = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise TokenIndexBusyError("another process changes the index", hint="try again later") from None
            state = read(self.folder)
            self._sweep(state)
            yield state
        finally:
            os.close(handle)

    @contextmanager
    def _opened(self, state: Manifest) -> Iterator[tuple[list[Segment], list[tuple[int, U8]]]]:
        """All segments, and (sequence, refs) of what was retired."""
        segments: list[Segment] = []
        try:
            segments.extend(Segment.open(self.folder / s.name, len(state.caps), s.n) for s in state.segments)
            yield (
                segments,
                [(r.sequence, refs_file.read(self.folder / r.name, r.n, r.sha256)) for r in state.retired],
            )
        finally:
            for one in segments:
                one.close()


def _sources(state: Manifest, window: Window) -> tuple[str, ...]:
    return (*state.sources, *sorted(set(window.rows) - set(state.sources)))


def _living(entries: U64, sequence: int, retired: Sequence[tuple[int, U8]]) -> U64:
    """Entries of a segment that nothing retired since."""
    for since, refs in retired:
        if since > sequence and len(entries):
            high, low = np.ascontiguousarray(entries[:, 6]), np.ascontiguousarray(entries[:, 7])
            entries = entries[~refs_file.members(high, low, refs)]
    return entries


def _each_once(parts: Sequence[U64]) -> U64:
    """Entries of several segments; a ref that came twice (an upload that was repeated) counts once, the first time."""
    together = np.concatenate([np.empty((0, WORDS), np.uint64), *parts])
    order = np.lexsort((together[:, 7], together[:, 6]))  # stable: the first comes first
    ref = together[order][:, 6:8]
    again = np.zeros(len(order), np.bool_)
    again[1:] = (ref[1:] == ref[:-1]).all(axis=1)
    return together[np.sort(order[~again])]


def _join_fresh(fresh: U64, entries: U64, state: Manifest, number: int) -> Edges:
    """Edges among `entries` that touch a fresh row."""
    words = np.ascontiguousarray(entries[:, :8])
    edges = join_words(words, entries[:, 8].astype(np.int64), state.levels, cap=state.caps[number])
    new = np.unique(np.ascontiguousarray(fresh[:, 6:8]).astype(">u8").view(np.uint8).reshape(-1, 16), axis=0)

    def touches(column: U8) -> NDArray[np.bool_]:
        halves = np.ascontiguousarray(column).view(">u8").astype(np.uint64)
        return refs_file.members(halves[:, 0].copy(), halves[:, 1].copy(), new)

    chosen = edges.table[touches(edges.table["lo"]) | touches(edges.table["hi"])]
    return Edges(chosen, edges.compared, edges.over_cap, edges.blocks_skipped, edges.largest_block)


def _worth_merging(sizes: Sequence[int]) -> int:
    """From which segment on to merge: a run at the end, each at most twice as large as all after it together."""
    first, total = len(sizes) - 1, sizes[-1] if sizes else 0
    while first > 0 and sizes[first - 1] <= 2 * total:
        first -= 1
        total += sizes[first]
    return first if len(sizes) - first >= _MERGE else len(sizes)


def _merged(
    state: Manifest, chosen: Sequence[tuple[Part, Segment]], retired: Sequence[tuple[int, U8]]
) -> Iterator[tuple[int, U64]]:
    total = sum(part.n for part, _ in chosen)
    bits = max(0, (total // len(state.caps) // _RANGE_ROWS).bit_length())
    for number in range(len(state.caps)):
        for prefix in range(1 << bits):
            parts = [
                _living(one.range(number, prefix, prefix + 1, bits), part.sequence, retired) for part, one in chosen
            ]
            yield number, in_order(_each_once(parts))
