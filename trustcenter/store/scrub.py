"""Clearing what SQLite's secure_delete leaves behind: copies of rows that moved when a page was split.

With secure_delete SQLite overwrites what it deletes. But when it balances a tree it may rebuild a page with fewer
cells and leave the bytes of those that moved in the unused part in the middle. The moved row can be deleted later
and its copy stays. So the unused part of every page is cleared here, in place, while nobody has the file open.
Only bytes that SQLite never reads are changed, so a crash in the middle can harm nothing.

File format: https://www.sqlite.org/fileformat2.html, sections 1.3 and 1.6.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = 100  # bytes of the database header, in front of page 1
# Size of a page's header by its type: interior pages of indexes and tables, leaves of indexes and tables.
_PAGE_HEADER: Final = {0x02: 12, 0x05: 12, 0x0A: 8, 0x0D: 8}
# Below this number of pages a free or overflow page begins with a byte 0 or 1 and is never taken for one of those.
_MAX_PAGES: Final = 1 << 25
_PAGES_PER_READ: Final = 1024


def scrub(path: Path) -> int:
    """Clear the unused part of every page of a database that nobody has open; returns how many bytes were cleared.

    A file that is no database of the form that this program writes is left alone.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        header = os.pread(descriptor, _HEADER, 0)
        size = int.from_bytes(header[16:18], "big")
        size = 65536 if size == 1 else size
        auto_vacuum = any(header[52:56])  # then there are pointer map pages, which begin with any byte
        if len(header) < _HEADER or not header.startswith(_MAGIC) or size < 512 or auto_vacuum:
            return 0
        pages = os.fstat(descriptor).st_size // size
        if pages >= _MAX_PAGES:
            return 0
        cleared = 0
        for start in range(0, pages, _PAGES_PER_READ):
            part = os.pread(descriptor, size * min(_PAGES_PER_READ, pages - start), start * size)
            for at in range(0, len(part), size):
                low, high = _unused(part, at, _HEADER if start == at == 0 else 0, size)
                if high > low and any(part[at + low : at + high]):
                    cleared += os.pwrite(descriptor, bytes(high - low), start * size + at + low)
        if cleared:
            os.fsync(descriptor)
        return cleared
    finally:
        os.close(descriptor)


def _unused(part: bytes, at: int, skip: int, size: int) -> tuple[int, int]:
    """Where the unused middle of a page begins and ends, relative to the page; (0, 0) if it is no tree's page."""
    head = at + skip
    length = _PAGE_HEADER.get(part[head])
    if length is None:
        return 0, 0
    cells = int.from_bytes(part[head + 3 : head + 5], "big")
    content = int.from_bytes(part[head + 5 : head + 7], "big") or 65536
    low = skip + length + 2 * cells
    return (low, content) if low <= content <= size else (0, 0)
