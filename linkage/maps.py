"""Map files: which refs are one record (docs/spec/rows-file.md). What a registrar may see, and a comparator may not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linkage.errors import RowsFileDamagedError
from linkage.rows import Header, ascending, fill, head_of, opened, sort_order, write_file

U8 = NDArray[np.uint8]

_MAGIC = b"TCRMAP1\n"
_SLAB = 1 << 16  # entries read at a time: 17 MB


def map_dtype(passes: int) -> np.dtype[np.void]:
    """One entry of a map: record number, flags (bit 0: decoy), refs of the record in ascending order."""
    return np.dtype([("record_number", "u1", 16), ("flags", "u1"), ("refs", "u1", (passes, 16))])


def pack_map(record_numbers: U8, refs: U8) -> NDArray[np.void]:
    """Map entries sorted by record number, so that the order of a hospital's file does not show.

    Args:
        record_numbers: (n, 16) u1.
        refs: (n, P, 16) u1, sorted within each record.
    """
    entries = np.zeros(len(record_numbers), map_dtype(refs.shape[1]))
    order = sort_order(record_numbers)
    entries["record_number"] = record_numbers[order]
    entries["refs"] = refs[order]
    return entries


def write_map(path: Path, record_numbers: U8, refs: U8, header: dict[str, str | int]) -> Header:
    """Write a map file (0600, replaced in one step); arguments as `pack_map`, header as `write_rows`."""
    return write_file(path, _MAGIC, [pack_map(record_numbers, refs).tobytes()], len(record_numbers), header)


def write_map_parts(path: Path, parts: Iterable[NDArray[np.void]], n: int, header: dict[str, str | int]) -> Header:
    """As `write_map`, of n entries of `pack_map` in parts that follow each other in order; nobody looks whether."""
    return write_file(path, _MAGIC, (part.tobytes() for part in parts), n, header)


def read_map(path: Path) -> tuple[Header, NDArray[np.void]]:
    """Header and entries of a map file.

    Raises:
        RowsFileError: not a map file, or one of a newer format.
        RowsFileDamagedError: cut or changed, record numbers not ascending, or an unknown flag.
    """
    header = open_map(path)
    entries = np.empty(header.n, map_dtype(header.passes))
    at = 0
    for part in stream_map(path):
        entries[at : at + len(part)] = part
        at += len(part)
    return header, entries


def open_map(path: Path) -> Header:
    """Header of a map file; the length is checked, the body not yet. Errors as `read_map`."""
    with opened(path, "map") as file:
        return head_of(file, _MAGIC, "map", lambda h: map_dtype(h.passes).itemsize)[0]


def stream_map(path: Path, size: int = _SLAB, *, check: bool = True) -> Iterator[NDArray[np.void]]:
    """The entries of a map file in parts of at most `size`; every part lies in the same memory as the one before.

    Nothing that came may be relied on before the last part came: only then is the hash known. Errors as `read_map`.
    Without `check` only the header is looked at: for a file that was read with it before.
    """
    with opened(path, "map") as file:
        header, _ = head_of(file, _MAGIC, "map", lambda h: map_dtype(h.passes).itemsize)
        digest = hashlib.sha256()
        last = None
        buffer = np.empty(min(size, header.n), map_dtype(header.passes))
        for start in range(0, header.n, size):
            entries = buffer[: min(size, header.n - start)]
            fill(file, entries)
            if not check:
                yield entries
                continue
            digest.update(entries.view(np.uint8).data)
            numbers = entries["record_number"]
            if not ascending(numbers) or (last is not None and bytes(numbers[0]) <= last):
                raise RowsFileDamagedError("the record numbers are not sorted, or one occurs twice")
            if (entries["flags"] > 1).any():
                raise RowsFileDamagedError("an entry has a flag that this version does not know")
            last = bytes(numbers[-1])
            yield entries
        if check and digest.hexdigest() != header.sha256:
            raise RowsFileDamagedError("the file was cut or changed", hint="transfer or make it again")


def record_numbers_of(path: Path) -> U8:
    """(n, 16) u1: the record numbers of a map file, all of which is checked. Errors as `read_map`."""
    numbers = np.empty((open_map(path).n, 16), np.uint8)
    at = 0
    for part in stream_map(path):
        numbers[at : at + len(part)] = part["record_number"]
        at += len(part)
    return numbers


@dataclass(frozen=True)
class MapRefs:
    """The refs of a map file, read part by part where they are wanted: at ten million records they are 2.4 GB.

    The file is not checked again: `record_numbers_of`, which everybody needs too, has done it.

    Attributes:
        path: of the file.
        shape: (n, P, 16), as an array of them would have it.
    """

    path: Path
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, path: Path) -> MapRefs:
        """Errors as `read_map`."""
        header = open_map(path)
        return cls(path, (header.n, header.passes, 16))

    def parts(self) -> Iterator[U8]:
        """(k, P, 16) u1 each, in the order of the file."""
        for entries in stream_map(self.path, check=False):
            yield entries["refs"]
