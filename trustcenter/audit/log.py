"""The log of one room, kept in that room's database: an entry and its effect commit together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from trustcenter.clock import Clock, utc_now
from trustcenter.errors import InternalError, LogForkedError
from trustcenter.store import Connection, insert_rows

from . import entries, extract, stored, tree
from .chain import KeyChain
from .events import Event
from .export import bundle
from .export import extract as extract_lines
from .extract import Selection
from .note import SEPARATION, Checkpoint, fingerprint, sign_note, valid_name
from .signing import Sign, Signing

_PLACES_MAX: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class AuditLog:
    """Appends, checkpoints, proofs and export. Holds no state: the database's head is the truth.

    Every method runs in the caller's transaction or snapshot.
    """

    def __init__(
        self,
        origin: str,
        sign: Callable[[bytes], bytes],
        public_key: bytes,
        *,
        find: Callable[[bytes], Callable[[bytes], bytes] | None] = lambda public: None,
        clock: Clock = utc_now,
        separation: str = "",
    ) -> None:
        """One log.

        Args:
            origin: identity of the log, trustcenter/<instance>/registrar or .../comparator. The comparator's
                log never asks the clock: its entries carry a window.
            sign: makes a 64-byte Ed25519 signature.
            public_key: the 32 bytes that verify it.
            find: what signs for another public key of this log, if its material is here: another process on the same
                store may have handed over to it.
            clock: wall clock, UTC.
            separation: none, process or operator, to stand in every head; "" for heads that do not say.
        """
        if not valid_name(origin):
            raise ValueError("the origin must not hold spaces or +")
        self.origin = origin
        self.room = entries.room_of(origin)
        self._signing = Signing(origin, sign, public_key, find)
        self._clock = clock
        self._extensions = (SEPARATION + separation,) if separation else ()
        self._second = (-1, "")
        self._places: dict[str, int] = {}

    def place_of(self, request: str) -> int | None:
        """Leaf index of the last entry of a request of this process, once; None if it has none, or not any more.

        Of a request that did not succeed it may name an entry that was taken back.
        """
        return self._places.pop(request, None)

    @property
    def vkey(self) -> str:
        """The public key in C2SP text form: what an auditor is given, or compares by fingerprint."""
        return self._signing.now[0].vkey

    def hand_over(
        self, conn: Connection, public_key: bytes, sign: Callable[[bytes], bytes], fields: Mapping[str, Any]
    ) -> int:
        """Let another key sign from the next entry on, in the caller's transaction; returns that entry's index.

        After the commit, and not before, the caller goes on with `use`.

        Args:
            conn: the writing connection, inside a transaction.
            public_key: of the next key, 32 bytes; never one that this log had before.
            sign: signs with it.
            fields: of the entry, such as "who"; purpose and fingerprints are added.

        Raises:
            VerificationError: one of the keys does not sign what its public half verifies, or had its turn.
        """
        size, blob, _ = stored.head(conn)
        point = Checkpoint(self.origin, size, stored.root(blob))
        key, new = self._signing.hand_over(conn, point, public_key, sign)
        told = {
            "purpose": "audit",
            "from_fingerprint": fingerprint(key.vkey),
            "to_fingerprint": fingerprint(new.vkey),
        }
        return self.append(conn, Event.KEY_ROTATE, {**fields, **told})

    def use(self, public_key: bytes, sign: Callable[[bytes], bytes]) -> None:
        """Sign with this key from now on: the one that was handed over to."""
        self._signing.use(public_key, sign)

    def chain(self, conn: Connection) -> KeyChain:
        """The keys of this log under its present origin."""
        return self._signing.chain(conn)

    def signer(self, conn: Connection) -> tuple[KeyChain, Sign]:
        """The keys of this log and what signs with the last of them, for letters (docs/spec/letter.md).

        Raises:
            UnavailableError: the key store lacks the last key.
        """
        return self._signing.last(conn)

    def append(self, conn: Connection, event: Event, fields: Mapping[str, Any]) -> int:
        """Append one entry in the caller's transaction; returns its leaf index. See `append_many`."""
        return self.append_many(conn, [(event, fields)])

    def append_many(self, conn: Connection, items: Iterable[tuple[Event, Mapping[str, Any]]]) -> int:
        """Append entries in the caller's transaction; returns the leaf index of the first.

        Args:
            conn: the writing connection, inside a transaction.
            items: event and fields each. Fields are "who", optionally "outcome", at the comparator "window";
                all others become the entry's data: strings, integers, lists and objects of these.

        Raises:
            ValueError: a field that may not stand in an entry; nothing was appended.
            sqlite3.Error: the log cannot be written; let it pass, so that the effect is undone as well.
        """
        if not conn.in_transaction:
            raise InternalError("an audit entry must share the transaction of its effect")
        size, blob, last = stored.head(conn)
        first, build, leaf_hash, room = size, entries.build, tree.leaf_hash, self.room
        rows: list[tuple[int, bytes, bytes]] = []
        if len(self._places) > _PLACES_MAX:  # of requests that nobody answered
            self._places.clear()
        stamp, skew = None, 0
        if room == "registrar":  # one moment for all: they commit together
            now = (self._clock() - _EPOCH) // _MICROSECOND
            skew = max(last - now, 0)
            last = max(now, last)
            stamp = self._stamp(last)
        for event, fields in items:
            leaf = build(room, size, event, fields, stamp, skew)
            rows.append((size, leaf_hash(leaf), leaf))
            if request := fields.get("request"):
                self._places[request] = size
            size += 1
        frontier = stored.split(blob)
        nodes = tree.grow_many(frontier, first, [row[1] for row in rows], stored.KEPT_LEVEL)
        if rows:
            insert_rows(conn, "audit_entry", rows)
        if nodes:
            conn.executemany("INSERT INTO audit_node VALUES (?,?,?)", nodes)
        conn.execute("UPDATE audit_head SET size = ?, frontier = ?, micros = ?", (size, b"".join(frontier), last))
        return first

    def head(self, conn: Connection) -> tuple[int, str]:
        """Number of entries and root (64 hex digits)."""
        size, blob, _ = stored.head(conn)
        return size, stored.root(blob).hex()

    def root_at(self, conn: Connection, size: int) -> str:
        """The root (64 hex digits) that the log had at an earlier size.

        Raises:
            LogForkedError: the log is shorter than that.
        """
        current, blob, _ = stored.head(conn)
        if size > current:
            raise LogForkedError(
                "the audit log is shorter than it was before",
                hint="an older copy of the database is in place: restore the newest one",
            )
        if size == current:
            return stored.root(blob).hex()
        return (stored.subtree(conn)(0, size) if size else tree.EMPTY_ROOT).hex()

    def checkpoint(self, conn: Connection) -> str:
        """The signed note of the current head."""
        size, blob, _ = stored.head(conn)
        chain, sign = self._signing.last(conn)
        note = sign_note(Checkpoint(self.origin, size, stored.root(blob), self._extensions).text, chain.last, sign)
        chain.open(note)  # never hand out what does not verify, such as after a mix-up of keys
        return note

    def check_extends(self, conn: Connection, checkpoint: str) -> None:
        """Check that the log extends a checkpoint that it signed before.

        Raises:
            LogForkedError: it is shorter, or has another root at that size.
            VerificationError: the checkpoint is not this log's.
        """
        old = self.chain(conn).open(checkpoint)
        if self.root_at(conn, old.size) != old.root.hex():
            raise LogForkedError(
                "the audit log differs from what was signed before",
                hint="keep both for the auditor; do not continue this log",
            )

    def inclusion_proof(self, conn: Connection, index: int, size: int | None = None) -> list[bytes]:
        """The proof that entry `index` is in the tree of `size` entries (default: all)."""
        return tree.inclusion_proof(index, self._within(conn, size), stored.subtree(conn))

    def consistency_proof(self, conn: Connection, old: int, new: int | None = None) -> list[bytes]:
        """The proof that the tree of `new` entries (default: all) extends that of `old`."""
        return tree.consistency_proof(old, self._within(conn, new), stored.subtree(conn))

    def export(self, conn: Connection) -> Iterator[bytes]:
        """The lines of a bundle (docs/spec/audit-bundle.md), from the snapshot of `conn`; memory stays flat."""
        size, _, _ = stored.head(conn)
        rows = conn.execute("SELECT hash, leaf FROM audit_entry WHERE seq < ? ORDER BY seq", (size,))
        return bundle(self.chain(conn), size, rows, self.checkpoint(conn))

    def extract(
        self,
        conn: Connection,
        selection: Selection,
        *,
        site_domains: Iterable[str] = (),
        study_domains: Iterable[str] = (),
        through: Sequence[int] = (),
    ) -> Iterator[bytes]:
        """The lines of a bundle that holds the chosen entries and proves them; memory stays flat.

        Args:
            conn: a snapshot.
            selection: which entries.
            site_domains: names of the domains of the selection's site.
            study_domains: names of the domains of the selection's study.
            through: sizes of earlier heads that the reader will compare.

        Raises:
            ValueError: a time is asked for at the comparator, whose entries have none.
        """
        size, _, _ = stored.head(conn)
        start, end = 0, size
        if selection.since or selection.until:
            if self.room != "registrar":
                raise ValueError("the comparator's entries have no time")
            start = stored.first_from(conn, self.room, selection.since, size) if selection.since else 0
            end = max(start, stored.first_from(conn, self.room, selection.until, size)) if selection.until else size
        rows = conn.execute("SELECT hash, leaf FROM audit_entry WHERE seq >= ? AND seq < ? ORDER BY seq", (start, end))
        wanted = extract.matcher(selection, site_domains, study_domains)
        chain = self.chain(conn)
        heads = [*through, *(handover.size for handover in chain.handovers)]
        lines = extract.pruned(start, end, size, rows, wanted, stored.subtree(conn), heads)
        checkpoint = self.checkpoint(conn)
        return extract_lines(chain, size, selection, lines, checkpoint, self._signing.now[1])

    def leaf_hash(self, conn: Connection, index: int) -> bytes:
        """The leaf hash of an entry, 32 bytes.

        Raises:
            ValueError: the log has no such entry.
        """
        return tree.leaf_hash(stored.leaf(conn, index))

    def first_from(self, conn: Connection, moment: str) -> int:
        """Index of the first entry whose time is not before `moment` (as in entries); registrar only."""
        return stored.first_from(conn, self.room, moment, stored.head(conn)[0])

    def _within(self, conn: Connection, size: int | None) -> int:
        current, _, _ = stored.head(conn)
        if size is None:
            return current
        if not 0 <= size <= current:
            raise ValueError("the log is not that large")
        return size

    def _stamp(self, micros: int) -> str:
        second, rest = divmod(micros, 1_000_000)
        if self._second[0] != second:
            moment = _EPOCH + timedelta(seconds=second)
            self._second = (second, moment.strftime("%Y-%m-%dT%H:%M:%S"))
        return f"{self._second[1]}.{rest:06d}Z"
