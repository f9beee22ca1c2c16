"""`trustcenter backup`: one part of an instance into one file, while the service runs; docs/how-to/backups.md."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from trustcenter.audit import tree
from trustcenter.client.files import replacing, require_writable
from trustcenter.clock import Clock, stamp, utc_now
from trustcenter.config import Config
from trustcenter.errors import ConflictError, NotFoundError, PolicyError, UnavailableError, VerificationError
from trustcenter.instance.parts import (
    database_path,
    head_facts,
    head_path,
    keys_path,
    no_instance,
    room_snapshot,
    snapshot,
)
from trustcenter.store import Connection
from trustcenter.store.faults import translate

from . import manifest as container
from .manifest import Manifest

_TRIES = 5
_SCRATCH = ".backup-"
_STEP_PAGES = 4096


class Abandoned(Exception):
    """A copy that is no longer wanted."""


def take(
    config: Config,
    room: str,
    part: str,
    target: Path,
    *,
    together: bool = False,
    replace: bool = False,
    clock: Clock = utc_now,
) -> Manifest:
    """Write one part of one room into a new file. Nothing of the instance is changed or stopped.

    Args:
        config: of the instance.
        room: registrar or comparator.
        part: database or keys.
        target: the new file; its directory should hold backups of this part only.
        together: allow a directory that holds another part's backups.
        replace: the target may exist.
        clock: for the manifest.

    Raises:
        LocalFileError: the target exists or cannot be written.
        PolicyError: the directory holds another part, or is inside the instance.
        VerificationError: the part is damaged; no backup is written.
    """
    if room not in config.rooms:
        raise NotFoundError(
            "this instance does not hold that room", code="other_room", hint="back it up on the other room's machine"
        )
    require_writable(target, force=replace)
    _check_neighbours(config, room, part, target, together=together)
    with _scratch(target) as scratch:
        made = (_database if part == "database" else _keys)(config, room, scratch, stamp(clock()))
        return _finish(config, made, scratch, target, replace=replace)


def copy_base(
    config: Config, room: str, source: sqlite3.Connection, target: Path, time: str, abandoned: Callable[[], bool]
) -> Manifest:
    """Write the database that an open snapshot sees into a new backup file, as `take` does.

    Raises:
        Abandoned: the function said so.
    """

    def progress(_status: int, _remaining: int, _total: int) -> None:
        if abandoned():
            raise Abandoned

    for leftover in target.parent.glob(f"{_SCRATCH}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with _scratch(target) as scratch:
        made = _copied(source, room, scratch, time, progress)
        return _finish(config, made, scratch, target)


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A directory beside the target that is gone afterwards, and what failures in it mean."""
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=target.parent) as folder:
        try:
            yield Path(folder)
        except sqlite3.Error as error:
            raise translate(error) from error
        except OSError as error:
            if error.filename is not None:
                raise
            raise UnavailableError(
                "the backup cannot be written: is the disk full?",
                code="backup_not_written",
                hint="nothing was left behind; free space or name another directory",
            ) from None


def _finish(config: Config, made: Manifest, scratch: Path, target: Path, *, replace: bool = False) -> Manifest:
    """Put what lies in the scratch directory into one file, and keep a copy of its manifest."""
    shutil.copyfile(Path(config.base) / container.CONFIG_NAME, scratch / container.CONFIG_NAME)
    names = (*made.payload, container.CONFIG_NAME)
    pieces = tuple(container.piece(name, scratch / name) for name in names)
    made = msgspec.structs.replace(made, files=pieces)
    with replacing(target, force=replace) as stream:
        container.write(stream, made, {name: scratch / name for name in names})
    if config.backups.manifests is not None:
        directory = config.path(config.backups.manifests)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(directory / f"{made.room}-{made.part}.json", force=True) as stream:
            stream.write(msgspec.json.encode(made) + b"\n")
    return made


def _check_neighbours(config: Config, room: str, part: str, target: Path, *, together: bool) -> None:
    if target.resolve().is_relative_to(Path(config.base).resolve()):
        raise PolicyError(
            "a backup inside the instance's directory is lost with it",
            code="backup_inside",
            hint="name a directory on another disk, one for each part",
        )
    if together:
        return
    for neighbour in sorted(target.parent.iterdir()):
        if not neighbour.is_file() or not container.is_backup(neighbour):
            continue
        try:
            found = container.read(neighbour)
        except VerificationError:
            continue
        if (found.room, found.part) != (room, part):
            raise PolicyError(
                "this directory holds the backup of another part: together they undo the separation",
                code="backups_together",
                hint="name a directory of its own for each part, with its own access rights; --i-know overrides",
            )


def _database(config: Config, room: str, scratch: Path, time: str) -> Manifest:
    with snapshot(database_path(config, room)) as source:
        return _copied(source, room, scratch, time)


def _copied(
    source: sqlite3.Connection,
    room: str,
    scratch: Path,
    time: str,
    progress: Callable[[int, int, int], None] | None = None,
) -> Manifest:
    path = scratch / f"{room}.db"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        # One snapshot, and no restart however much is written meanwhile: `source` is inside a transaction.
        source.backup(copy, pages=-1 if progress is None else _STEP_PAGES, progress=progress)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, complete by itself
        return describe(copy, room, time)


def describe(conn: sqlite3.Connection, room: str, time: str) -> Manifest:
    """The manifest of a room's database, without the list of files.

    Raises:
        VerificationError: it belongs to no instance.
    """
    instance, epoch = _identity(conn, room)
    size, frontier = conn.execute("SELECT size, frontier FROM audit_head").fetchone()
    root = tree.root_of([frontier[at : at + 32] for at in range(0, len(frontier), 32)]).hex()
    return Manifest(container.FORMAT, instance, room, "database", time, epoch, size, root, ())  # type: ignore[arg-type]


def _identity(conn: Connection, room: str) -> tuple[str, int]:
    columns = "instance, epoch" if room == "registrar" else "instance, 0"
    row = conn.execute(f"SELECT {columns} FROM instance").fetchone()  # noqa: S608 - two constants
    if row is None:
        raise no_instance()
    return str(row[0]), int(row[1])


def _keys(config: Config, room: str, scratch: Path, time: str) -> Manifest:
    """The sealed file and, at the registrar, the head; both are replaced whole, so a copy is never half a file."""
    store = keys_path(config, room)
    for _ in range(_TRIES):
        try:
            content = store.read_bytes()
            head = head_path(config).read_bytes() if room == "registrar" else b""
            if store.read_bytes() == content:
                break
        except FileNotFoundError:
            raise NotFoundError(
                "the key store or its head is missing", code="keys_missing", hint="trustcenter doctor DIR"
            ) from None
    else:
        raise ConflictError("the key store keeps changing", code="keys_busy", hint="try again in a minute")
    _write(scratch / f"{room}.keys", content)
    if room == "comparator":
        with room_snapshot(config, room) as conn:
            instance, _ = _identity(conn, room)
        return Manifest(container.FORMAT, instance, room, "keys", time, 0, 0, "", ())  # type: ignore[arg-type]
    _write(scratch / "head.json", head)
    facts = head_facts(scratch / "head.json")
    if facts is None:
        raise VerificationError(
            "the outside head is damaged", code="head_damaged", hint="trustcenter doctor DIR; then reopen"
        )
    return Manifest(
        container.FORMAT, facts["instance"], "registrar", "keys", time, facts["epoch"], facts["log_size"],
        facts["log_root"], (),
    )  # fmt: skip


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
