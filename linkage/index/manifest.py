"""Which files make up an index; replaced in one step, so an index is always as before or as after a change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from linkage.errors import TokenIndexDamagedError, TokenIndexError

MANIFEST = "manifest.json"
BATCHES = 1000  # identities of applied windows that are remembered

_Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?![\s\S])")]
_File = Annotated[str, msgspec.Meta(pattern=r"^(seg|del)-[0-9]{10}(?![\s\S])")]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A segment of rows or a list of retired refs.

    Attributes:
        name: of the file.
        sequence: number of the change that made it; retired refs hide the rows of segments with a smaller number.
        n: rows or refs.
        sha256: of the body; checked by `TokenIndex.check`.
    """

    name: _File
    sequence: Annotated[int, msgspec.Meta(ge=1)]
    n: Annotated[int, msgspec.Meta(ge=0)]
    sha256: _Hex


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """State of an index.

    Attributes:
        format: version of this format.
        study: of all rows.
        version: of the study secret.
        fingerprint: of the schema.
        levels: upper bounds on differing bits.
        caps: per pass.
        sources: names; a row knows its source by the position.
        sequence: number of the last change.
        segments: ascending by sequence.
        retired: ascending by sequence.
        batches: identities of the last windows that were applied.
    """

    format: Literal["trustcenter/token-index/1"] = "trustcenter/token-index/1"
    study: str
    version: Annotated[int, msgspec.Meta(ge=0)]
    fingerprint: _Hex
    levels: tuple[int, int, int, int]
    caps: Annotated[tuple[int, ...], msgspec.Meta(min_length=1, max_length=64)]
    sources: tuple[str, ...] = ()
    sequence: Annotated[int, msgspec.Meta(ge=0)] = 0
    segments: tuple[Part, ...] = ()
    retired: tuple[Part, ...] = ()
    batches: tuple[_Hex, ...] = ()


def read(folder: Path) -> Manifest:
    """The manifest of a directory.

    Raises:
        TokenIndexError: there is none.
        TokenIndexDamagedError: it cannot be read.
    """
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise TokenIndexError("there is no index in this directory") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TokenIndexDamagedError("the manifest of the index is damaged", hint="build it again") from None


def write(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest, durably; every file it names must be durable already."""
    temporary = folder / ".manifest"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(manifest, order="sorted") + b"\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / MANIFEST)
    flush_folder(folder)


def flush_folder(folder: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
