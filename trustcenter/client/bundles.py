"""Verifying exported audit bundles from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import LocalFileError

if TYPE_CHECKING:
    from trustcenter.audit.verify import Report


def verify_files(
    bundles: Sequence[Path], fingerprint: str | None, checkpoints: Sequence[Path] = ()
) -> list[tuple[Path, Report]]:
    """Verify bundles one after the other; the first broken one ends it.

    Raises:
        BundleError: names the first broken entry. LocalFileError: a file cannot be read.
    """
    from trustcenter.audit.verify import verify_bundle

    old = [_text(path) for path in checkpoints]
    reports = []
    for path in bundles:
        try:
            stream = path.open("rb")
        except OSError:
            raise LocalFileError("a bundle cannot be read", code="no_input", where=path.name) from None
        with stream:
            reports.append((path, verify_bundle(stream, fingerprint=fingerprint, old_checkpoints=old)))
    return reports


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise LocalFileError("a checkpoint cannot be read", code="no_input", where=path.name) from None
