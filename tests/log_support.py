"""What a service's log may not hold."""

from __future__ import annotations

import re
from pathlib import Path

# What Python itself writes where the parent was killed while it started a worker: the worker finds its pipe ended.
_ORPHAN = re.compile(
    r"Traceback \(most recent call last\):\n"
    r'  File "<string>", line 1, in <module>\n'
    r'(?:  File "[^"\n]*/multiprocessing/[^\n]*\n(?:    [^\n]*\n)*)+'
    r"(?:EOFError: Ran out of input|_pickle\.UnpicklingError: pickle data was truncated)\n"
)


def failures(log: Path) -> str:
    """The log without what a kill alone explains; no traceback may be left."""
    return _ORPHAN.sub("", log.read_text(encoding="utf-8", errors="replace"))
