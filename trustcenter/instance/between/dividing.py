"""An instance that holds both rooms becomes a registrar; a new comparator takes the place of its own.

Nothing is copied. To the new comparator everything is lost, so the rooms reconcile (M7) and the sites' next uploads
bring their rows. What stays here of the old comparator is for people to keep or to destroy.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from keys.store import KeyStore, Passphrase
from trustcenter import config as configs
from trustcenter.client.files import replacing
from trustcenter.config import Config
from trustcenter.errors import ConfigError, ConflictError
from trustcenter.instance import places, tls
from trustcenter.instance.opening import REGISTRAR_MIGRATIONS, require_complete
from trustcenter.instance.parts import keys_path
from trustcenter.registrar.linking import runs
from trustcenter.store import Connection, Database

_TABLE: Final = re.compile(r"^\s*\[", re.MULTILINE)
_LINES: Final = """\
# The other room is elsewhere: docs/how-to/separate-rooms.md
room = "registrar"
separation = "{separation}"
"""


def divide(config: Config, passphrase: Passphrase, separation: str) -> list[Path | str]:
    """Make a stopped instance a registrar of its own.

    Args:
        config: of the instance, which holds both rooms.
        passphrase: of its key stores.
        separation: from the new comparator: process or operator.

    Returns:
        What is left of the old comparator: its store (a file, or a database of PostgreSQL's) and its key store.

    Raises:
        ConflictError: it is one room already, its service runs, or a linkage run is under way.
        ConfigError: config.toml says something of rooms that is not understood.
    """
    if config.room != "both":
        raise ConflictError("this instance holds one room already", code="one_room", hint="trustcenter rooms card")
    require_complete(config)
    KeyStore.open(keys_path(config, "registrar"), passphrase)
    db = Database.open_sync(
        places.database(config, "registrar"), REGISTRAR_MIGRATIONS, application="registrar", exclusive=True
    )
    try:
        db.read_sync(_require_no_run)
        left: list[Path | str] = [keys_path(config, "comparator")]
        store = places.database(config, "comparator")
        left.insert(0, store if isinstance(store, Path) else "the comparator's database on the PostgreSQL server")
        _write(config, separation)
    finally:
        db.close_sync()
    return left


def _require_no_run(conn: Connection) -> None:
    if runs.under_way(conn):
        raise ConflictError(
            "a linkage run is under way", code="run_under_way", hint="let it end, or cancel it: trustcenter study link"
        )


def _write(config: Config, separation: str) -> None:
    """The certificate for the connection first: a configuration without it would not start."""
    base = Path(config.base)
    if not config.path(config.files.peer_certificate).exists():
        tls.create_peer(config.path(config.files.peer_certificate).parent)
    path = base / "config.toml"
    text = path.read_text(encoding="utf-8")
    first = _TABLE.search(text)
    top = text[: first.start()] if first is not None else text
    if re.search(r"^\s*(room|separation)\s*=", top, re.MULTILINE):
        raise ConfigError("config.toml names its rooms", hint="take room and separation out of it", where="room")
    made = top + _LINES.format(separation=separation) + text[len(top) :]
    with replacing(path, force=True) as stream:
        stream.write(made.encode())
    configs.load(base)
