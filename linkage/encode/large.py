"""A source of any size as files: read once, and never in memory as a whole.

A row lives only if its block holds no more rows of the source than the cap, so all records must have been seen before
the first row can be made. While they are read, of every block value a number of 64 bits is kept in a file of the
spool, and the normalised records themselves go there sealed (`linkage.encode.spool`). Then the rows are made, and go
to the spool by the first bits of their refs, to be sorted there. So the spool holds such numbers, ciphertext, rows and
map entries: never a value of a person. In memory is a chunk, and one byte per record and pass.
"""

from __future__ import annotations

import os
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
from linkage.encode.spool import Piece, Spool
from linkage.errors import EncodeInputError
from linkage.maps import map_dtype, pack_map, write_map_parts
from linkage.rows import ROW, sort_order, write_row_parts
from linkage.schema import Schema

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]
Progress = Callable[[int, int], None]

_BUCKETS = 256  # of the spool, by the first byte
_MOST_PARTS = 8  # of a block value
_WRITING = 8  # writing the rows of so many records takes as long as making those of one


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
    pieces: Iterable[tuple[Sequence[str], Columns]],
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
        pieces: (ids, normalised columns) of some records each; gone through once.
        secrets: study secret and site key.
        rows_file: where to; the spool is made beside it.
        map_file: where to, on the same file system.
        header: study, version, source, fingerprint, passes.
        each: called with the ids and the record numbers of every piece.
        progress: called with (steps done, steps) from when all records have been read; may raise to cancel. A step is
            a record made into rows, and at the end an eighth as many for sorting and writing them.

    Raises:
        EncodeInputError: not as many ids as records, or an id occurs twice.
    """
    with tempfile.TemporaryDirectory(dir=rows_file.parent, prefix=".encode-") as name:
        place = Path(name)
        spool = Spool(place / "records")
        n = _number_blocks(schema, spool.write(_pieces(schema, pieces)), place)
        live, missing, capped = _live(schema, place, n)
        few = done = 0
        steps = n + n // _WRITING
        keyed = Keyed(schema, secrets)
        with ExitStack() as stack:
            to_rows = _Spread(stack, place, "rows", ROW, "ref")
            to_map = _Spread(stack, place, "map", map_dtype(schema.P), "record_number")
            for piece in spool.read():
                values = values_of(schema, piece.components, piece.n, piece.further)
                part = [lives[done : done + piece.n] for lives in live]
                plan = Plan(
                    tuple(Rows(*value, lives) for value, lives in zip(values, part, strict=True)), missing, capped
                )
                numbers = record_numbers(secrets, secrets.study, piece.ids)
                rows = Work(schema, keyed, piece, plan, numbers).rows()
                to_map.put(pack_map(numbers, refs_of(rows)))
                to_rows.put(rows.reshape(-1))
                few += int((plan.live.sum(axis=0) < 3).sum())
                if each is not None:
                    each(piece.ids, numbers)
                done += piece.n
                if progress is not None:
                    progress(done, steps)
        spool.remove()

        def sorted_rows() -> Iterator[NDArray[np.void]]:
            for number, part in enumerate(to_rows.sorted(), 1):
                yield part
                if progress is not None:
                    progress(n + (steps - n) * number // _BUCKETS, steps)

        # Both are whole before either takes its name: rows do not stand beside the map of an earlier encoding.
        write_row_parts(place / "rows", sorted_rows(), n * schema.P, header)
        write_map_parts(place / "map", _each_once(to_map.sorted()), n, header)
        (place / "rows").replace(rows_file)
        (place / "map").replace(map_file)
    return Sizes(n, few, missing, capped)


def _pieces(schema: Schema, pieces: Iterable[tuple[Sequence[str], Columns]]) -> Iterator[Piece]:
    """What an encoding needs of each."""
    fields = [f.name for f in schema.fields]
    for ids, columns in pieces:
        if len(ids) != columns.n:
            raise EncodeInputError("there are not as many ids as records")
        values = {name: columns.values[name] for name in fields}
        yield Piece(ids, values, dict(columns.components), columns.further)


def _text_hash() -> Callable[[str], int]:
    """Python's hash of texts, under a key that nobody knows; 0 for "".

    The key is the process's own, unless PYTHONHASHSEED fixes it, as some machines do for all they run.
    """
    if os.environ.get("PYTHONHASHSEED", "random") in ("", "random"):
        return hash
    key = os.urandom(16).hex()
    return lambda text: hash(key + text) if text else 0


def _number_blocks(schema: Schema, pieces: Iterable[Piece], spool: Path) -> int:
    """A number for every block value, 0 where there is none, into one file per value of a pass → records."""
    n = 0
    # Two block values get one number once in 2**63, whatever they are: nobody knows the key and the factors.
    number_of = _text_hash()
    factors = np.frombuffer(os.urandom(8 * _MOST_PARTS), np.uint64) | np.uint64(1)
    with ExitStack() as stack:
        files = [stack.enter_context((spool / f"blocks-{k:03}").open("wb")) for k in range(schema.P)]
        for piece in pieces:
            n += piece.n
            known: dict[int, U64] = {}  # passes share most of their parts
            for file, (_, _, parts, _) in zip(
                files, values_of(schema, piece.components, piece.n, piece.further), strict=True
            ):
                numbers, present = np.zeros(piece.n, np.uint64), np.ones(piece.n, np.bool_)
                for part, factor in zip(parts, factors, strict=False):
                    if id(part) not in known:
                        known[id(part)] = np.fromiter(map(number_of, part), np.int64, piece.n).view(np.uint64)
                    numbers += known[id(part)] * factor
                    present &= known[id(part)] != 0
                file.write(np.where(present, numbers | np.uint64(1), np.uint64(0)).tobytes())
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
