"""The service without its log, for one figure of the benchmark: python tests/bench/unlogged.py serve DIR."""

from __future__ import annotations

from trustcenter.audit import AuditLog
from trustcenter.cli import main

if __name__ == "__main__":
    AuditLog.append_many = lambda self, conn, items: 0  # type: ignore[method-assign]
    main()
