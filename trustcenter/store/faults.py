"""What SQLite's result codes mean to us."""

from __future__ import annotations

import sqlite3
from typing import Final

from trustcenter.errors import StoreDamagedError, StoreUnavailableError, TrustCenterError

# Primary result codes (sqlite.org/rescode.html).
_BUSY, _LOCKED, _NOMEM, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 5, 6, 7, 8, 10, 11, 13, 14, 26
_UNAVAILABLE: Final = {_BUSY, _LOCKED, _NOMEM, _READONLY, _IOERR, _FULL, _CANTOPEN}
_DAMAGED: Final = {_CORRUPT, _NOTADB}
# SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC. After a failed fsync the kernel may call pages clean that never
# reached the disk, so a later success proves nothing: stop writing until the file is opened again.
_FSYNC_FAILED: Final = {10 | 4 << 8, 10 | 5 << 8}


def translate(error: BaseException) -> BaseException:
    """`error`, or the error of ours that a SQLite failure amounts to. Constraint failures pass unchanged."""
    primary = result_code(error) & 0xFF
    translated: TrustCenterError
    if primary in _UNAVAILABLE:
        translated = StoreUnavailableError(
            "the database cannot take the operation now",
            hint="check free space and the health of the disk, then try again",
        )
    elif primary in _DAMAGED:
        translated = StoreDamagedError(
            "SQLite reports that the database file is damaged",
            hint="stop the service, keep the file, restore the newest backup",
        )
    else:
        return error
    translated.__cause__ = error
    return translated


def result_code(error: BaseException) -> int:
    """SQLite's extended result code, or 0."""
    code = getattr(error, "sqlite_errorcode", 0) if isinstance(error, sqlite3.Error) else 0
    return code if isinstance(code, int) else 0


def is_fsync_failure(error: BaseException) -> bool:
    """Whether nothing may be written any more through this connection."""
    return result_code(error) in _FSYNC_FAILED
