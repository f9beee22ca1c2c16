"""The index: look-ups, windows, bulk loading, compaction."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.errors import TokenIndexDamagedError, TokenIndexError
from linkage.executors.plan import plan_of
from linkage.files import sha256_of
from linkage.index import refs as refs_file
from linkage.index import segment as segment_file
from linkage.index.bulk import blocks_of
from linkage.index.changes import become, changing
from linkage.index.live import each_once, join_fresh, living
from linkage.index.manifest import BATCHES, Manifest, Part, read, write
from linkage.index.merging import merged, worth_merging
from linkage.index.segment import Segment, in_order
from linkage.index.window import Window
from linkage.join import Edges, merge
from linkage.rows import open_rows
from linkage.schema import Schema

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
Progress = Callable[[int, int], None]


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
        return cls.make(folder, study, version, schema.fingerprint, schema.levels, [p.cap for p in schema.passes])

    @classmethod
    def make(
        cls,
        folder: Path,
        study: str,
        version: int,
        fingerprint: str,
        levels: tuple[int, int, int, int],
        caps: Sequence[int],
    ) -> TokenIndex:
        """As `create`, for who holds what an index needs of a schema and not the schema."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise TokenIndexError("the directory for a new index is not empty")
        write(folder, Manifest(study=study, version=version, fingerprint=fingerprint, levels=levels, caps=tuple(caps)))
        return cls(folder)

    @property
    def manifest(self) -> Manifest:
        """Its state now."""
        return read(self.folder)

    def look_up(self, window: Window, progress: Progress | None = None) -> Edges:
        """Edges of the new rows of a window, with each other and with what is live; nothing is changed.

        The rows that the window retires do not count as live. Caps are judged as they will stand after the window.
        Over windows, the edges that were found and whose refs are live are those of a comparison of all live rows,
        as long as no source goes beyond a cap (keyed-passes.md, section 6).

        Args:
            window: new rows, and refs that are no more.
            progress: called with (passes done, passes); may raise to cancel.

        Raises:
            TokenIndexError: the window is malformed.
            TokenIndexDamagedError: a file is missing or cut.
        """
        while True:
            state = self.manifest
            window.check(len(state.caps))
            try:
                return self._look_up(state, window, progress or _silent)
            except TokenIndexDamagedError:
                if self.manifest.sequence == state.sequence:
                    raise  # else the files went because another process merged them meanwhile

    def _look_up(self, state: Manifest, window: Window, progress: Progress) -> Edges:
        names = _sources(state, window)
        found = []
        with self._opened(state) as (segments, retired):
            hidden = [*retired, (state.sequence + 1, window.retired)]
            for number, fresh in window.entries(names).items():
                wanted = np.unique(fresh[:, 0])
                known = [
                    living(one.find(number, wanted), part.sequence, hidden)
                    for part, one in zip(state.segments, segments, strict=True)
                ]
                found.append(join_fresh(fresh, each_once([fresh, *known]), state, number))
                progress(number + 1, len(state.caps))
        return merge(found, len(names))

    def apply(self, window: Window) -> bool:
        """Add the new rows of a window and retire its refs, in one durable step.

        Returns:
            False if this very window was applied before: then nothing is changed.

        Raises:
            TokenIndexError: the window is malformed.
            TokenIndexBusyError: another process changes the index.
        """
        with changing(self.folder) as state:
            after = self._with(state, window)
            if after is None:
                return False
            become(self.folder, state, after)
        return True

    def has(self, window: Window) -> bool:
        """Whether this very window is among the last thousand that were applied."""
        return window.identity in self.manifest.batches

    def replace(self, windows: Iterable[Window], applied: Iterable[Window] = ()) -> int:
        """Put other content in place of all there is, in one durable step: an index that is built again.

        Args:
            windows: the new content; memory follows the largest one. A reader sees what was there before until all are
                written.
            applied: windows that count as applied from then on, because the new content holds what they brought; only
                their identities are kept.

        Returns:
            the number of rows.

        Raises:
            TokenIndexError, TokenIndexBusyError: as `apply`.
        """
        with changing(self.folder) as before:
            state = msgspec.structs.replace(before, sources=(), segments=(), retired=(), batches=())
            for window in windows:
                state = self._with(state, window) or state
            batches = (*state.batches, *(window.identity for window in applied))[-BATCHES:]
            sequence = max(state.sequence, before.sequence + 1)
            become(self.folder, before, msgspec.structs.replace(state, sequence=sequence, batches=batches))
        return sum(segment.n for segment in state.segments)

    def load(self, files: Sequence[Path], progress: Progress | None = None) -> int:
        """Add whole rows files as one segment; memory does not grow with them.

        Args:
            files: each of a source of its own.
            progress: called with (rows handled, rows to handle), each row twice; may raise to cancel.

        Returns:
            the number of rows.

        Raises:
            TokenIndexError: a file is of another study, version or schema, or its source is in the index already.
            TokenIndexBusyError: another process changes the index.
            RowsFileError, RowsFileDamagedError: a file.
        """
        heads = [open_rows(path)[0] for path in files]
        with changing(self.folder) as state, tempfile.TemporaryDirectory(dir=self.folder, prefix=".load-") as work:
            wanted = (state.study, state.version, state.fingerprint)
            if any((h.study, h.version, h.fingerprint) != wanted for h in heads):
                raise TokenIndexError("a rows file is not of the index's study, version and schema")
            names = [h.source for h in heads]
            if len({*names, *state.sources}) != len(names) + len(state.sources):
                raise TokenIndexError("a source is in the index already", hint="send what changed as a window")
            plan = plan_of(files, state.levels, state.caps)
            blocks = blocks_of(Path(work), plan, len(state.sources), progress or _silent)
            sequence = state.sequence + 1
            part = self._segment(state, sequence, plan.rows, blocks)
            become(
                self.folder,
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
        with changing(self.folder) as state:
            first = 0 if whole else worth_merging([s.n for s in state.segments])
            chosen = state.segments[first:]
            if (len(chosen) < 2 and not whole) or not chosen:
                return 0
            sequence = state.sequence + 1
            with self._opened(state) as (segments, retired):
                blocks = merged(state, list(zip(chosen, segments[first:], strict=True)), retired)
                part = self._segment(state, sequence, sum(s.n for s in chosen), blocks)
            # What was retired is gone from the merged rows; a list stays as long as older segments need it.
            left = state.segments[:first]
            kept = tuple(r for r in state.retired if any(s.sequence < r.sequence for s in left))
            become(
                self.folder,
                state,
                msgspec.structs.replace(state, sequence=sequence, segments=(*left, part), retired=kept),
            )
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

    def _with(self, state: Manifest, window: Window) -> Manifest | None:
        """The manifest after a window, whose files are written; None if the window was applied before."""
        window.check(len(state.caps))
        identity = window.identity
        if identity in state.batches:
            return None
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
        return msgspec.structs.replace(
            state,
            sources=names,
            sequence=sequence,
            segments=segments,
            retired=retired,
            batches=(*state.batches, identity)[-BATCHES:],
        )

    def _segment(self, state: Manifest, sequence: int, rows: int, blocks: Iterator[tuple[int, U64]]) -> Part:
        name = f"seg-{sequence:010}"
        n, sha256 = segment_file.write(self.folder / name, len(state.caps), rows, blocks)
        return Part(name=name, sequence=sequence, n=n, sha256=sha256)

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


def _silent(done: int, total: int) -> None:
    """Tells nobody."""


def _sources(state: Manifest, window: Window) -> tuple[str, ...]:
    return (*state.sources, *sorted(set(window.rows) - set(state.sources)))
