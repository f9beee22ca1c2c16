"""Sites, staff and access tokens.

A token is 32 random bytes behind the marker `tc1_`; the store keeps its SHA-256 only. A plain hash is enough
here, unlike for passwords, because nobody can enumerate 256 random bits; it also makes the look-up an index
probe on a value the caller cannot steer, so timing tells nothing.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from trustcenter.clock import Clock, stamp, utc_now
from trustcenter.errors import ConflictError, NotFoundError, UnauthorizedError
from trustcenter.store import Migration

_MARK = "tc1_"
_TOKEN_CHARS = len(_MARK) + 43

MIGRATIONS = (
    Migration(
        number=100,
        name="sites, staff and tokens",
        sql="""
        CREATE TABLE site (
            name TEXT PRIMARY KEY, kind TEXT NOT NULL, title TEXT NOT NULL, created TEXT NOT NULL
        ) STRICT;
        CREATE TABLE staff (
            name TEXT PRIMARY KEY, role TEXT NOT NULL, public_key TEXT UNIQUE, created TEXT NOT NULL
        ) STRICT;
        CREATE TABLE token (
            id TEXT PRIMARY KEY,
            hash BLOB NOT NULL UNIQUE,
            site TEXT REFERENCES site(name),
            staff TEXT REFERENCES staff(name),
            created TEXT NOT NULL,
            expires TEXT NOT NULL,
            revoked TEXT,
            CHECK ((site IS NULL) <> (staff IS NULL))
        ) STRICT;
        """,
    ),
)


@dataclass(frozen=True)
class Principal:
    """An authenticated caller: a site, or a member of staff with a role."""

    name: str
    role: str  # "site", or a staff role
    token_id: str

    @property
    def is_site(self) -> bool:
        """Whether the caller is a participating site."""
        return self.role == "site"


@dataclass(frozen=True)
class IssuedToken:
    """A fresh token, to be shown once."""

    token_id: str
    token: str
    expires: str

    def __repr__(self) -> str:
        return f"IssuedToken(token_id={self.token_id!r})"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class Directory:
    """Queries over sites, staff and tokens. Every method takes the connection of the caller's transaction."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock

    def add_site(self, conn: sqlite3.Connection, name: str, kind: str, title: str) -> str:
        """Admit a site; returns the time of creation.

        Raises:
            ConflictError: a site of this name exists.
        """
        created = stamp(self._clock())
        try:
            conn.execute("INSERT INTO site VALUES (?,?,?,?)", (name, kind, title, created))
        except sqlite3.IntegrityError:
            raise ConflictError("a site of this name exists already", hint="trustcenter site list") from None
        return created

    def sites(self, conn: sqlite3.Connection) -> list[tuple[str, str, str, str]]:
        """(name, kind, title, created) of every site, by name."""
        return conn.execute("SELECT name, kind, title, created FROM site ORDER BY name").fetchall()

    def require_sites(self, conn: sqlite3.Connection, names: list[str]) -> None:
        """Check that all sites exist.

        Raises:
            NotFoundError: at least one does not; `where` is its position in the list.
        """
        known = {row[0] for row in conn.execute("SELECT name FROM site")}
        for position, name in enumerate(names):
            if name not in known:
                raise NotFoundError(
                    "there is no site of this name",
                    hint="trustcenter site list shows the names",
                    where=f"site {position + 1}",
                )

    def add_staff(self, conn: sqlite3.Connection, name: str, role: str, public_key: str | None) -> str:
        """Add a member of staff; returns the time of creation.

        Raises:
            ConflictError: the name or the personal key is taken.
        """
        created = stamp(self._clock())
        try:
            conn.execute("INSERT INTO staff VALUES (?,?,?,?)", (name, role, public_key, created))
        except sqlite3.IntegrityError:
            raise ConflictError(
                "this name or this personal key belongs to a member of staff already",
                hint="every person has a key of their own: trustcenter staff keygen",
            ) from None
        return created

    def staff(self, conn: sqlite3.Connection) -> list[tuple[str, str, str | None, str]]:
        """(name, role, public key, created) of all staff, by name."""
        return conn.execute("SELECT name, role, public_key, created FROM staff ORDER BY name").fetchall()

    def public_key(self, conn: sqlite3.Connection, name: str) -> str:
        """The personal key of a member of staff.

        Raises:
            NotFoundError: no such person, or no key on file.
        """
        row = conn.execute("SELECT public_key FROM staff WHERE name = ?", (name,)).fetchone()
        if row is None or row[0] is None:
            raise NotFoundError("no personal key is on file for this person", hint="trustcenter staff add --public-key")
        return str(row[0])

    def issue_token(
        self, conn: sqlite3.Connection, *, site: str | None = None, staff: str | None = None, days: int = 365
    ) -> IssuedToken:
        """Make a token for a site or a member of staff, valid for `days` days.

        Raises:
            NotFoundError: no such site or person.
        """
        table, name = ("site", site) if site is not None else ("staff", staff)
        found = conn.execute(f"SELECT 1 FROM {table} WHERE name = ?", (name,)).fetchone()  # noqa: S608 - two constants
        if found is None:
            raise NotFoundError("there is nobody of this name", hint=f"trustcenter {table} list shows the names")
        token = _MARK + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        token_id = secrets.token_hex(16)
        now = self._clock()
        expires = stamp(now + timedelta(days=days))
        conn.execute(
            "INSERT INTO token VALUES (?,?,?,?,?,?,NULL)",
            (token_id, _digest(token), site, staff, stamp(now), expires),
        )
        return IssuedToken(token_id, token, expires)

    def tokens(self, conn: sqlite3.Connection, site: str) -> list[tuple[str, str, str, str | None]]:
        """(id, created, expires, revoked) of a site's tokens, oldest first."""
        return conn.execute(
            "SELECT id, created, expires, revoked FROM token WHERE site = ? ORDER BY created, id", (site,)
        ).fetchall()

    def revoke_token(self, conn: sqlite3.Connection, site: str, token_id: str) -> None:
        """Make a token useless at once. Revoking twice is harmless.

        Raises:
            NotFoundError: the site has no such token.
        """
        row = conn.execute("SELECT revoked FROM token WHERE site = ? AND id = ?", (site, token_id)).fetchone()
        if row is None:
            raise NotFoundError("this site has no such token", hint="trustcenter site token list shows them")
        if row[0] is None:
            conn.execute("UPDATE token SET revoked = ? WHERE id = ?", (stamp(self._clock()), token_id))

    def authenticate(self, conn: sqlite3.Connection, token: str) -> Principal:
        """The caller behind a token.

        Raises:
            UnauthorizedError: unknown, expired or revoked; the answer does not say which.
        """
        now: datetime = self._clock()
        row = None
        if len(token) == _TOKEN_CHARS and token.startswith(_MARK) and token.isascii():
            row = conn.execute(
                "SELECT t.id, t.site, t.staff, s.role FROM token t LEFT JOIN staff s ON s.name = t.staff"
                " WHERE t.hash = ? AND t.revoked IS NULL AND t.expires > ?",
                (_digest(token), stamp(now)),
            ).fetchone()
        if row is None:
            raise UnauthorizedError(
                "a valid access token is needed",
                hint="send it as: Authorization: Bearer tc1_...; an operator makes one with: trustcenter site token",
            )
        token_id, site, staff, role = row
        return Principal(site, "site", token_id) if site is not None else Principal(staff, role, token_id)
