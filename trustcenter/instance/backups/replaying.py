"""Finding what a restored database has to forget again, in a newer log; docs/spec/backup.md, "Replaying deletions"."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from keys.ids import Purpose
from keys.store import KeyStore
from trustcenter.audit import entries, fingerprint, verify_bundle
from trustcenter.audit.export import ENTRY_END, ENTRY_MIDDLE, ENTRY_START
from trustcenter.audit.note import Key
from trustcenter.client.files import flush_directory, replacing
from trustcenter.config import Config
from trustcenter.errors import NotFoundError, VerificationError
from trustcenter.instance.parts import keys_path, recompute_log, room_snapshot
from trustcenter.instance.rotating import audit_key
from trustcenter.registrar import context as registrar_context
from trustcenter.registrar.pseudonyms import replay as again
from trustcenter.registrar.pseudonyms.replay import Replay
from trustcenter.registrar.rotating.keyring import INSTANCE

from . import chain as chains
from . import manifest as container
from .rebuild import rebuild

NAME: Final = "replay.json"
_SQLITE: Final = b"SQLite format 3\0"

Leaf = tuple[bytes, bytes]  # hash and leaf


def stage(config: Config, source: Path, passphrase: bytes) -> Replay:
    """Read a newer log and keep what must be forgotten again for the next start.

    Args:
        config: of the stopped instance, with the restored database in place.
        source: an exported log, a newer database, a backup file of one, or the directory of a continuous backup.
        passphrase: of the key stores: an exported log must be signed by this instance.

    Raises:
        VerificationError: the log is damaged, not whole, or not a continuation of this instance's.
        BundleError: the exported log does not verify.
    """
    keys = KeyStore.open(keys_path(config, "registrar"), passphrase)
    with room_snapshot(config, "registrar") as own:
        (instance,) = own.execute("SELECT instance FROM instance").fetchone()
        hashes = (bytes(row[0]) for row in own.execute("SELECT hash FROM audit_entry ORDER BY seq"))
        with _newer(source, keys, instance, audit_key.vkeys(own)) as (size, root, leaves):
            replay = _difference(instance, hashes, leaves, size, root)
    with replacing(Path(config.base) / NAME, force=True) as stream:
        stream.write(msgspec.json.encode(replay) + b"\n")
    return replay


def _difference(instance: str, own: Iterator[bytes], newer: Iterable[Leaf], size: int, root: str) -> Replay:
    removals: list[again.Removal] = []
    first = withdrawals = 0
    same = True
    for hash_, leaf in newer:
        same = same and next(own, None) == hash_
        if same:
            first += 1
            continue
        entry = entries.parse(leaf, "registrar")
        removal = again.of_entry(entry)
        if removal is not None:
            removals.append(removal)
        withdrawals += entry.event.startswith("site:consent:withdraw")
    if not first:
        raise VerificationError(
            "this log is not one of this instance", code="replay_foreign", hint="name the newest export of its own log"
        )
    return Replay(again.FORMAT, instance, first, size, root, removals, withdrawals)


@contextmanager
def _newer(source: Path, keys: KeyStore, instance: str, before: set[str]) -> Iterator[tuple[int, str, Iterator[Leaf]]]:
    """Size, root and leaves of a log that was verified; `before` are keys that signed it and may be destroyed now."""
    with tempfile.TemporaryDirectory(prefix="trustcenter-replay-") as folder:
        if chains.is_target(source):
            source = rebuild(source, None, Path(folder)).path
        if container.is_backup(source):
            database = Path(folder) / "newer.db"
            container.extract(source, {"registrar.db": database})
            source = database
        if not source.is_file():
            raise NotFoundError(
                "there is no such log", code="no_replay", hint="an audit export, a database or a backup of one"
            )
        with source.open("rb") as stream:
            start = stream.read(len(_SQLITE))
        if start == _SQLITE:
            with closing(_database(source)) as conn:
                log = recompute_log(conn, "registrar")
                rows = conn.execute("SELECT hash, leaf FROM audit_entry ORDER BY seq")
                yield log.size, log.root, ((bytes(hash_), bytes(leaf)) for hash_, leaf in rows)
        else:
            with source.open("rb") as stream:
                report = verify_bundle(stream)
            ours = [
                Key(report.origin, keys.public_key(INSTANCE, Purpose.AUDIT, version))
                for version in audit_key.versions(keys)
            ]
            key = ours[-1]
            foreign = report.vkey not in before.union(one.vkey for one in ours)
            if report.room != "registrar" or f"/{instance}/" not in report.origin or foreign:
                raise VerificationError(
                    "this log was not signed by this instance's registrar",
                    code="replay_foreign",
                    hint=f"its fingerprint should be {fingerprint(key.vkey)}",
                )
            if report.entries != report.size:
                raise VerificationError(
                    "this export holds chosen entries only",
                    code="replay_extract",
                    hint="name a whole one: trustcenter audit export registrar -o FILE",
                )
            yield report.size, report.root, _lines(source)


def _database(path: Path) -> sqlite3.Connection:
    # With its write-ahead log, if there is one beside it: the newest entries are there.
    conn = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
    conn.execute("BEGIN")
    return conn


def _lines(path: Path) -> Iterator[Leaf]:
    with path.open("rb") as stream:
        for line in stream:
            if line.startswith(ENTRY_START):
                at = len(ENTRY_START)
                yield bytes.fromhex(line[at : at + 64].decode()), line[at + 64 + len(ENTRY_MIDDLE) : -len(ENTRY_END)]


def pending(config: Config) -> Replay | None:
    """What waits for the next start.

    Raises:
        VerificationError: its file is damaged.
    """
    try:
        return msgspec.json.decode((Path(config.base) / NAME).read_bytes(), type=Replay)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise VerificationError(
            "what was to be deleted again cannot be read", code="replay_damaged", hint="repeat: trustcenter restore"
        ) from None


async def carry_out(config: Config, registrar: registrar_context.Context) -> None:
    """At start, before anything is served: delete again what a restored database had brought back."""
    replay = pending(config)
    if replay is None:
        return
    if replay.instance != registrar.head.instance:
        raise VerificationError(
            "what is to be deleted again is of another instance", code="replay_foreign", hint=f"remove {NAME}"
        )
    await again.apply(registrar, replay)
    path = Path(config.base) / NAME
    path.unlink()
    flush_directory(path.parent)
