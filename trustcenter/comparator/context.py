"""What every part of the comparator works with, put together once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keys.store import KeyStore
from trustcenter.audit import AuditLog, Event
from trustcenter.auth import Directory
from trustcenter.config import Limits
from trustcenter.store import Connection, Database


@dataclass
class Context:
    """One opened comparator: store, its own key store, its own log, and limits."""

    db: Database
    keys: KeyStore
    log: AuditLog
    limits: Limits
    directory: Directory | None = None  # of its clients, where the registrar is not in this process

    def audit(self, conn: Connection, event: Event, who: str, window: int, **fields: Any) -> int:
        """Append the entry of an effect. It carries the window instead of the clock, and no request identifier."""
        return self.log.append(conn, event, {"who": who, "window": window, **fields})

    def audit_access(self, conn: Connection, event: Event, who: str, _request: str, **fields: Any) -> int:
        """Append the entry of what was done about clients; it belongs to no window."""
        return self.audit(conn, event, who, 0, **fields)
