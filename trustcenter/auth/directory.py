"""Sites, staff and access tokens.

A token is 32 random bytes behind the marker `tc1_`; the store keeps its SHA-256 only. A plain hash is enough
here, unlike for passwords, because nobody can enumerate 256 random bits; it also makes the look-up an index
probe on a value the caller cannot steer, so timing tells nothing.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import replace
from datetime import timedelta

from trustcenter.clock import Clock, stamp, utc_now
from trustcenter.errors import ConflictError, NotFoundError, PolicyError, UnauthorizedError
from trustcenter.store import Connection, IntegrityError, Migration

from . import certificates, quotas, scopes
from .callers import IssuedToken, Owner, Principal
from .credentials import CredentialCache

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
    *quotas.MIGRATIONS,
    *certificates.MIGRATIONS,
    *scopes.MIGRATIONS,
)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class Directory:
    """Queries over sites, staff and tokens. Every method takes the connection of the caller's transaction.

    Whoever revokes or changes rights through it calls `cache.clear()` once that is committed.
    """

    def __init__(self, clock: Clock = utc_now, cache_seconds: float = 0.0) -> None:
        self._clock = clock
        self.cache = CredentialCache(cache_seconds)

    def add_site(self, conn: Connection, name: str, kind: str, title: str) -> str:
        """Admit a site; returns the time of creation.

        Raises:
            ConflictError: a site of this name exists.
        """
        created = stamp(self._clock())
        try:
            conn.execute("INSERT INTO site VALUES (?,?,?,?)", (name, kind, title, created))
        except IntegrityError:
            raise ConflictError("a site of this name exists already", hint="trustcenter site list") from None
        return created

    def sites(self, conn: Connection) -> list[tuple[str, str, str, str]]:
        """(name, kind, title, created) of every site, by name."""
        return conn.execute("SELECT name, kind, title, created FROM site ORDER BY name").fetchall()

    def require_sites(self, conn: Connection, names: list[str]) -> None:
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

    def add_staff(self, conn: Connection, name: str, role: str, public_key: str | None) -> str:
        """Add a member of staff; returns the time of creation.

        Raises:
            ConflictError: the name or the personal key is taken.
        """
        created = stamp(self._clock())
        try:
            conn.execute("INSERT INTO staff VALUES (?,?,?,?)", (name, role, public_key, created))
        except IntegrityError:
            raise ConflictError(
                "this name or this personal key belongs to a member of staff already",
                hint="every person has a key of their own: trustcenter staff keygen",
            ) from None
        return created

    def require_other(self, conn: Connection, caller: Principal, name: str, public_key: str | None) -> None:
        """Nobody grants to himself: a person to be added is not the caller, by name or by personal key.

        Raises:
            PolicyError: it is.
        """
        own = conn.execute("SELECT public_key FROM staff WHERE name = ?", (caller.name,)).fetchone()
        if caller.name == name or (public_key is not None and own is not None and own[0] == public_key):
            raise PolicyError(
                "nobody grants a role to himself",
                code="self_grant",
                hint="another operator adds this person; one person has one name and one role",
            )

    def staff(self, conn: Connection) -> list[tuple[str, str, str | None, str]]:
        """(name, role, public key, created) of all staff, by name."""
        return conn.execute("SELECT name, role, public_key, created FROM staff ORDER BY name").fetchall()

    def public_key(self, conn: Connection, name: str) -> str:
        """The personal key of a member of staff.

        Raises:
            NotFoundError: no such person, or no key on file.
        """
        row = conn.execute("SELECT public_key FROM staff WHERE name = ?", (name,)).fetchone()
        if row is None or row[0] is None:
            raise NotFoundError("no personal key is on file for this person", hint="trustcenter staff add --public-key")
        return str(row[0])

    def issue_token(
        self,
        conn: Connection,
        *,
        site: str | None = None,
        staff: str | None = None,
        days: int = 365,
        scope: scopes.Scope = scopes.ALL,
    ) -> IssuedToken:
        """Make a token for a site or a member of staff, valid for `days` days, for all that they may or a part.

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
            "INSERT INTO token (id, hash, site, staff, created, expires, scope) VALUES (?,?,?,?,?,?,?)",
            (token_id, _digest(token), site, staff, stamp(now), expires, scope.to_text()),
        )
        return IssuedToken(token_id, token, expires)

    def require(self, conn: Connection, owner: Owner) -> None:
        """Check that a site or person exists.

        Raises:
            NotFoundError: not.
        """
        query = f"SELECT 1 FROM {owner.kind} WHERE name = ?"  # noqa: S608 - one of two constants
        if conn.execute(query, (owner.name,)).fetchone() is None:
            raise NotFoundError("there is nobody of this name", hint=f"trustcenter {owner.kind} list shows the names")

    def tokens(self, conn: Connection, owner: Owner) -> list[tuple[str, str, str, str | None, scopes.Scope]]:
        """(id, created, expires, revoked, scope) of the tokens of a site or person, oldest first."""
        rows = conn.execute(
            "SELECT id, created, expires, revoked, scope FROM token"  # noqa: S608 - one of two constants
            f" WHERE {owner.kind} = ? ORDER BY created, id",
            (owner.name,),
        ).fetchall()
        return [(*row[:4], scopes.Scope.from_text(row[4])) for row in rows]

    def revoke_token(self, conn: Connection, owner: Owner, token_id: str) -> None:
        """Make a token useless at once. Revoking twice is harmless.

        Raises:
            NotFoundError: the site or person has no such token.
        """
        row = conn.execute(
            f"SELECT revoked FROM token WHERE {owner.kind} = ? AND id = ?",  # noqa: S608 - one of two constants
            (owner.name, token_id),
        ).fetchone()
        if row is None:
            raise NotFoundError("there is no such token here", hint=f"trustcenter {owner.kind} token NAME --list")
        if row[0] is None:
            conn.execute("UPDATE token SET revoked = ? WHERE id = ?", (stamp(self._clock()), token_id))

    def shut_out(self, conn: Connection, site: str) -> int:
        """Make every token and certificate of a site useless at once; returns how many. Twice is harmless."""
        now, count = stamp(self._clock()), 0
        for credential in ("token", "client_certificate"):
            query = f"UPDATE {credential} SET revoked = ? WHERE site = ? AND revoked IS NULL"  # noqa: S608 - constants
            count += conn.execute(query, (now, site)).rowcount
        return count

    def bind_certificate(self, conn: Connection, owner: Owner, pem: str) -> certificates.Bound:
        """Bind a certificate to a site or person.

        Raises:
            NotFoundError: nobody of this name. UsageError: no usable certificate. ConflictError: bound already.
        """
        self.require(conn, owner)
        now = self._clock()
        digest, expires = certificates.parse(pem, now)
        certificates.bind(conn, owner.kind, owner.name, digest, expires, stamp(now))
        return certificates.Bound(digest.hex(), stamp(now), expires, None)

    def revoke_certificate(self, conn: Connection, owner: Owner, fingerprint: str) -> None:
        """Make a certificate useless at once. Raises: NotFoundError."""
        certificates.revoke(conn, owner.kind, owner.name, bytes.fromhex(fingerprint), stamp(self._clock()))

    def authenticate(self, conn: Connection, token: str | None, certificate: bytes | None = None) -> Principal:
        """The caller behind a token, a certificate, or both.

        Args:
            conn: of a snapshot.
            token: as sent; None if none was.
            certificate: fingerprint of the certificate that the TLS handshake has verified; None if none was shown.

        Raises:
            UnauthorizedError: unknown, expired or revoked (the answer does not say which), or of two callers.
        """
        now = stamp(self._clock())
        if certificate is not None:
            found = certificates.owner(conn, certificate, now)
            if found is None:
                raise UnauthorizedError(
                    "this certificate belongs to nobody here",
                    code="unknown_certificate",
                    hint="an operator binds it with: trustcenter site certificate NAME FILE",
                )
            by_certificate = self._principal(conn, found[0], found[1], "", found[2])
            if token is None:
                return by_certificate
            by_token = self._by_token(conn, token, now)
            if (by_token.name, by_token.is_site) != (by_certificate.name, by_certificate.is_site):
                raise UnauthorizedError(
                    "token and certificate belong to different callers",
                    code="credentials_differ",
                    hint="send the token of the certificate's owner, or none",
                )
            return replace(by_token, valid_until=min(by_token.valid_until, by_certificate.valid_until))
        return self._by_token(conn, token or "", now)

    def is_valid(self, principal: Principal) -> bool:
        """Whether the credential of a remembered principal is still in its time."""
        return principal.valid_until > stamp(self._clock())

    def _by_token(self, conn: Connection, token: str, now: str) -> Principal:
        row = None
        if len(token) == _TOKEN_CHARS and token.startswith(_MARK) and token.isascii():
            row = conn.execute(
                "SELECT site, staff, id, expires, scope FROM token WHERE hash = ? AND revoked IS NULL AND expires > ?",
                (_digest(token), now),
            ).fetchone()
        if row is None:
            raise UnauthorizedError(
                "a valid access token is needed",
                hint="send it as: Authorization: Bearer tc1_...; an operator makes one with: trustcenter site token",
            )
        *who, scope = row
        return replace(self._principal(conn, *who), scope=scopes.Scope.from_text(scope))

    def _principal(self, conn: Connection, site: str | None, staff: str | None, token_id: str, until: str) -> Principal:
        if site is not None:
            rate = quotas.limits_of(conn, site).requests_per_second
            return Principal(site, "site", token_id, until, rate)
        assert staff is not None
        role = conn.execute("SELECT role FROM staff WHERE name = ?", (staff,)).fetchone()[0]
        return Principal(staff, role, token_id, until)
