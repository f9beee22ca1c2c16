"""The instance's own development authority: good for one machine and for trying out, not for a hospital network.

In production the operator configures a certificate of the house's own authority (docs/how-to/certificates.md).
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trustcenter.client.connection import no_passphrase
from trustcenter.clock import utc_now
from trustcenter.config import Config
from trustcenter.errors import UsageError

CA_DAYS = 3650
SERVER_DAYS = 397  # the longest that common TLS clients accept
_SKEW: Final = timedelta(minutes=5)  # clocks of clients differ
_ALWAYS: Final = ("localhost", "127.0.0.1", "::1")
_DIRECTORY: Final = "tls"


def load_pair(context: ssl.SSLContext, config: Config) -> None:
    """Give a context the server's certificate and key, where both are configured.

    Raises:
        OSError: a file cannot be read, or they do not belong together (ssl.SSLError is one).
        ValueError: the key is sealed with a passphrase. OpenSSL alone would ask for it on the terminal, and wait.
    """
    if config.server.certificate and config.server.key:
        files = config.path(config.server.certificate), config.path(config.server.key)
        context.load_cert_chain(*files, password=no_passphrase)


def create(directory: Path, host: str, names: tuple[str, ...] = ()) -> str:
    """Make an authority and a server certificate below `directory`; returns the authority as PEM text.

    Args:
        directory: gets ca.pem, ca.key, server.pem and server.key; keys have mode 0600.
        host: the address the service listens on.
        names: further DNS names or addresses by which clients reach it.
    """
    directory.mkdir(mode=0o700)
    ca, ca_key = _make_authority(directory)
    _make_server(directory, ca, ca_key, dict.fromkeys((*_ALWAYS, host, *names)))
    return ca.public_bytes(serialization.Encoding.PEM).decode()


def renew(config: Config, names: tuple[str, ...] = (), *, new_authority: bool = False) -> datetime:
    """Make a new key and certificate of the server, signed by the authority that `create` made.

    Names of the old certificate stay. Files are exchanged one after the other, whole: until the service is told to
    read them again (SIGHUP) or started, it goes on with the old ones.

    Args:
        config: of the instance.
        names: DNS names or addresses to add.
        new_authority: make a new authority as well; clients need it in their connection files.

    Returns:
        The moment up to which the certificate is good.

    Raises:
        UsageError: the instance uses a certificate that is not its own, or its authority is lost.
    """
    directory = config.path(_DIRECTORY)
    if config.server.certificate != f"{_DIRECTORY}/server.pem" or config.server.key != f"{_DIRECTORY}/server.key":
        raise UsageError(
            "config.toml names a certificate that this instance did not make",
            code="foreign_certificate",
            hint="have the authority that signed it sign a new one: docs/how-to/certificates.md",
            where="server.certificate",
        )
    directory.mkdir(mode=0o700, exist_ok=True)
    if new_authority:
        ca, ca_key = _make_authority(directory)
    else:
        ca, ca_key = _read_authority(directory)
    old = _names_of(directory / "server.pem")
    return _make_server(directory, ca, ca_key, dict.fromkeys((*_ALWAYS, config.server.host, *old, *names)))


def _make_authority(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    now, key = utc_now() - _SKEW, ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trustcenter development authority")])
    ca = (
        _builder(name, name, key, now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_pair(directory, "ca", ca, key)
    return ca, key


def _read_authority(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        ca = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
    except (OSError, ValueError):
        ca, key = None, None
    if ca is None or not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != ca.public_key():
        raise UsageError(
            "the instance's own authority is lost or damaged (tls/ca.pem, tls/ca.key)",
            code="no_authority",
            hint="--new-authority makes another one; every client then needs it in its connection file",
        )
    return ca, key


def _make_server(
    directory: Path, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, names: Iterable[str]
) -> datetime:
    now, key = utc_now() - _SKEW, ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trustcenter")])
    certificate = (
        _builder(name, ca.subject, key, now, SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_name(value) for value in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_pair(directory, "server", certificate, key)
    return certificate.not_valid_after_utc


def _names_of(path: Path) -> list[str]:
    """Names and addresses in a certificate; none where it is lost, damaged or names nothing."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return []
    return [str(one.value) for one in found if isinstance(one, (x509.DNSName, x509.IPAddress))]


def create_peer(directory: Path) -> None:
    """Make the certificate with which the registrar calls the comparator, peer.pem and peer.key: pinned, not signed.

    Args:
        directory: that of the server's certificate.
    """
    now, key = utc_now() - _SKEW, ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trustcenter registrar")])
    certificate = (
        _builder(name, name, key, now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_pair(directory, "peer", certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(value: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(value))
    except ValueError:
        return x509.DNSName(value)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_pair(directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """NAME.pem and NAME.key, each whole or not at all; the service refuses a pair that does not fit.

    Made by root they belong to whom the directory belongs to: the service could not read them otherwise.
    """
    owner = directory.stat()
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    for ending, content, mode in (("key", _private(key), 0o600), ("pem", pem, 0o644)):
        fresh = directory / f".{name}.{ending}.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            if sys.platform != "win32" and os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            os.fsync(file.fileno())
        fresh.replace(directory / f"{name}.{ending}")
