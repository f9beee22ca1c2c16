"""A source of any size as files: read twice, and never in memory as a whole.

A row lives only if its block holds no more rows of the source than the cap, so all records must have been seen before
the first row can be made. The first time, of every block value a number of 64 bits is kept, in a file of the spool;
the second time the rows are made, and go to the spool by the first bits of their refs, to be sorted there. The spool
holds such numbers, rows and map entries: never a value of a person. In memory is a chunk, and one byte per record and
pass.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from linkage.encode.blocks import Plan, Rows, values_of
from linkage.encode.encoder import Columns, Keyed, Work, refs_of
from linkage.encode.secrets import Secrets, record_numbers
from linkage.errors import EncodeInputError
from linkage.maps import map_dtype, pack_map, write_map_parts
from linkage.rows import ROW, sort_order, write_row_parts
from linkage.schema import Schema

U8 = NDArray[np.uint8]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
Piece = tuple[Sequence[str], Columns]
Progress = Callable[[int, int], None]

_BUCKETS = 256  # of the spool, by the first byte


@dataclass(frozen=True)
class Sizes:
    """What an encoding made; see `linkage.encode.Encoded`.

    Attributes:
        records: n.
        few_passes: records with fewer than three rows that are no dummies.
        missing: per pass.
        capped: per pass.
    """

    records: int
    few_passes: int
    missing: tuple[int, ...]
    capped: tuple[int, ...]


def encode_pieces(
    schema: Schema,
    pieces: Callable[[], Iterable[Piece]],
    secrets: Secrets,
    rows_file: Path,
    map_file: Path,
    header: dict[str, str | int],
    *,
    each: Callable[[Sequence[str], U8], None] | None = None,
    progress: Progress | None = None,
) -> Sizes:
    """Write the rows file and the map file of a source, the same bytes as those of `encode`.

    Args:
        schema: fields, passes, caps.
        pieces: called twice; (ids, normalised columns) of some records each, the same both times.
        secrets: study secret and site key.
        rows_file: where to; the spool is made beside it.
        map_file: where to.
        header: study, version, source, fingerprint, passes.
        each: called with the ids and the record numbers of every piece.
        progress: called with (records done, n) after every piece; may raise to cancel.

    Raises:
        EncodeInputError: the pieces differ from one time to the other, or an id occurs twice.
    """
    with tempfile.TemporaryDirectory(dir=rows_file.parent, prefix=".encode-") as name:
        spool = Path(name)
        n = _number_blocks(schema, pieces(), spool)
        live, missing, capped = _live(schema, spool, n)
        few = done = 0
        keyed = Keyed(schema, secrets)
        with ExitStack() as stack:
            to_rows = _Spread(stack, spool, "rows", ROW, "ref")
            to_map = _Spread(stack, spool, "map", map_dtype(schema.P), "record_number")
            for ids, columns in pieces():
                if done + columns.n > n:
                    raise EncodeInputError("the source changed while it was read")
                part = [lives[done : done + columns.n] for lives in live]
                plan = Plan(
                    tuple(
                        Rows(*value, lives)
                        for value, lives in zip(
                            values_of(schema, columns.components, columns.n, columns.further), part, strict=True
                        )
                    ),
                    missing,
                    capped,
                )
                if any(
                    (lives & ~_present(value.parts, columns.n)).any()
                    for value, lives in zip(plan.rows, part, strict=True)
                ):
                    raise EncodeInputError("the source changed while it was read")
                numbers = record_numbers(secrets, secrets.study, ids)
                rows = Work(schema, keyed, columns, plan, numbers).rows()
                to_map.put(pack_map(numbers, refs_of(rows)))
                to_rows.put(rows.reshape(-1))
                few += int((plan.live.sum(axis=0) < 3).sum())
                if each is not None:
                    each(ids, numbers)
                done += columns.n
                if progress is not None:
                    progress(done, n)
        if done != n:
            raise EncodeInputError("the source changed while it was read")
        write_row_parts(rows_file, to_rows.sorted(), n * schema.P, header)
        write_map_parts(map_file, _each_once(to_map.sorted()), n, header)
    return Sizes(n, few, missing, capped)


def _number_blocks(schema: Schema, pieces: Iterable[Piece], spool: Path) -> int:
    """A number for every block value, 0 where there is none, into one file per value of a pass → records."""
    n = 0
    with ExitStack() as stack:
        files = [stack.enter_context((spool / f"blocks-{k:03}").open("wb")) for k in range(schema.P)]
        for _, columns in pieces:
            n += columns.n
            for file, (_, _, parts, _) in zip(
                files, values_of(schema, columns.components, columns.n, columns.further), strict=True
            ):
                # Python's own hash: keyed anew in every process, and fast. Equal values are all that counts.
                numbers = (hash(value) or 1 if all(value) else 0 for value in zip(*parts, strict=True))
                file.write(np.fromiter(numbers, np.int64, columns.n).tobytes())
    return n


def _live(schema: Schema, spool: Path, n: int) -> tuple[list[Bools], tuple[int, ...], tuple[int, ...]]:
    """Per value of a pass (n,) which rows live; per pass, how many lack a value, and how many are over the cap."""
    live: list[Bools] = []
    missing, capped = [], []
    for rule in schema.passes:
        paths = [spool / f"blocks-{len(live) + k:03}" for k in range(rule.values)]
        numbers = np.concatenate([np.fromfile(path, np.int64) for path in paths])
        for path in paths:
            path.unlink()
        present = numbers != 0
        block, size = np.unique(numbers, return_counts=True)
        over = block[size > rule.cap]
        lives = present.copy()
        if len(over):
            lives &= over[np.minimum(np.searchsorted(over, numbers), len(over) - 1)] != numbers
        live += [lives[k * n : (k + 1) * n] for k in range(rule.values)]
        missing.append(len(present) - int(present.sum()))
        capped.append(int(present.sum()) - int(lives.sum()))
    return live, tuple(missing), tuple(capped)


def _present(parts: Sequence[Sequence[str]], n: int) -> Bools:
    """Which of n records have all parts of a block value."""
    return np.fromiter((all(value) for value in zip(*parts, strict=True)), np.bool_, n)


class _Spread:
    """Entries on the disk by the first byte of their key, to be read again in order."""

    def __init__(self, stack: ExitStack, spool: Path, name: str, kind: np.dtype[np.void], key: str) -> None:
        self._paths = [spool / f"{name}-{k:03}" for k in range(_BUCKETS)]
        self._files: list[IO[bytes]] = [stack.enter_context(path.open("wb", buffering=0)) for path in self._paths]
        self._kind, self._key = kind, key

    def put(self, entries: NDArray[np.void]) -> None:
        """Add entries in any order."""
        first = entries[self._key][:, 0]
        entries = entries[np.argsort(first, kind="stable")]
        ends = np.cumsum(np.bincount(first, minlength=_BUCKETS))
        for file, begin, end in zip(self._files, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            if end > begin:
                file.write(entries[begin:end].tobytes())

    def sorted(self) -> Iterator[NDArray[np.void]]:
        """All of them, sorted, in parts; what was read is gone from the disk."""
        for path in self._paths:
            entries = np.fromfile(path, self._kind)
            path.unlink()
            yield entries[sort_order(entries[self._key])]


def _each_once(parts: Iterable[NDArray[np.void]]) -> Iterator[NDArray[np.void]]:
    """Sorted map entries as they are; equal record numbers mean equal ids."""
    for entries in parts:
        numbers = np.ascontiguousarray(entries["record_number"]).view("S16").reshape(-1)
        if (numbers[1:] == numbers[:-1]).any():
            raise EncodeInputError("an id occurs twice", hint="one row per patient and site")
        yield entries
