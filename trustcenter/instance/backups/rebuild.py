"""From a continuous backup to an ordinary backup file of one moment; docs/spec/continuous-backup.md, "Restoring"."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from trustcenter.client.files import replacing
from trustcenter.clock import stamp
from trustcenter.errors import NotFoundError, UsageError, VerificationError

from . import chain as chains
from . import chain_notes
from . import manifest as container
from .backup import describe
from .chain import Base, Chain
from .manifest import Manifest

LATEST = "latest"


@dataclass(frozen=True)
class Rebuilt:
    """What came out.

    Attributes:
        path: an ordinary backup file.
        manifest: of it; its time is that of the last segment.
        segments: how many were applied to the base.
    """

    path: Path
    manifest: Manifest
    segments: int


def moment(text: str) -> str | None:
    """A moment as --to has it: RFC 3339 with its offset from UTC, as a stamp; None for the latest.

    Raises:
        UsageError: it is neither.
    """
    if text == LATEST:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = datetime(1, 1, 1)  # noqa: DTZ001 - refused below for want of an offset
    if parsed.tzinfo is None:
        raise UsageError(
            "this is not a moment",
            code="not_a_moment",
            hint="write latest, or date and time with an offset: 2026-11-24T15:30:00Z",
            where="--to",
        )
    return stamp(parsed.astimezone(UTC))


@contextmanager
def ordinary(paths: Sequence[Path], until: str | None, beside: Path) -> Iterator[list[Rebuilt | Path]]:
    """Backup files as they are, directories of continuous backups as backup files of the moment.

    Args:
        paths: what was named.
        until: as `moment` gives it.
        beside: the directory in which room is made for the rebuilt files, which are gone afterwards.

    Raises:
        As `rebuild`.
    """
    with tempfile.TemporaryDirectory(prefix=".rebuild-", dir=beside) as folder:
        made: list[Rebuilt | Path] = []
        for number, path in enumerate(paths):
            if path.is_dir():
                scratch = Path(folder) / str(number)
                scratch.mkdir(mode=0o700)
                made.append(rebuild(path, until, scratch))
            else:
                made.append(path)
        yield made


def rebuild(target: Path, until: str | None, scratch: Path) -> Rebuilt:
    """Bring the newest base up to a moment.

    Args:
        target: directory of the continuous backup of one database.
        until: as `moment` gives it.
        scratch: an empty directory with room for twice the database; the result lies in it.

    Raises:
        NotFoundError: no base is as old as that.
        VerificationError: a base or segment is damaged (`backup_damaged`) or missing (`backup_gap`); `where` names it.
    """
    chain, base = _newest(target, until)
    if chains.file_digest(chain.copy(base.number)) != base.sha256:
        chains.damaged("a base is not the one that its description tells of", f"base {base.number}")
    manifest = container.read(chain.copy(base.number))
    if manifest.time != base.time or manifest.part != "database":
        chains.damaged("a base is not the one that its description tells of", f"base {base.number}")
    database, settings = scratch / f"{manifest.room}.db", scratch / container.CONFIG_NAME
    container.extract(chain.copy(base.number), {database.name: database, container.CONFIG_NAME: settings})
    time, applied = _apply(target, chain, base, until, database, (manifest.instance, manifest.room))
    with closing(sqlite3.connect(database, isolation_level=None)) as conn:
        try:
            conn.execute("PRAGMA journal_mode = DELETE")
            made = describe(conn, manifest.room, time)
        except sqlite3.Error:
            chains.damaged("the base and its segments do not give a database", f"base {base.number}")
    files = (container.piece(database.name, database), container.piece(settings.name, settings))
    made = msgspec.structs.replace(made, files=files)
    path = scratch / "rebuilt.tc"
    with replacing(path) as stream:
        container.write(stream, made, {database.name: database, settings.name: settings})
    database.unlink()
    return Rebuilt(path, made, applied)


def _newest(target: Path, until: str | None) -> tuple[Chain, Base]:
    if not chains.is_target(target):
        raise NotFoundError(
            "this directory holds no continuous backup",
            code="no_base",
            hint="name the directory of backups.continuous, or a backup file",
        )
    found = [
        (base.time, at, chain, base)
        for at, chain in enumerate(chains.chains(target))
        for base in chain.bases()
        if until is None or base.time <= until
    ]
    if not found:
        raise NotFoundError(
            "the continuous backup does not go back that far",
            code="no_base",
            hint="a later moment, or an ordinary backup",
        )
    _, _, chain, base = max(found, key=lambda one: one[:2])
    return chain, base


def _apply(
    target: Path, chain: Chain, base: Base, until: str | None, database: Path, of: tuple[str, str]
) -> tuple[str, int]:
    last = max([*chain.numbers(), *(later.number for later in chain.bases())], default=0)
    alive = chain_notes.alive(target)
    if alive is not None and alive.chain == chain.name:
        last = max(last, alive.number)
    time, previous, applied = base.time, base.previous, 0
    with database.open("r+b") as file:
        for number in range(base.number + 1, last + 1):
            if not chain.segment(number).exists():
                raise VerificationError(
                    "a segment of the continuous backup is missing",
                    code="backup_gap",
                    hint="look for it; or restore to the moment before it: --to TIME",
                    where=f"segment {number}, after {time}",
                )
            segment, body, digest = chains.read_segment(chain, number, previous, of)
            if until is not None and segment.time > until:
                break
            for page, content in chains.pages(segment, body):
                file.seek((page - 1) * segment.page_bytes)
                file.write(content)
            file.truncate(segment.size * segment.page_bytes)
            time, previous, applied = segment.time, digest, applied + 1
        file.flush()
        os.fsync(file.fileno())
    return time, applied
