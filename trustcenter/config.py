"""Configuration: every limit is a named field with a unit and a default, in frozen objects.

`init` writes `config.toml` into the data directory; unknown keys are refused, so a typing error never turns
into a silent default. Relative paths are relative to the configuration file.
"""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Final

import msgspec

from .errors import ConfigError

ROOMS: Final = ("registrar", "comparator")
SEPARATIONS: Final = ("none", "process", "operator")  # from weak to strong


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds that hold before memory is spent."""

    body_bytes: int = 64 * 2**20  # bytes of one request body; also bounds a map (M4): about 250,000 records
    chunk_bytes: int = 8 * 2**20  # bytes of one upload chunk
    batch_items: int = 100_000  # originals, pseudonyms or record numbers in one request
    original_chars: int = 256  # characters of one original
    header_bytes: int = 16 * 2**10  # bytes of one request header field
    read_timeout: float = 60.0  # seconds a client may take to send a body
    upload_rows: int = 50_000_000  # rows of one upload
    reidentify_items: int = 10_000  # pseudonyms in one re-identification
    reidentify_per_day: int = 10_000  # originals released to one site in one day (UTC)
    reidentify_fetches: int = 5  # times that the originals of one ticket may be fetched
    reidentify_open: int = 20  # undecided requests and valid tickets of one site
    drain_timeout: float = 20.0  # seconds that running requests get when the service stops
    requests_per_second: float = 500.0  # requests a second, per client and kind of operation, in the long run
    request_burst: int = 2000  # requests that a client may send at once, per kind of operation
    reverse_per_second: float = 20.0  # as requests_per_second, for operations that lead from pseudonyms to originals
    reverse_burst: int = 100  # as request_burst, for those
    new_per_day: int = 10_000_000  # pseudonyms newly issued to one site in one day (UTC)
    records_per_day: int = 10_000_000  # records newly registered by one site in one day (UTC), over all studies
    failures_per_minute: int = 300  # failed authentications per source address
    credential_cache: float = 5.0  # seconds for which a checked credential is not looked up again; 0: always
    refusal_window: float = 60.0  # seconds over which refusals of one client become one entry in the audit log
    connections: int = 800  # open connections
    connections_per_address: int = 400  # open connections of one source address
    handshake_timeout: float = 10.0  # seconds a client may take for the TLS handshake
    idle_timeout: float = 30.0  # seconds a connection may take until the whole header of its next request is there
    write_timeout: float = 60.0  # seconds a client may take to accept a part of an answer
    bodies_bytes: int = 512 * 2**20  # bytes of request bodies in memory at one time


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the service listens. Other than loopback addresses need TLS."""

    host: str = "127.0.0.1"
    port: int = 8443
    certificate: str | None = "tls/server.pem"  # PEM, relative to the configuration
    key: str | None = "tls/server.key"  # PEM, readable by the service only
    client_ca: str | None = None  # PEM of the authority that signs clients' certificates
    client_certificates: str = "off"  # off | optional | required

    def url(self, name: str = "", *, port: int | None = None) -> str:
        """The address at which clients call it.

        Args:
            name: how they name the machine; without it, the address that it listens on.
            port: another one than the configured.
        """
        host = name or self.host
        scheme = "https" if self.certificate and self.key else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port if port is None else port}"

    @property
    def anywhere(self) -> bool:
        """Whether it listens on every address of the machine, so that the configured one is nobody's."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False


class Files(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The files of one instance. Which of them must never share a backup: docs/how-to/backups.md."""

    registrar: str = "registrar/registrar.db"
    registrar_keys: str = "registrar-keys/registrar.keys"
    comparator: str = "comparator/comparator.db"
    comparator_keys: str = "comparator-keys/comparator.keys"
    passphrase: str | None = None  # a file with the passphrase of the key stores; None: asked on the terminal
    peer: str = "peer/card.json"  # where the rooms are apart: what `trustcenter rooms pair` keeps of the other one
    peer_certificate: str = "tls/peer.pem"  # registrar alone: PEM with which it calls the comparator
    peer_key: str = "tls/peer.key"  # registrar alone: PEM, readable by the service only
    room_key: str = "tls/room.key"  # one room alone: opens and signs what is carried to the other by hand


class Postgres(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PostgreSQL databases in the place of files, as libpq connection strings without a password."""

    registrar: str | None = None  # as in "host=/run/postgresql dbname=registrar user=registrar"
    comparator: str | None = None  # another database of another user: whoever reads both joins what is kept apart


class Continuous(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Directories that the service keeps an up-to-date backup in, one for each part; none: no such backup."""

    registrar: str | None = None  # the registrar's database, if it is a file
    registrar_keys: str | None = None  # its key store and head; never on the disk of the databases' backups
    comparator: str | None = None  # the comparator's database, if it is a file
    comparator_keys: str | None = None  # its key store
    days: float = 7.0  # days to whose moments a database can be restored; older files are deleted
    base_hours: float = 24.0  # hours after which another full copy is made


class Backups(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `doctor` expects of backups, and what the service does by itself."""

    manifests: str | None = None  # directory that `trustcenter backup` keeps a copy of each newest manifest in
    max_age_hours: float = 26.0  # hours after which a backup is too old
    continuous: Continuous = Continuous()


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may read /metrics."""

    loopback: bool = False  # without a token from this machine; never behind a reverse proxy on this machine


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration of one instance."""

    server: Server = Server()
    files: Files = Files()
    postgres: Postgres = Postgres()
    limits: Limits = Limits()
    backups: Backups = Backups()
    metrics: Metrics = Metrics()
    room: str = "both"  # both | registrar | comparator: which rooms this instance holds and serves
    separation: str = "none"  # none | process | operator: declared, printed everywhere, not provable
    workers: int = 2  # processes that compare and decide
    base: str = ""  # filled in by `load`: the directory of the configuration file

    @property
    def rooms(self) -> tuple[str, ...]:
        """The rooms that this instance holds."""
        return ROOMS if self.room == "both" else (self.room,)

    def path(self, relative: str) -> Path:
        """A configured path, made absolute against the configuration file."""
        return Path(self.base) / relative


def load(directory: Path) -> Config:
    """Read `config.toml` of an instance.

    Raises:
        ConfigError: the file is missing, not TOML, has an unknown key or a value of the wrong type.
    """
    path = directory / "config.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            "there is no config.toml in this directory", hint="create an instance with: trustcenter init DIR"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise ConfigError(
            "config.toml cannot be read as TOML", hint="compare it with docs/reference/config.md"
        ) from None
    if "base" in raw:
        raise ConfigError("config.toml has an unknown key", where="base")
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        # The text after "at" is a path of field names; the text before it may hold a value.
        where = str(error).rpartition(" - at ")[2].strip("`$.") if " - at " in str(error) else ""
        raise ConfigError(
            "config.toml has an unknown key or a value of the wrong type",
            hint="compare it with docs/reference/config.md",
            where=where,
        ) from None
    _check(config)
    _check_rooms(config)
    return msgspec.structs.replace(config, base=str(directory.resolve()))


def _check_rooms(config: Config) -> None:
    if config.room not in ("both", *ROOMS):
        raise ConfigError("room must be one of both, registrar, comparator", where="room")
    if config.separation not in SEPARATIONS:
        raise ConfigError("separation must be one of none, process, operator", where="separation")
    if (config.separation == "none") != (config.room == "both"):
        raise ConfigError(
            "with both rooms in one process separation is none; a room of its own is separated by process or operator",
            hint="docs/how-to/separate-rooms.md",
            where="separation",
        )


def _check(config: Config) -> None:
    for field in msgspec.structs.fields(Limits):
        value = getattr(config.limits, field.name)
        if value < 0 or (value == 0 and field.name != "credential_cache"):
            raise ConfigError("a limit must be more than zero", where=f"limits.{field.name}")
    continuous = config.backups.continuous
    if not (continuous.days > 0 and continuous.base_hours > 0):
        raise ConfigError("a duration must be more than zero", where="backups.continuous")
    check_postgres(config.postgres)
    server = config.server
    if server.client_certificates not in ("off", "optional", "required"):
        raise ConfigError(
            "client_certificates must be one of off, optional, required", where="server.client_certificates"
        )
    if server.client_certificates != "off" and not (server.client_ca and server.certificate and server.key):
        raise ConfigError(
            "client certificates need TLS and the authority that signs them",
            hint="set server.client_ca, server.certificate and server.key",
            where="server.client_ca",
        )


def require_room(config: Config, room: str | None) -> None:
    """Refuse to serve other rooms than are wanted.

    Raises:
        ConfigError: the instance holds others.
    """
    if room is not None and room != config.room:
        raise ConfigError(
            f"this instance holds {config.room}, not {room}",
            hint="an instance of one room is made with: trustcenter init DIR --room",
            where="room",
        )


def check_postgres(postgres: Postgres) -> None:
    """Refuse one database for both rooms.

    Raises:
        ConfigError: it is.
    """
    rooms = (postgres.registrar, postgres.comparator)
    if None not in rooms and rooms[0] == rooms[1]:
        raise ConfigError(
            "each room needs a database of its own, and a user who cannot read the other's", where="postgres"
        )


def require_safe_address(server: Server) -> None:
    """Refuse to listen beyond this machine without TLS.

    Raises:
        ConfigError: the host is not a loopback address and no certificate is configured.
    """
    if server.certificate and server.key:
        return
    try:
        loopback = ipaddress.ip_address(server.host).is_loopback
    except ValueError:
        loopback = server.host == "localhost"
    if not loopback:
        raise ConfigError(
            "refusing to listen on an address beyond this machine without TLS",
            hint="set server.certificate and server.key, or server.host to 127.0.0.1",
            where="server",
        )
