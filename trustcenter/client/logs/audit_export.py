"""Exports of a log into files: as a bundle, as an archive with its verifier, or as a table of verified entries."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import msgspec

from trustcenter.client.api import TrustCenter
from trustcenter.client.files import replacing, require_writable
from trustcenter.errors import UsageError
from trustcenter.messages import api

from .audit_tables import TABLES
from .bundles import COSIGNED, LOG_NAME, STATEMENTS, claims, opened, read_checkpoint

FORMATS: Final = ("bundle", "archive", *TABLES)
_SUFFIXES: Final = {".zip": "archive", ".csv": "csv", ".parquet": "parquet"}


def format_of(target: Path, form: str | None) -> str:
    """The format that was named, or that the name of the file says; a bundle if neither does."""
    return form or _SUFFIXES.get(target.suffix.lower(), "bundle")


def through(checkpoints: Sequence[Path]) -> list[int]:
    """Sizes of earlier heads, so that an extract can be held against them.

    Raises:
        LocalFileError: a file cannot be read. VerificationError: it is no checkpoint.
    """
    from trustcenter.audit.note import parse_checkpoint, parse_note

    return [parse_checkpoint(parse_note(read_checkpoint(path)).text).size for path in checkpoints]


def moment(text: str | None) -> str:
    """A time as entries have it, of a day or a moment in ISO 8601; UTC where no zone is named; "" for none.

    Raises:
        UsageError: it is not one.
    """
    if not text:
        return ""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("this is not a time", code="bad_time", hint="2026-11-01 or 2026-11-01T08:00:00Z") from None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def export_log(
    center: TrustCenter,
    room: str,
    target: Path,
    *,
    form: str = "bundle",
    wanted: api.LogExtract | None = None,
    statements: bool = False,
    force: bool = False,
) -> int:
    """Write an export; returns its number of entries, or of lines if nothing was verified on the way.

    Args:
        center: as an auditor.
        room: registrar or comparator.
        target: the file.
        form: one of `FORMATS`.
        wanted: which entries; None for all.
        statements: put what was signed for re-identifications and disclosures into an archive, as far as it is held.
        force: overwrite.

    Raises:
        LocalFileError: the output. RemoteError: no auditor.
        BundleError: what the service sent is not what it has signed; tables are made of verified entries only.
    """
    require_writable(target, force=force)
    if statements and form != "archive":
        raise UsageError("statements go into an archive only", code="archive_only", hint="name the output FILE.zip")
    if form == "bundle":
        pieces = center.audit_export(room) if wanted is None else center.audit_extract(room, wanted)
        with replacing(target, force=force) as stream:
            return await _copy(pieces, stream)
    heads = (await center.audit_cosigned(room)).heads if form == "archive" else []
    if wanted is not None:
        wanted = msgspec.structs.replace(wanted, through=[*wanted.through, *(head.size for head in heads)])
    pieces = center.audit_export(room) if wanted is None else center.audit_extract(room, wanted)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".audit-") as folder:
        path = Path(folder) / LOG_NAME
        with path.open("wb") as stream:
            lines = await _copy(pieces, stream)
        if form == "archive":
            more = {f"{COSIGNED}{head.size}.txt": head.note.encode() for head in heads}
            if statements:
                held = [msgspec.json.encode(item) async for item in center.statements()]
                more[STATEMENTS] = b"".join(line + b"\n" for line in held)
            checkpoint = await center.audit_checkpoint(room)
            with replacing(target, force=force) as stream:
                _archive(stream, path, {"checkpoint.txt": checkpoint.encode(), **more})
            return lines
        return convert(path, target, form, force=force)


def convert(source: Path, target: Path, form: str, *, fingerprint: str | None = None, force: bool = False) -> int:
    """Write the entries of a bundle as a table, verifying it on the way; returns their number.

    Raises:
        BundleError: it is broken; no output is left. LocalFileError: a file.
    """
    from trustcenter.audit import verify_bundle

    if form not in TABLES:
        raise UsageError("this is no format of a table", code="unknown_format", hint=", ".join(TABLES))
    require_writable(target, sources=(source,), force=force)
    with opened(source) as stream, replacing(target, force=force) as out:
        origin, _ = claims(stream)
        table = TABLES[form](out, origin)
        report = verify_bundle(stream, fingerprint=fingerprint, each=table.add)
        table.close()
    return report.entries


async def _copy(pieces: AsyncIterator[bytes], stream: IO[bytes]) -> int:
    count = 0
    async for piece in pieces:
        stream.write(piece)
        count += piece.count(b"\n")
    return count


def _archive(stream: IO[bytes], log: Path, more: Mapping[str, bytes]) -> None:
    """Log, its verifier, a page that says what to do, and further files by name."""
    from trustcenter.audit import verify_log

    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.write(log, LOG_NAME)
        archive.write(verify_log.__file__, "verify_log.py")
        for name, content in more.items():
            archive.writestr(name, content)
        archive.writestr("README.txt", _README)


_README = """An audit log, and what is needed to verify it without the program that wrote it.

  python3 -m pip install cryptography
  python3 verify_log.py THIS.zip --key FINGERPRINT [--checkpoint OLDER.txt]...

FINGERPRINT was printed when the instance was made; have it from paper, or from a person you trust, not from here.
Do not trust verify_log.py from this archive either if you have an earlier copy: compare the two.
Keep checkpoint.txt: next time, --checkpoint shows that nothing before it was rewritten.
Heads in cosigned/ are held against the log as well. --witness KEY (from a site, not from here; repeat) demands that the
site has cosigned one of them: then that site and you were shown the same log up to there.
"""
