"""The card of a room that is apart: what the other one keeps of it."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

from .common import Hex16, Message


class RoomCard(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What one room shows the other once, by hand: who it is, its certificate and its keys. Nothing of it is secret.

    A comparator without a url is reached by nobody: files are carried to it by hand.
    """

    version: Literal[1]
    room: Literal["registrar", "comparator"]
    instance: Hex16
    separation: Literal["process", "operator"]
    # Of the comparator; the registrar is never called. Never http, on one machine either: nobody shows a certificate,
    # and whoever listens would be the comparator.
    url: Annotated[str, msgspec.Meta(max_length=300, pattern=r"^(https://[^\s@?#]+)?$")]
    certificate: Annotated[str, msgspec.Meta(max_length=16384)]  # PEM, pinned
    receipt_key: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]  # Ed25519, of the comparator's receipts
    log_key: str  # fingerprint of the room's log
    keys: Annotated[str, msgspec.Meta(max_length=4096)] = ""  # "tc-card-1:…": to seal files to, and to verify them with

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the card, to be compared by voice."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()
