"""The tamper-evident log of a room: an RFC 6962 tree in the room's own database, verifiable offline."""

from .chain import KeyChain
from .events import Event, Outcome
from .extract import Selection
from .known import Witnesses
from .log import AuditLog
from .note import Checkpoint, Key, check_fingerprint, fingerprint, open_checkpoint, parse_vkey
from .report import Report
from .schema import MIGRATIONS
from .tree import merkle_root, verify_consistency, verify_inclusion
from .verify import verify_bundle

__all__ = [
    "MIGRATIONS",
    "AuditLog",
    "Checkpoint",
    "Event",
    "Key",
    "KeyChain",
    "Outcome",
    "Report",
    "Selection",
    "Witnesses",
    "check_fingerprint",
    "fingerprint",
    "merkle_root",
    "open_checkpoint",
    "parse_vkey",
    "verify_bundle",
    "verify_consistency",
    "verify_inclusion",
]
