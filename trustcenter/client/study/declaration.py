"""The declaration about duplicates that goes with an upload: read, and compared with what is uploaded."""

from __future__ import annotations

from pathlib import Path

import msgspec

from trustcenter.client.errors import LocalFileError
from trustcenter.errors import ConflictError
from trustcenter.messages.api import Deduplication, Study


def load_declaration(path: Path, study: Study, *, records: int, duplicates: Path | None) -> Deduplication:
    """Read `declaration.json` of `linkage dedupe`.

    Args:
        path: of the file.
        study: into which the source goes.
        records: of the source, with the duplicates.
        duplicates: the list of the records that are left out, if there is one.

    Raises:
        LocalFileError: there is none, or it is not one.
        ConflictError: it was made of another file, under another schema, or with another list.
    """
    from linkage.dedupe.listing import load_removed

    try:
        said = msgspec.json.decode(path.read_bytes(), type=Deduplication)
    except FileNotFoundError:
        raise LocalFileError("there is no such declaration", code="no_declaration") from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        raise LocalFileError(
            "this is no declaration about duplicates", code="bad_declaration", hint="`linkage dedupe` writes it"
        ) from None
    if said.schema != study.fingerprint:
        raise ConflictError(
            "the declaration about duplicates was made under another schema",
            code="foreign_declaration",
            hint="look for duplicates under the schema of the study",
        )
    left_out = 0
    digest = None
    if duplicates is not None:
        removed, digest = load_removed(duplicates)
        left_out = len(removed.ids)
    if (
        said.records != records
        or said.removed != left_out
        or (digest or said.duplicates_sha256) != said.duplicates_sha256
    ):
        raise ConflictError(
            "the declaration about duplicates is not of this source and this list",
            code="foreign_declaration",
            hint="give the declaration and the duplicates that one run of `linkage dedupe` wrote",
        )
    return said
