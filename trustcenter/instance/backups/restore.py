"""`trustcenter restore`: everything is verified beside its place before anything is exchanged; then all of it is.

A crash while files are exchanged leaves `restore.pending`; until the restore is repeated, nothing opens the instance.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from keys.store import KeyStore
from trustcenter import config as configuration
from trustcenter.config import Config
from trustcenter.errors import (
    ConflictError,
    NotFoundError,
    StoreUnavailableError,
    UsageError,
    VerificationError,
)
from trustcenter.instance import places
from trustcenter.instance.opening import migrations
from trustcenter.instance.parts import database_path, head_facts, head_path, keys_path, recompute_log, room_snapshot
from trustcenter.registrar.head import OutsideHead
from trustcenter.store import Database
from trustcenter.store.connections import FileLock
from trustcenter.store.migrations import APPLICATIONS

from . import exchanging
from . import manifest as container
from .manifest import Manifest


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Attributes:
        manifests: of the backups.
        newer_head_kept: the head in place was newer than the one in the backup, and was kept.
        reopen: the database is older than the head, so the service refuses it until two people reopen it.
        missing: entries of the log that the head knows of and the database lacks.
        head_restored: the head comes from a backup: it cannot tell whether the database is the newest.
        kept: files that were in place before; to be deleted once the instance serves again.
    """

    manifests: tuple[Manifest, ...]
    newer_head_kept: bool
    reopen: bool
    missing: int
    head_restored: bool
    kept: tuple[str, ...]


def test(paths: Sequence[Path], passphrase: bytes | None) -> list[Manifest]:
    """Check backups without installing them: checksums, SQLite's integrity check, log tree, key store, head.

    Args:
        paths: the backups.
        passphrase: of the key stores; None leaves the sealed file and the head's signature unopened.

    Raises:
        VerificationError: the first that is not intact.
        KeysError: the key store does not open with the passphrase.
    """
    manifests = []
    for path in paths:
        with tempfile.TemporaryDirectory(prefix="trustcenter-restore-") as folder:
            manifest = container.read(path)
            targets = {str(part.name): Path(folder) / part.name for part in manifest.files}
            container.extract(path, targets)
            verify(manifest, targets, passphrase)
        manifests.append(manifest)
    return manifests


def verify(manifest: Manifest, files: dict[str, Path], passphrase: bytes | None) -> None:
    """Check the extracted files of one backup against its manifest and in themselves.

    Raises:
        VerificationError: they are not what the manifest says, or damaged.
    """
    if manifest.part == "database":
        _verify_database(manifest, files[f"{manifest.room}.db"])
        return
    if manifest.room == "registrar":
        facts = head_facts(files["head.json"])
        said = facts and (facts["instance"], facts["epoch"], facts["log_size"], facts["log_root"])
        if said != (manifest.instance, manifest.epoch, manifest.log_size, manifest.log_root):
            raise _broken("the outside head is not the one that the manifest tells of", "head.json")
    if passphrase is not None:
        keys = KeyStore.open(files[f"{manifest.room}.keys"], passphrase)
        if manifest.room == "registrar":
            OutsideHead.load(files["head.json"], keys)


def _verify_database(manifest: Manifest, path: Path) -> None:
    # immutable: nothing is created beside the file, and no write-ahead log is looked for.
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as conn:
        try:
            if conn.execute("PRAGMA application_id").fetchone()[0] != APPLICATIONS[manifest.room]:
                raise _broken("this is the database of another room or program", path.name)
            if conn.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise _broken("SQLite's integrity check fails", path.name)
            epoch = "epoch" if manifest.room == "registrar" else "0"
            found = conn.execute(f"SELECT instance, {epoch} FROM instance").fetchone()  # noqa: S608 - two constants
        except sqlite3.Error:
            raise _broken("SQLite cannot read the database", path.name) from None
        if found != (manifest.instance, manifest.epoch):
            raise _broken("the database is of another instance or epoch than the manifest says", path.name)
        log = recompute_log(conn, manifest.room)
        if (log.size, log.root) != (manifest.log_size, manifest.log_root):
            raise _broken("the log is not the one that the manifest tells of", path.name)


def _broken(message: str, where: str) -> VerificationError:
    return VerificationError(
        message, code="backup_damaged", hint="use an older backup of the same part; nothing was installed", where=where
    )


def install(paths: Sequence[Path], directory: Path, passphrase: bytes | None) -> Restored:
    """Put backups in place, into a new directory or a stopped instance.

    Args:
        paths: backups of one instance, each part at most once.
        directory: of the instance; may be missing or empty.
        passphrase: as in `test`.

    Raises:
        AlreadyRunningError: the service runs.
        UsageError: one part twice.
        ConflictError: the directory holds something else.
        VerificationError: a backup is damaged, or of another instance. Nothing was exchanged.
    """
    manifests = [container.read(path) for path in paths]
    if len({(m.room, m.part) for m in manifests}) != len(manifests):
        raise UsageError("two backups of the same part were named", code="part_twice", hint="name each part once")
    if len({m.instance for m in manifests}) > 1:
        raise _foreign()
    config = _config(paths[0], directory)
    for manifest in manifests:
        _places(config, manifest)  # a database that is no file is refused before anything is touched
    for room in config.rooms:
        keys_path(config, room).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        for room in config.rooms:
            stack.enter_context(_alone(config, room))
        _require_same_instance(config, manifests)
        staged = stack.enter_context(exchanging.staging())
        kept_head = False
        for path, manifest in zip(paths, manifests, strict=True):
            files = _places(config, manifest)
            targets = {name: target.with_name(target.name + exchanging.STAGED) for name, target in files.items()}
            for target in targets.values():
                target.unlink(missing_ok=True)
                staged.append(target)
            container.extract(path, targets)
            verify(manifest, targets, passphrase)
            if "head.json" in files and exchanging.is_newer(files["head.json"], targets["head.json"]):
                targets.pop("head.json").unlink()
                kept_head = True
        restored_head = any(path.name == "head.json" + exchanging.STAGED and path.exists() for path in staged)
        kept = exchanging.exchange(config, staged)
    reopen, missing = _behind(config)
    return Restored(tuple(manifests), kept_head, reopen, missing, restored_head, tuple(kept))


def _config(path: Path, directory: Path) -> Config:
    if (directory / container.CONFIG_NAME).exists():
        return configuration.load(directory)
    if directory.exists() and any(directory.iterdir()):
        raise ConflictError(
            "this directory holds something, but no instance",
            code="directory_not_empty",
            hint="name a new directory, or the instance's own",
        )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        container.extract(path, {container.CONFIG_NAME: directory / container.CONFIG_NAME})
        return configuration.load(directory)
    except BaseException:
        (directory / container.CONFIG_NAME).unlink(missing_ok=True)
        raise


def _places(config: Config, manifest: Manifest) -> dict[str, Path]:
    if manifest.part == "database":
        return {f"{manifest.room}.db": database_path(config, manifest.room)}
    places = {f"{manifest.room}.keys": keys_path(config, manifest.room)}
    return places | ({"head.json": head_path(config)} if manifest.room == "registrar" else {})


@contextmanager
def _alone(config: Config, room: str) -> Iterator[None]:
    """Hold a room's store, so that no service has it meanwhile.

    Raises:
        AlreadyRunningError: one has it.
        NotFoundError: a database of PostgreSQL's that is empty: it has to be restored first.
    """
    place = places.database(config, room)
    if isinstance(place, Path):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(place)
        try:
            yield
        finally:
            lock.release()
        return
    steps = migrations(config, room)
    with suppress(StoreUnavailableError):  # of an older schema: the service will bring it up to date
        try:
            Database.open_sync(place, steps, application=room, read_only=True).close_sync()
        except NotFoundError:
            raise NotFoundError(
                "the database is empty",
                code="database_missing",
                hint="restore it first, with the server's own tools: docs/how-to/postgresql.md",
                where=room,
            ) from None
    db = Database.open_sync(place, steps, application=room, exclusive=True)
    try:
        yield
    finally:
        db.close_sync()


def _require_same_instance(config: Config, manifests: Sequence[Manifest]) -> None:
    """What stays in place must be of the same instance as what comes."""
    replaced = {(m.room, m.part) for m in manifests}
    found = set()
    for room in config.rooms:
        place = places.database(config, room)
        if (room, "database") not in replaced and (not isinstance(place, Path) or place.is_file()):
            with suppress(sqlite3.Error, TypeError), room_snapshot(config, room) as conn:
                found.add(conn.execute("SELECT instance FROM instance").fetchone()[0])
    if (
        "registrar" in config.rooms
        and ("registrar", "keys") not in replaced
        and (facts := head_facts(head_path(config))) is not None
    ):
        found.add(facts["instance"])
    if found - {manifests[0].instance}:
        raise _foreign()


def _foreign() -> VerificationError:
    return VerificationError(
        "these parts belong to different instances",
        code="backup_foreign",
        hint="compare the manifests: trustcenter restore --test FILE",
    )


def _behind(config: Config) -> tuple[bool, int]:
    """Whether the head refuses the database, and how many entries of the log are known to be missing."""
    facts, place = head_facts(head_path(config)), places.database(config, "registrar")
    if facts is None or (isinstance(place, Path) and not place.is_file()):
        return False, 0
    with room_snapshot(config, "registrar") as conn:
        (epoch,) = conn.execute("SELECT epoch FROM instance").fetchone()
        log = recompute_log(conn, "registrar", (facts["log_size"],))
    behind = epoch < facts["epoch"] or log.roots.get(facts["log_size"]) != (facts["log_root"] or log.roots.get(0))
    return bool(behind), max(0, facts["log_size"] - log.size)
