"""Opening a sealed join map: the recipient's half of a release."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trustcenter.audit import letter
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing
from trustcenter.errors import VerificationError

if TYPE_CHECKING:
    from keys.hybrid import RecipientKey


_LETTER_BYTES: Final = 2**20


def seal_info(study: str, release: str) -> bytes:
    """What a sealed join map is bound to (docs/spec/sealed-message.md)."""
    return b"trustcenter/join-map/1\0" + study.encode() + b"\0" + release.encode()


def open_join_map(
    signed: Path,
    key: RecipientKey,
    study: str,
    release: str,
    target: Path,
    *,
    log_keys: Sequence[str],
    force: bool = False,
) -> int:
    """Open a signed and sealed map into a CSV file of mode 0600; returns the number of records.

    Args:
        signed: the file that the operator fetched: the registrar's letter, then the sealed map.
        key: of the recipient.
        study: that the map belongs to.
        release: that the map belongs to.
        target: the file.
        log_keys: fingerprints of the registrar's log, one of which has to be the signer's.
        force: replace a file.

    Raises:
        SealError: another key, study or release, or a damaged file.
        VerificationError: the registrar did not sign this map; nothing is written.
        LocalFileError: input or output.
    """
    try:
        source = signed.open("rb")
    except OSError:
        raise LocalFileError("the sealed file cannot be read", code="no_input") from None
    lines, digest = 0, hashlib.sha256()

    def read(size: int) -> bytes:
        part = source.read(size)
        digest.update(part)
        return part

    with source:
        said = letter.read(source.readline(_LETTER_BYTES))
        if said is None:
            raise unsigned()
        # In parts; a map that was cut, changed or not signed raises before the output takes its name.
        with replacing(target, force=force) as stream:
            for part in key.open_stream(read, seal_info(study, release)):
                stream.write(part)
                lines += part.count(b"\n")
            letter.verify(said, log_keys, letter.Sealed("join-map", study, release, digest.hexdigest()))
    return max(0, lines - 1)


def unsigned() -> VerificationError:
    """What is said of a file without the registrar's letter: whoever knows the recipient's public key can seal one."""
    return VerificationError(
        "this file is not signed by the registrar",
        code="unsigned",
        hint="ask the operator to fetch it again with the present version of the program",
    )
