"""Verifying exported audit bundles from files."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from trustcenter.client.errors import LocalFileError
from trustcenter.errors import BundleError, VerificationError

if TYPE_CHECKING:
    from trustcenter.audit import Report, Witnesses
    from trustcenter.audit.entries import Entry

LOG_NAME: Final = "log.ndjson"  # in an archive
STATEMENTS: Final = "statements.ndjson"  # in an archive: what was signed, as far as it is held
COSIGNED: Final = "cosigned/"  # in an archive: heads that sites have cosigned
_BUFFER: Final = 2**20
_HEADER_BYTES: Final = 2**20


def verify_files(
    bundles: Sequence[Path],
    fingerprints: Sequence[str] = (),
    checkpoints: Sequence[Path] = (),
    *,
    witnesses: Witnesses | None = None,
    each: Callable[[Entry, bytes, bytes], None] | None = None,
) -> list[tuple[Path, Report]]:
    """Verify bundles one after the other; the first broken one ends it.

    With several fingerprints each bundle is held against the one that fits its key; with one, all are. A
    checkpoint is held against the bundles of its log, and one that belongs to none of them is an error; so are the
    cosigned heads in an archive. `witnesses` must have cosigned heads of each log. `each` is called with every entry,
    its leaf and its leaf hash, before it is proven.

    Raises:
        BundleError: names the first broken entry. LocalFileError: a file cannot be read.
    """
    from trustcenter.audit import Witnesses, verify_bundle

    demanded = Witnesses() if witnesses is None else witnesses
    old = [read_checkpoint(path) for path in checkpoints]
    used: set[int] = set()
    reports = []
    for path in bundles:
        with opened(path) as stream:
            origin, vkey = claims(stream)
            mine = [i for i, note in enumerate(old) if note.split("\n", 1)[0] == origin]
            used.update(mine)
            expected = _expected(vkey, fingerprints)
            try:
                heads = [*(old[i] for i in mine), *cosigned(path)]
                report = verify_bundle(
                    stream, fingerprint=expected, old_checkpoints=heads, witnesses=demanded, each=each
                )
            except BundleError as error:
                where = f"{path.name}: {error.where}" if len(bundles) > 1 else error.where
                raise BundleError(error.message, hint=error.hint, where=where) from None
            reports.append((path, report))
    if len(used) < len(old):
        first = next(i for i in range(len(old)) if i not in used)
        raise BundleError(
            "an older checkpoint is of none of these logs",
            hint="was the log replaced, or is its bundle missing?",
            where=checkpoints[first].name,
        )
    return reports


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The stream of a bundle, be it a log or an archive that holds one.

    Raises:
        LocalFileError: it cannot be read, or is an archive of something else.
    """
    with ExitStack() as stack:
        try:
            if zipfile.is_zipfile(path):
                archive = stack.enter_context(zipfile.ZipFile(path))
                member = stack.enter_context(archive.open(LOG_NAME))
                stream: BinaryIO = io.BufferedReader(member, _BUFFER)  # type: ignore[type-var]
            else:
                stream = stack.enter_context(path.open("rb", buffering=_BUFFER))
        except (OSError, KeyError, zipfile.BadZipFile):
            raise LocalFileError("a bundle cannot be read", code="no_input", where=path.name) from None
        try:
            yield stream
        except zipfile.BadZipFile:
            raise BundleError("the archive is damaged", where=LOG_NAME) from None


def cosigned(path: Path) -> list[str]:
    """The heads in an archive that sites have cosigned, by name; none of a plain bundle.

    Raises:
        LocalFileError: it cannot be read. BundleError: the archive is damaged.
    """
    with _archive(path, COSIGNED) as archive:
        if archive is None:
            return []
        names = sorted(name for name in archive.namelist() if name.startswith(COSIGNED))
        return [archive.read(name).decode("utf-8") for name in names]


def statements(path: Path) -> list[dict[str, str]]:
    """The statements in an archive; none of a plain bundle, or of an archive without.

    Raises:
        LocalFileError: it cannot be read. BundleError: the archive is damaged.
    """
    with _archive(path, STATEMENTS) as archive:
        if archive is None or STATEMENTS not in archive.namelist():
            return []
        return [json.loads(line) for line in archive.read(STATEMENTS).splitlines()]


@contextmanager
def _archive(path: Path, part: str) -> Iterator[zipfile.ZipFile | None]:
    """An archive, to read a part of it; None where it is a plain bundle."""
    try:
        if not zipfile.is_zipfile(path):
            yield None
            return
        with zipfile.ZipFile(path) as archive:
            yield archive
    except OSError:
        raise LocalFileError("a bundle cannot be read", code="no_input", where=path.name) from None
    except (zipfile.BadZipFile, ValueError):
        raise BundleError("the archive is damaged", where=part) from None


def claims(stream: BinaryIO) -> tuple[str, str]:
    """Origin and key that a bundle claims; believed only in so far as `verify_bundle` confirms them."""
    try:
        header = json.loads(stream.readline(_HEADER_BYTES))
        origin, vkey = str(header["origin"]), str(header["vkey"])
    except (ValueError, KeyError, TypeError, RecursionError):
        origin = vkey = ""  # verify_bundle says what is wrong
    stream.seek(0)
    return origin, vkey


def _expected(vkey: str, fingerprints: Sequence[str]) -> str | None:
    from trustcenter.audit import check_fingerprint

    for one in fingerprints[1:]:
        try:
            check_fingerprint(vkey, one)
        except VerificationError:
            continue
        return one
    return fingerprints[0] if fingerprints else None


def read_checkpoint(path: Path) -> str:
    """The text of a checkpoint's file.

    Raises:
        LocalFileError: it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise LocalFileError("a checkpoint cannot be read", code="no_input", where=path.name) from None
