"""Which key signs a log now, and how it hands over to the next; the table of handovers is in the log's database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from trustcenter.errors import UnavailableError
from trustcenter.store import Connection

from .chain import KeyChain, open_chain, sign_handover
from .note import Checkpoint, Key, parse_vkey

Sign: TypeAlias = Callable[[bytes], bytes]  # makes a 64-byte Ed25519 signature


class Signing:
    """The present key of one log. Other processes on the same store may hand over too: `follow` finds out."""

    def __init__(self, origin: str, sign: Sign, public_key: bytes, find: Callable[[bytes], Sign | None]) -> None:
        """Begin with a key; `find` gives what signs for another public key of this log, if its material is here."""
        self._origin = origin
        self.now = Key(origin, public_key), sign  # one object, as threads read it
        self._find = find

    def use(self, public_key: bytes, sign: Sign) -> None:
        """Sign with this key from now on."""
        self.now = Key(self._origin, public_key), sign

    def chain(self, conn: Connection) -> KeyChain:
        """The keys of this log under its present origin."""
        rows = conn.execute("SELECT vkey_before, note FROM audit_handover ORDER BY number").fetchall()
        found = [(parse_vkey(vkey), note) for vkey, note in rows]
        mine = [(key, note) for key, note in found if key.name == self._origin]  # a reopened log counts anew
        return open_chain(mine[0][0], [note for _, note in mine]) if mine else KeyChain(self.now[0])

    def follow(self, conn: Connection) -> KeyChain:
        """The keys of this log; signs with the last of them from now on, if its material is here."""
        chain = self.chain(conn)
        if chain.last != self.now[0]:
            sign = self._find(chain.last.public)
            if sign is not None:
                self.use(chain.last.public, sign)
        return chain

    def last(self, conn: Connection) -> tuple[KeyChain, Sign]:
        """The keys of this log and what signs with the last of them.

        Raises:
            UnavailableError: its material is not here, or not yet.
        """
        chain = self.follow(conn)
        key, sign = self.now
        if key != chain.last:
            raise UnavailableError(
                "the key store does not hold the key that signs the log now",
                code="log_key_missing",
                hint="another process has rotated it: this one needs that key store, too",
                where="key_store",
            )
        return chain, sign

    def hand_over(self, conn: Connection, point: Checkpoint, public_key: bytes, sign: Sign) -> tuple[Key, Key]:
        """Write down, in the caller's transaction, that another key signs after a head; returns the old and the new.

        Raises:
            VerificationError: one of the keys does not sign what its public half verifies, or had its turn.
            UnavailableError: see `last`.
        """
        new = Key(self._origin, public_key)
        chain, sign_old = self.last(conn)
        key = chain.last
        note = sign_handover(point, key, sign_old, new, sign)
        open_chain(chain.first, [*(handover.note for handover in chain.handovers), note])
        # Numbers go on over origins: a log that was reopened has the handovers of the one before it in its table.
        (number,) = conn.execute("SELECT coalesce(max(number), 0) + 1 FROM audit_handover").fetchone()
        conn.execute("INSERT INTO audit_handover VALUES (?,?,?)", (number, key.vkey, note))
        return key, new
