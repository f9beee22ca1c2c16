"""A log that another process has handed over: no head is signed until the new key is here, and then at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trustcenter.audit import AuditLog
from trustcenter.audit.signing import Sign
from trustcenter.clock import Clock
from trustcenter.errors import UnavailableError

NEXT = Ed25519PrivateKey.from_private_bytes(bytes(32))
AFTER = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)


def test_a_key_that_comes_late_is_waited_for(
    make_log: Callable[..., AuditLog], connection: sqlite3.Connection, clock: Clock, signer: Ed25519PrivateKey
) -> None:
    first = make_log()
    here: dict[bytes, Sign] = {}
    public = signer.public_key().public_bytes_raw()
    second = AuditLog(first.origin, signer.sign, public, find=here.get, clock=clock, separation="process")
    new = NEXT.public_key().public_bytes_raw()
    first.hand_over(connection, new, NEXT.sign, {"who": "otto"})
    first.use(new, NEXT.sign)
    head = second.head(connection)
    for attempt in (
        lambda: second.checkpoint(connection),
        lambda: second.signer(connection),
        lambda: second.hand_over(connection, AFTER.public_key().public_bytes_raw(), AFTER.sign, {"who": "otto"}),
    ):
        with pytest.raises(UnavailableError) as caught:
            attempt()
        assert caught.value.code == "log_key_missing"
    assert second.head(connection) == head
    here[new] = NEXT.sign
    assert second.checkpoint(connection) == first.checkpoint(connection)
    assert second.vkey == first.vkey
