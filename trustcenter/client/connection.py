"""The connection file: where the service is, which certificate authority to trust, and the caller's token.

TOML, mode 0600: `url`, `ca` (PEM text; empty only for http:// on this machine), `token`, and one of `site`
and `staff` (the caller's name). `certificate` and `certificate_key` name the PEM files of a client certificate,
relative to the connection file; with them the token may be left out. `log_key` may hold the fingerprint of the
registrar's log, as printed on paper: answers are then held against it. `trustcenter init` writes the first
connection file, `site token` and `staff add` the others.
"""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
import stat
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from .errors import ConnectionFileError
from .files import replacing, require_writable

_MAX_BYTES = 64 * 2**10  # a connection file holds one certificate and three short lines


class RowsConnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the comparator is, if it is apart from the registrar, and the same site's credentials there."""

    url: str
    site: str | None = None
    token: str = ""
    ca: str = ""
    certificate: str | None = None
    certificate_key: str | None = None

    def __repr__(self) -> str:
        return f"RowsConnection(url={self.url!r}, token=…)"


class Connection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the service is and who is asking."""

    url: str
    token: str = ""
    ca: str = ""
    site: str | None = None
    staff: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None
    log_key: str | None = None  # fingerprint of the registrar's log, from paper
    comparator: RowsConnection | None = None  # where rows go, if the rooms are apart

    def __repr__(self) -> str:
        return f"Connection(url={self.url!r}, site={self.site!r}, staff={self.staff!r}, token=…)"

    @property
    def rows(self) -> Connection:
        """The connection that rows go over: this one, or the comparator's where the rooms are apart."""
        if self.comparator is None:
            return self
        apart = self.comparator
        return Connection(
            url=apart.url,
            token=apart.token,
            ca=apart.ca,
            site=apart.site or self.site,
            certificate=apart.certificate,
            certificate_key=apart.certificate_key,
        )

    @property
    def caller(self) -> str:
        """Name of the site or staff member."""
        return self.site or self.staff or ""

    @property
    def on_this_machine(self) -> bool:
        """Whether the address leads nowhere but to the machine that uses it."""
        return _loopback(urlsplit(self.url).hostname or "")

    @classmethod
    def load(cls, path: Path) -> Connection:
        """Read a connection file.

        Raises:
            ConnectionFileError: missing, readable by group or others, not TOML, a missing, unknown or wrong
                field, or an unsafe address.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            raise ConnectionFileError("the connection file does not exist", hint="check --connect FILE") from None
        except OSError:
            raise ConnectionFileError("the connection file cannot be read", hint="check its owner and mode") from None
        with os.fdopen(descriptor, "rb") as stream:
            # The mode is taken from the open file, so that it cannot be exchanged between check and use.
            # Windows has access lists instead: a mode says nothing there.
            if os.name == "posix" and stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o077:
                raise ConnectionFileError(
                    "the connection file can be read by other users of this machine",
                    hint="chmod 600 the file; if others had access, ask for a new token",
                )
            try:
                raw = stream.read(_MAX_BYTES + 1)
                if len(raw) > _MAX_BYTES:
                    raise ValueError
                connection = msgspec.convert(tomllib.loads(raw.decode("utf-8")), cls)
            except OSError:
                raise ConnectionFileError("the connection file cannot be read") from None
            except ValueError:  # UnicodeDecodeError, TOMLDecodeError and msgspec.ValidationError are all ValueErrors
                raise ConnectionFileError(
                    "the connection file is not valid", hint="it has url, ca, token, and either site or staff"
                ) from None
        if connection.certificate is not None and connection.certificate_key is not None:
            connection = msgspec.structs.replace(
                connection,
                certificate=str(path.parent / connection.certificate),
                certificate_key=str(path.parent / connection.certificate_key),
            )
        apart = connection.comparator
        if apart is not None and apart.certificate is not None and apart.certificate_key is not None:
            apart = msgspec.structs.replace(
                apart,
                certificate=str(path.parent / apart.certificate),
                certificate_key=str(path.parent / apart.certificate_key),
            )
            connection = msgspec.structs.replace(connection, comparator=apart)
        connection.check()
        return connection

    def check(self) -> None:
        """Refuse what cannot be used safely.

        Raises:
            ConnectionFileError: not exactly one of site and staff, an address that is not https (http is
                for loopback only), or no certificate authority for https.
        """
        if (self.site is None) == (self.staff is None):
            raise ConnectionFileError("the connection file names a site or a staff member, not both or none")
        if (self.certificate is None) != (self.certificate_key is None):
            raise ConnectionFileError("a client certificate goes with its key", where="certificate_key")
        if not self.token and self.certificate is None:
            raise ConnectionFileError("the connection file has no token and no client certificate", where="token")
        if any(c.isspace() or not c.isprintable() for c in self.token):
            raise ConnectionFileError("the token in the connection file is not one")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ConnectionFileError("the url in the connection file is not an https address", where="url")
        if parts.username is not None or parts.password is not None:
            raise ConnectionFileError("the url in the connection file must not hold credentials", where="url")
        if parts.scheme == "http" and not _loopback(parts.hostname):
            raise ConnectionFileError("refusing to send a token over http to another machine", where="url")
        if parts.scheme == "https" and not self.ca:
            raise ConnectionFileError(
                "the connection file has no certificate authority",
                hint="put the PEM text of the service's authority into ca",
                where="ca",
            )
        if self.comparator is not None:
            if self.site is None or self.rows.site != self.site:
                raise ConnectionFileError(
                    "only a site has two addresses, and has the same name at both", where="comparator"
                )
            self.rows.check()

    def tls(self) -> ssl.SSLContext | bool:
        """A context that trusts the pinned authority and nothing else; True for http.

        Raises:
            ConnectionFileError: `ca` is not PEM.
        """
        if self.url.startswith("http://"):
            return True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # `ca` may be the service's own certificate, pinned
        try:
            context.load_verify_locations(cadata=self.ca)
        except (ssl.SSLError, ValueError):
            raise ConnectionFileError("ca in the connection file is not a PEM certificate", where="ca") from None
        if self.certificate is not None and self.certificate_key is not None:
            try:
                context.load_cert_chain(self.certificate, self.certificate_key, password=no_passphrase)
            except (OSError, ssl.SSLError, ValueError):
                raise ConnectionFileError(
                    "the client certificate or its key cannot be used",
                    hint="two PEM files that belong together; the key without a passphrase, mode 0600",
                    where="certificate",
                ) from None
        return context

    def save(self, path: Path, *, force: bool = False) -> None:
        """Write the file with mode 0600; refuses to overwrite without `force`.

        Raises:
            ConnectionFileError: see `check`.
            LocalFileError: the path exists or cannot be written.
        """
        self.check()
        require_writable(path, force=force)
        lines = _lines(self)
        if self.comparator is not None:
            lines += ["", "[comparator]", *_lines(self.comparator)]
        with replacing(path, force=force) as stream:
            stream.write(("\n".join(lines) + "\n").encode())


def _lines(connection: Connection | RowsConnection) -> list[str]:
    names = ("url", "token", "site", "staff", "certificate", "certificate_key", "log_key")
    lines = [f"{name} = {_toml(value)}" for name in names if (value := getattr(connection, name, None))]
    if connection.ca:
        lines.append('ca = """\n' + connection.ca.strip().replace("\\", "\\\\").replace('"', '\\"') + '\n"""')
    return lines


def _toml(text: str) -> str:
    # A TOML basic string has the escapes of a JSON string.
    return json.dumps(text, ensure_ascii=False)


def no_passphrase() -> str:
    """Of an encrypted key: OpenSSL would ask on the terminal for it.

    Raises:
        ValueError: always.
    """
    raise ValueError


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
