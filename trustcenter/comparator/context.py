"""What every part of the comparator works with, put together once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keys.store import KeyStore
from trustcenter.audit import AuditLog, Event
from trustcenter.config import Limits
from trustcenter.store import Connection, Database


@dataclass
class Context:
    """One opened comparator: store, its own key store, its own log, and limits."""

    db: Database
    keys: KeyStore
    log: AuditLog
    limits: Limits

    def audit(self, conn: Connection, event: Event, who: str, window: int, **fields: Any) -> int:
        """Append the entry of an effect. It carries the window instead of the clock, and no request identifier."""
        return self.log.append(conn, event, {"who": who, "window": window, **fields})
