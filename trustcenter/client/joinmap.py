"""Opening a sealed join map: the recipient's half of a release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import LocalFileError
from .files import replacing

if TYPE_CHECKING:
    from keys.hybrid import RecipientKey


def seal_info(study: str, release: str) -> bytes:
    """What a sealed join map is bound to (docs/spec/sealed-message.md)."""
    return b"trustcenter/join-map/1\0" + study.encode() + b"\0" + release.encode()


def open_join_map(
    sealed: Path, key: RecipientKey, study: str, release: str, target: Path, *, force: bool = False
) -> int:
    """Open a sealed map into a CSV file of mode 0600; returns the number of records.

    Raises:
        SealError: another key, study or release, or a damaged file.
        LocalFileError: input or output.
    """
    try:
        source = sealed.open("rb")
    except OSError:
        raise LocalFileError("the sealed file cannot be read", code="no_input") from None
    lines = 0
    # In parts; a map that was cut or changed raises before the output takes its name.
    with source, replacing(target, force=force) as stream:
        for part in key.open_stream(source.read, seal_info(study, release)):
            stream.write(part)
            lines += part.count(b"\n")
    return max(0, lines - 1)
