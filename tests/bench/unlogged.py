"""The service whose log can be switched off and on again, for one figure of the benchmark: SIGUSR1 does.

python tests/bench/unlogged.py serve DIR
"""

from __future__ import annotations

import signal
from typing import Any

from trustcenter.audit import AuditLog
from trustcenter.cli import main

_append = AuditLog.append_many


def nothing(log: Any, conn: Any, items: Any) -> int:
    """What the service does instead of appending."""
    return 0


def _switch(number: int, frame: Any) -> None:
    AuditLog.append_many = nothing if AuditLog.append_many is _append else _append  # type: ignore[method-assign]


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _switch)
    main()
