"""Key states: kept in the registrar's store, bound to the key store by a MAC.

Material and state cannot share a transaction, so material always comes first: it is generated, sealed, read back
and proven while its version is pre-active; only then does one transaction change states. A state row that was
edited by hand, or a key store older than the database, is refused at start.
"""

from __future__ import annotations

from dataclasses import dataclass

from keys.errors import KeysError
from keys.ids import KeyId, Purpose
from keys.states import KeyAction, KeyState, transition
from keys.store import KeyStore
from trustcenter.clock import Clock, stamp
from trustcenter.errors import ConflictError, VerificationError
from trustcenter.store import Connection, IntegrityError

INSTANCE = "instance"
DOMAIN_PURPOSES = (Purpose.PSEUDONYM, Purpose.LOOKUP, Purpose.DATA)
MAX_VERSION = 255


def domain_scope(uuid: str) -> str:
    """Key scope of a domain."""
    return f"domain:{uuid}"


@dataclass(frozen=True)
class Version:
    """One key version and its state."""

    scope: str
    purpose: Purpose
    version: int
    state: KeyState
    since: str
    high_water: int | None

    def key_id(self) -> KeyId:
        """The name under which the key store holds the material."""
        return KeyId(self.scope, self.purpose, self.version)


class KeyRing:
    """Reads and changes key states inside the caller's transaction."""

    def __init__(self, keys: KeyStore, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._least = 1  # version of the state key

    def expect(self, conn: Connection, least: int) -> int:
        """Refuse older versions of the state key than this, and than the one that vouches now, from now on.

        A database alone cannot say which version vouches: whoever had an old one would let it vouch again.

        Args:
            conn: of the registrar.
            least: the version that is known outside the database to have vouched.

        Returns:
            The version that vouches now.

        Raises:
            VerificationError: an older one vouches.
        """
        found = self.vouching(conn)
        if found < max(least, self._least):
            raise _forged()
        self._least = max(least, found)
        return found

    def macs(self, message: bytes) -> list[bytes]:
        """The MAC of a message under each version of the state key that is there, newest first.

        What is new gets the first of them; what was marked before is recognised by any. Key states are not among it:
        only the version in use vouches for these.
        """
        number, found = 1, []
        while self._keys.known(KeyId(INSTANCE, Purpose.STATE, number)):
            if self._keys.has(KeyId(INSTANCE, Purpose.STATE, number)):
                found.append(self._keys.mac(INSTANCE, Purpose.STATE, number, message))
            number += 1
        return found[::-1]

    @staticmethod
    def vouching(conn: Connection) -> int:
        """The version of the state key that vouches for the states."""
        row = conn.execute(
            "SELECT version FROM key_version WHERE scope = ? AND purpose = ? AND state = ?",
            (INSTANCE, Purpose.STATE.value, KeyState.ACTIVE.value),
        ).fetchone()
        return int(row[0]) if row else 1

    def _mac(self, conn: Connection, row: tuple[object, ...]) -> bytes:
        return self._keys.mac(INSTANCE, Purpose.STATE, self.vouching(conn), _message(row))

    def renew(self, conn: Connection, after: int) -> None:
        """Let another version of the state key, whose material is there, vouch for every state from now on.

        Raises:
            VerificationError: a state row was edited outside the service.
        """
        known, before, now = self.versions(conn), self.vouching(conn), stamp(self._clock())
        rows: list[tuple[object, ...]] = [
            (v.scope, v.purpose.value, v.version, v.state.value, v.since, v.high_water)
            for v in known
            if v.key_id() != KeyId(INSTANCE, Purpose.STATE, before)
        ]
        state = transition(KeyState.ACTIVE, KeyAction.DEACTIVATE)
        rows.insert(0, (INSTANCE, Purpose.STATE.value, before, state.value, now, None))  # never two are active
        rows.append((INSTANCE, Purpose.STATE.value, after, KeyState.ACTIVE.value, now, None))
        conn.executemany(
            "INSERT INTO key_version (scope, purpose, version, state, since, high_water, mac) VALUES (?,?,?,?,?,?,?)"
            " ON CONFLICT (scope, purpose, version) DO UPDATE SET state = excluded.state, since = excluded.since,"
            " mac = excluded.mac",
            [(*row, self._keys.mac(INSTANCE, Purpose.STATE, after, _message(row))) for row in rows],
        )

    def add(self, conn: Connection, key: KeyId, state: KeyState) -> None:
        """Record a version that does not exist yet.

        Raises:
            ConflictError: it exists, or another version of the key is active.
        """
        row = (key.scope, key.purpose.value, key.version, state.value, stamp(self._clock()), None)
        try:
            conn.execute("INSERT INTO key_version VALUES (?,?,?,?,?,?,?)", (*row, self._mac(conn, row)))
        except IntegrityError:
            raise ConflictError(
                "this key version exists already, or another version is active",
                code="key_conflict",
                hint="trustcenter keys list shows the versions and their states",
            ) from None

    def add_waiting(self, conn: Connection, key: KeyId) -> None:
        """Record a version of the instance's own keys, pre-active; one that waits already stays as it is."""
        if all(known.key_id() != key for known in self.versions(conn, key.scope, key.purpose)):
            self.add(conn, key, KeyState.PRE_ACTIVE)

    def act(self, conn: Connection, version: Version, action: KeyAction, high_water: int | None = None) -> Version:
        """Move a version along the state machine.

        Raises:
            IllegalTransitionError: the state machine does not allow it.
        """
        state = transition(version.state, action)
        mark = high_water if high_water is not None else version.high_water
        if action is KeyAction.ROLL_BACK:
            mark = None  # it issues again
        row = (version.scope, version.purpose.value, version.version, state.value, stamp(self._clock()), mark)
        conn.execute(
            "UPDATE key_version SET state = ?, since = ?, high_water = ?, mac = ?"
            " WHERE scope = ? AND purpose = ? AND version = ?",
            (row[3], row[4], row[5], self._mac(conn, row), row[0], row[1], row[2]),
        )
        return Version(version.scope, version.purpose, version.version, state, str(row[4]), mark)

    def versions(self, conn: Connection, scope: str | None = None, purpose: Purpose | None = None) -> list[Version]:
        """All versions, or those of one scope and purpose, oldest first; every row's MAC is verified.

        Raises:
            VerificationError: a state row was edited outside the service.
        """
        where, values = [], []
        if scope is not None:
            where.append("scope = ?")
            values.append(scope)
        if purpose is not None:
            where.append("purpose = ?")
            values.append(purpose.value)
        clause = f" WHERE {' AND '.join(where)}" if where else ""
        vouching, found = self.vouching(conn), []
        if vouching < self._least:
            raise _forged()
        for *row, mac in conn.execute(
            "SELECT scope, purpose, version, state, since, high_water, mac FROM key_version"  # noqa: S608
            f"{clause} ORDER BY scope, purpose, version",
            values,
        ):
            self._check_mac(tuple(row), mac, vouching)
            found.append(Version(row[0], Purpose(row[1]), row[2], KeyState(row[3]), row[4], row[5]))
        return found

    def active(self, conn: Connection, scope: str, purpose: Purpose) -> Version:
        """The active version of a key.

        Raises:
            ConflictError: none is active (suspended, compromised or destroyed).
        """
        for version in self.versions(conn, scope, purpose):
            if version.state is KeyState.ACTIVE:
                return version
        raise ConflictError(
            "no active key: this domain cannot issue",
            code="no_active_key",
            hint="an operator finds the reason with: trustcenter keys list",
        )

    def _check_mac(self, row: tuple[object, ...], mac: bytes, vouching: int) -> None:
        try:
            self._keys.verify_mac(INSTANCE, Purpose.STATE, vouching, _message(row), mac)
        except KeysError:
            raise _forged() from None

    def check_material(self, conn: Connection) -> None:
        """Every version that is not destroyed must be in the key store, and the key store must not be older.

        Raises:
            VerificationError: an older or foreign key store lies beside this database.
        """
        store, generation = conn.execute("SELECT keystore, keystore_generation FROM instance").fetchone()
        self._keys.refresh()
        # Destroyed ones count as there: the key store is newer then, and `closing` makes the database follow.
        there = {entry.id for entry in self._keys.entries()}
        missing = [
            version
            for version in self.versions(conn)
            if version.state not in (KeyState.DESTROYED, KeyState.PRE_ACTIVE) and version.key_id() not in there
        ]
        if store != self._keys.store_id or generation > self._keys.generation or missing:
            raise VerificationError(
                "the key store is older than the database or belongs to another instance",
                code="stale_key_store",
                hint="restore the newest key store of this instance; the database was not touched",
            )

    def note_generation(self, conn: Connection) -> None:
        """Remember how new the key store was, in the transaction that relies on it."""
        now = self._keys.generation
        conn.execute("UPDATE instance SET keystore_generation = ? WHERE keystore_generation < ?", (now, now))


def _message(row: tuple[object, ...]) -> bytes:
    """What the MAC of a state is over."""
    return "\n".join("" if part is None else str(part) for part in row).encode()


def _forged() -> VerificationError:
    return VerificationError(
        "a key state in the database was changed outside the service",
        code="key_state_forged",
        hint="restore the database, or compare keys list with the audit log",
    )
