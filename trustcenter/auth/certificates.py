"""Certificates of clients, bound to a site or a member of staff by the SHA-256 fingerprint of the whole certificate.

That a certificate comes from the configured authority and is in its time is checked in the TLS handshake; here is
decided whose it is. Names inside a certificate decide nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, UsageError
from trustcenter.store import Connection, IntegrityError, Migration

E = TypeVar("E", bound=x509.ExtensionType)

MIGRATIONS = (
    Migration(
        number=111,
        name="certificates of clients",
        sql="""
        CREATE TABLE client_certificate (
            fingerprint BLOB PRIMARY KEY CHECK (length(fingerprint) = 32),
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
class Bound:
    """A bound certificate. Times are stamps; `fingerprint` is lower-case hex."""

    fingerprint: str
    created: str
    expires: str
    revoked: str | None


def fingerprint(der: bytes) -> bytes:
    """SHA-256 over the DER bytes of a certificate."""
    return hashlib.sha256(der).digest()


def parse(pem: str, now: datetime) -> tuple[bytes, str]:
    """(fingerprint, end of validity) of the one certificate in `pem`.

    Raises:
        UsageError: not exactly one certificate, one of an authority, not for clients, or over.
    """
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
        if len(found) != 1:
            raise ValueError
        certificate = found[0]
        authority = _extension(certificate, x509.BasicConstraints)
        usage = _extension(certificate, x509.ExtendedKeyUsage)
    except (ValueError, x509.DuplicateExtension):
        raise UsageError(
            "this is not exactly one certificate in PEM",
            code="bad_certificate",
            hint="give the client's own certificate, without its key and without the authority",
        ) from None
    if authority is not None and authority.ca:
        raise UsageError(
            "this is the certificate of an authority, not of a client",
            code="bad_certificate",
            hint="the authority goes into server.client_ca",
        )
    if usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise UsageError("this certificate is not made for clients (extended key usage)", code="bad_certificate")
    if certificate.not_valid_after_utc <= now:
        raise UsageError("this certificate has expired", code="bad_certificate")
    return fingerprint(certificate.public_bytes(Encoding.DER)), stamp(certificate.not_valid_after_utc)


def bind(conn: Connection, column: str, name: str, digest: bytes, expires: str, now: str) -> None:
    """Bind a certificate to the site or person `name`, who must exist; `column` is "site" or "staff".

    Raises:
        ConflictError: it is bound to somebody, or was.
    """
    try:
        conn.execute(
            f"INSERT INTO client_certificate (fingerprint, {column}, created, expires) VALUES (?,?,?,?)",  # noqa: S608
            (digest, name, now, expires),
        )
    except IntegrityError:
        raise ConflictError(
            "this certificate is bound already, or was and has been revoked",
            code="certificate_bound",
            hint="every client has a certificate of its own; after a revocation it needs a new one",
        ) from None


def bound(conn: Connection, column: str, name: str) -> list[Bound]:
    """The certificates of a site or person, oldest first."""
    rows = conn.execute(
        "SELECT fingerprint, created, expires, revoked FROM client_certificate"  # noqa: S608
        f" WHERE {column} = ? ORDER BY created, fingerprint",
        (name,),
    ).fetchall()
    return [Bound(digest.hex(), created, expires, revoked) for digest, created, expires, revoked in rows]


def revoke(conn: Connection, column: str, name: str, digest: bytes, now: str) -> None:
    """Make a certificate useless at once. Revoking twice is harmless.

    Raises:
        NotFoundError: this site or person has no such certificate.
    """
    changed = conn.execute(
        f"UPDATE client_certificate SET revoked = coalesce(revoked, ?) WHERE fingerprint = ? AND {column} = ?",  # noqa: S608
        (now, digest, name),
    ).rowcount
    if changed == 0:
        raise NotFoundError("there is no such certificate here", hint="list them to see their fingerprints")


def owner(conn: Connection, digest: bytes, now: str) -> tuple[str | None, str | None, str] | None:
    """(site, staff, expires) of a certificate that is bound, not revoked and in its time."""
    row: tuple[str | None, str | None, str] | None = conn.execute(
        "SELECT site, staff, expires FROM client_certificate WHERE fingerprint = ? AND revoked IS NULL AND expires > ?",
        (digest, now),
    ).fetchone()
    return row


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
