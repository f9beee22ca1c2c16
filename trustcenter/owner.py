"""Files that root writes for the service: root may run any command, and the service reads what it left."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def give(made: Path | int, like: Path) -> None:
    """Where root runs this, give a file to whom another file or a directory belongs.

    Links are not followed: who owns the directory could lead root to a file of the system, and get it.

    Args:
        made: the file or directory, or its descriptor.
        like: the file in whose place it comes, or the directory that it lies in.

    Raises:
        OSError: one of the two is not there.
    """
    if sys.platform != "win32" and os.geteuid() == 0:
        owner = like.stat()
        if isinstance(made, int):
            os.fchown(made, owner.st_uid, owner.st_gid)
        else:
            os.lchown(made, owner.st_uid, owner.st_gid)
