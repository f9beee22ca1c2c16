"""Backups and restores in the audit log: the commands leave a note, the service writes it into its log.

The commands run beside the service, or without one, and cannot write its database. A note that cannot be left (the
account that makes backups may read one part only) is missing in the log; the command says so.
"""

from __future__ import annotations

import getpass
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from trustcenter.audit import Event
from trustcenter.client.files import replacing
from trustcenter.clock import stamp, utc_now
from trustcenter.config import Config
from trustcenter.messages.common import Count
from trustcenter.owner import give
from trustcenter.registrar import context as registrar_context
from trustcenter.store import Connection

from .manifest import Manifest

DIRECTORY: Final = "notes"
_BYTES_MAX: Final = 16 * 2**10
_SUFFIX: Final = ".note"


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part that was backed up or restored."""

    room: Literal["registrar", "comparator"]
    part: Literal["database", "keys"]
    taken: str
    log_size: Count
    log_root: str


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One command that was carried out.

    Attributes:
        what: backup or restore.
        by: account of the operating system that ran it.
        at: when.
        parts: which parts.
        missing: restore: entries of the log that were known to be missing afterwards.
    """

    what: Literal["backup", "restore"]
    by: str
    at: str
    parts: list[Part]
    missing: Count = 0


def leave(config: Config, what: Literal["backup", "restore"], manifests: Sequence[Manifest], missing: int = 0) -> bool:
    """Leave a note of what was done; False if that was not possible, or a link would lead it elsewhere."""
    parts = [Part(m.room, m.part, m.time, m.log_size, m.log_root) for m in manifests]
    note = Note(what, _account(), stamp(utc_now()), parts, missing)
    directory = Path(config.base) / DIRECTORY
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        if directory.is_symlink():
            return False
        give(directory, directory.parent)
        name = note.at.replace(":", "") + "-" + secrets.token_hex(4) + _SUFFIX
        with replacing(directory / name) as stream:
            give(stream.fileno(), directory)  # else the service, which is not root, could not read it
            stream.write(msgspec.json.encode(note))
    except OSError:
        return False
    return True


def _account() -> str:
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        name = ""
    return "".join(character for character in name if character.isprintable())[:64] or f"uid {os.getuid()}"


async def take_in(config: Config, registrar: registrar_context.Context) -> int:
    """Write the notes that wait into the log; returns how many. One that cannot be read is set aside."""
    directory = Path(config.base) / DIRECTORY
    if not directory.is_dir():
        return 0
    found: list[tuple[Path, Note]] = []
    for path in sorted(directory.glob(f"*{_SUFFIX}")):
        try:
            if path.stat().st_size > _BYTES_MAX:
                raise ValueError
            found.append((path, msgspec.json.decode(path.read_bytes(), type=Note)))
        except (OSError, ValueError, msgspec.MsgspecError):
            path.replace(path.with_suffix(".unreadable"))

    def effect(conn: Connection) -> None:
        for _, note in found:
            event = Event.INSTANCE_BACKUP if note.what == "backup" else Event.INSTANCE_RESTORE
            extra = {"missing": note.missing} if note.what == "restore" else {}
            parts = [msgspec.structs.asdict(part) for part in note.parts]
            registrar.audit(conn, event, "service", "", by=note.by, at=note.at, parts=parts, **extra)

    if found:
        await registrar.db.write(effect)
        for path, _ in found:  # a crash in between logs one twice, and never not at all
            path.unlink(missing_ok=True)
    return len(found)
