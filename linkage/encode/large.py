"""A source of any size as files: read once, and never in memory as a whole.

A row lives only if its block holds no more rows of the source than the cap, so all records must have been seen before
the first row can be made. While they are read, of every block value a number of 64 bits is kept in a file of the
spool, and the normalised records themselves go there sealed (`linkage.encode.spool`). Then the rows are made piece by
piece, and kept on the disk (`linkage.encode.kept`) until all are there and can be sorted. So the disk holds such
numbers, ciphertext, rows and map entries: never a value of a person. In memory is a chunk, and one byte per record and
pass.

Numbers and ciphertext are worth nothing to another process: its keys are others. So who goes on with an encoding reads
the source again, which is a fifth of the work, and makes the rows that are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linkage.encode.blocks import Plan, Rows, values_of
from linkage.encode.encoder import Columns, Keyed, Work, refs_of
from linkage.encode.kept import BUCKETS, Kept, place_of, scratch
from linkage.encode.secrets import Secrets, record_numbers
from linkage.encode.spool import Piece, Spool
from linkage.errors import EncodeInputError
from linkage.maps import pack_map, write_map_parts
from linkage.rows import header_of, write_row_parts
from linkage.schema import Schema

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]
Progress = Callable[[int, int], None]

_MOST_PARTS = 8  # of a block value
_FEW = 3  # live rows: a record with fewer can hardly be linked
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
    work: Path | None = None,
    progress: Progress | None = None,
) -> Sizes:
    """Write the rows file and the map file of a source, the same bytes as those of `encode`.

    Args:
        schema: fields, passes, caps.
        pieces: (ids, normalised columns) of some records each; gone through once.
        secrets: study secret and site key.
        rows_file: where to; what is there only meanwhile lies beside it.
        map_file: where to, on the same file system.
        header: study, version, source, fingerprint, passes.
        each: called with the ids and the record numbers of every piece.
        work: directory in which finished pieces are kept, made if need be: whoever is stopped goes on there with the
            same pieces, and `forget` removes them. Without it nothing is kept.
        progress: called with (steps done, steps) from when all records have been read; may raise to cancel. A step is
            a record made into rows, and at the end an eighth as many for sorting and writing them.

    Raises:
        EncodeInputError: not as many ids as records, or an id occurs twice. RowsFileError: the header.
        EncodeWorkError, EncodeWorkBusyError: `work` is of another encoding, or in use.
    """
    head = header_of(header)
    with (
        scratch(rows_file.parent) as made,
        place_of(work, made) as place,
        scratch(place) as own,
    ):
        kept = Kept(place, head, secrets)
        spool = Spool(own / "records")
        n = _number_blocks(schema, spool.write(_pieces(schema, pieces), kept.see), own)
        live, missing, capped = _live(schema, own, n)
        kept.begin()
        steps = n + n // _WRITING
        keyed = Keyed(schema, secrets)
        done = 0
        for number, piece in enumerate(spool.read()):
            numbers = record_numbers(secrets, secrets.study, piece.ids)
            if each is not None:
                each(piece.ids, numbers)
            done += piece.n
            if not kept.has(number, piece.n):
                values = values_of(schema, piece.components, piece.n, piece.further)
                part = [lives[done - piece.n : done] for lives in live]
                plan = Plan(tuple(Rows(*v, lives) for v, lives in zip(values, part, strict=True)), missing, capped)
                rows = Work(schema, keyed, piece, plan, numbers).rows()
                kept.put(number, rows.reshape(-1), pack_map(numbers, refs_of(rows)))
            if progress is not None:
                progress(done, steps)
        spool.remove()

        def sorted_rows() -> Iterator[NDArray[np.void]]:
            for number, part in enumerate(kept.rows(), 1):
                yield part
                if progress is not None:
                    progress(n + (steps - n) * number // BUCKETS, steps)

        # Both are whole before either takes its name: rows do not stand beside the map of an earlier encoding.
        write_row_parts(made / "rows", sorted_rows(), n * schema.P, header)
        write_map_parts(made / "map", _each_once(kept.map()), n, header)
        (made / "rows").replace(rows_file)
        (made / "map").replace(map_file)
    alive = np.zeros(n, np.uint8)
    for lives in live:
        alive += lives
    return Sizes(n, int((alive < _FEW).sum()), missing, capped)


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


def _each_once(parts: Iterable[NDArray[np.void]]) -> Iterator[NDArray[np.void]]:
    """Sorted map entries as they are; equal record numbers mean equal ids."""
    for entries in parts:
        numbers = np.ascontiguousarray(entries["record_number"]).view("S16").reshape(-1)
        if (numbers[1:] == numbers[:-1]).any():
            raise EncodeInputError("an id occurs twice", hint="one row per patient and site")
        yield entries
