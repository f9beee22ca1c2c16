"""Verifying exported audit bundles from files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from trustcenter.errors import BundleError, VerificationError

from .errors import LocalFileError

if TYPE_CHECKING:
    from trustcenter.audit import Report

_HEADER_BYTES: Final = 2**16


def verify_files(
    bundles: Sequence[Path], fingerprints: Sequence[str] = (), checkpoints: Sequence[Path] = ()
) -> list[tuple[Path, Report]]:
    """Verify bundles one after the other; the first broken one ends it.

    With several fingerprints each bundle is held against the one that fits its key; with one, all are. A
    checkpoint is held against the bundles of its log, and one that belongs to none of them is an error.

    Raises:
        BundleError: names the first broken entry. LocalFileError: a file cannot be read.
    """
    from trustcenter.audit import verify_bundle

    old = [_text(path) for path in checkpoints]
    used: set[int] = set()
    reports = []
    for path in bundles:
        try:
            stream = path.open("rb")
        except OSError:
            raise LocalFileError("a bundle cannot be read", code="no_input", where=path.name) from None
        with stream:
            origin, vkey = _claims(stream)
            mine = [i for i, note in enumerate(old) if note.split("\n", 1)[0] == origin]
            used.update(mine)
            expected = _expected(vkey, fingerprints)
            try:
                report = verify_bundle(stream, fingerprint=expected, old_checkpoints=[old[i] for i in mine])
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


def _claims(stream: BinaryIO) -> tuple[str, str]:
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


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise LocalFileError("a checkpoint cannot be read", code="no_input", where=path.name) from None
