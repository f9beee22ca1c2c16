"""The tamper-evident log of a room: an RFC 6962 tree in the room's own database, verifiable offline."""

from .chain import KeyChain
from .events import Event, Outcome
from .extract import Selection
from .log import MIGRATIONS, AuditLog
from .note import Checkpoint, Key, check_fingerprint, fingerprint, open_checkpoint, parse_vkey
from .tree import merkle_root, verify_consistency, verify_inclusion
from .verify import Report, verify_bundle

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
    "check_fingerprint",
    "fingerprint",
    "merkle_root",
    "open_checkpoint",
    "parse_vkey",
    "verify_bundle",
    "verify_consistency",
    "verify_inclusion",
]
