"""The container of one backup: a tar file, first `manifest.json`, then the files it names; docs/spec/backup.md."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final, Literal, NoReturn

import msgspec

from trustcenter.errors import VerificationError
from trustcenter.messages.common import Count, Hex16, Hex32

FORMAT: Final = "trustcenter/backup/1"
NAME: Final = "manifest.json"
CONFIG_NAME: Final = "config.toml"
_MANIFEST_BYTES_MAX: Final = 64 * 2**10
_BLOCK: Final = 2**20


class Piece(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file in a backup."""

    name: Literal["registrar.db", "comparator.db", "registrar.keys", "comparator.keys", "head.json", "config.toml"]
    bytes: Count
    sha256: Hex32


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds.

    Attributes:
        format: FORMAT.
        instance: id of the instance.
        room: registrar or comparator.
        part: database or keys.
        time: when its state was read, RFC 3339 in UTC.
        epoch: of the registrar's database or head, 0 at the comparator.
        log_size: entries of the room's log in the database, or as the head remembers them; 0 for the comparator's keys.
        log_root: root at that size, or "".
        files: in the order of the container.
    """

    format: Literal["trustcenter/backup/1"]
    instance: Hex16
    room: Literal["registrar", "comparator"]
    part: Literal["database", "keys"]
    time: str
    epoch: Count
    log_size: Count
    log_root: str
    files: tuple[Piece, ...]

    @property
    def payload(self) -> tuple[str, ...]:
        """Names of the files that a backup of this room and part must hold."""
        if self.part == "database":
            return (f"{self.room}.db",)
        return (f"{self.room}.keys", "head.json") if self.room == "registrar" else (f"{self.room}.keys",)


def piece(name: str, path: Path) -> Piece:
    """Describe a file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Piece(name, path.stat().st_size, digest)  # type: ignore[arg-type]


def write(stream: IO[bytes], manifest: Manifest, sources: Mapping[str, Path]) -> None:
    """Write a container; the files must not change meanwhile.

    Raises:
        VerificationError: one did.
    """
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        body = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
        tar.addfile(_info(NAME, len(body)), io.BytesIO(body))
        for part in manifest.files:
            with sources[part.name].open("rb") as source:
                if os.fstat(source.fileno()).st_size != part.bytes:
                    _damaged(part.name)
                tar.addfile(_info(part.name, part.bytes), source)


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info


def is_backup(path: Path) -> bool:
    """Whether a file starts as a container does."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(NAME) + 1) == NAME.encode() + b"\0"
    except OSError:
        return False


def read(path: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        VerificationError: not a backup, or its manifest is damaged.
    """
    with _opened(path) as tar:
        return _manifest(tar)


def extract(path: Path, targets: Mapping[str, Path]) -> Manifest:
    """Write the named files of a backup to new files (0600), comparing size and SHA-256 of every file in it.

    Args:
        path: the container.
        targets: name of a file in the container to where it goes; names that it lacks are left out.

    Raises:
        VerificationError: the container is damaged; what was written until then is to be thrown away.
    """
    with _opened(path) as tar:
        manifest = _manifest(tar)
        for part in manifest.files:
            member = tar.next()
            if member is None or member.name != part.name or not member.isreg() or member.size != part.bytes:
                _damaged(part.name)
            source = tar.extractfile(member)
            assert source is not None
            target = targets.get(part.name)
            digest = hashlib.sha256()
            with io.BytesIO() if target is None else _private(target) as out:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    if target is not None:
                        out.write(block)
                if target is not None:
                    out.flush()
                    os.fsync(out.fileno())
            if digest.hexdigest() != part.sha256:
                _damaged(part.name)
        if tar.next() is not None:
            _damaged("end")
        return manifest


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


class _opened:  # noqa: N801 - used as a function
    """A container as a stream: members in order, nothing is trusted but what is compared afterwards."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> tarfile.TarFile:
        self._file = self._path.open("rb")
        try:
            self._tar = tarfile.open(fileobj=self._file, mode="r:")
        except tarfile.TarError:
            self._file.close()
            _damaged("")
        return self._tar

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._file.close()
        if error is not None and isinstance(error, (tarfile.TarError, EOFError, ValueError)):
            _damaged("end")


def _manifest(tar: tarfile.TarFile) -> Manifest:
    member = tar.next()
    if member is None or member.name != NAME or not member.isreg() or member.size > _MANIFEST_BYTES_MAX:
        _damaged(NAME)
    source = tar.extractfile(member)
    assert source is not None
    try:
        manifest = msgspec.json.decode(source.read(), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        _damaged(NAME)
    if tuple(part.name for part in manifest.files) != (*manifest.payload, CONFIG_NAME):
        _damaged(NAME)
    return manifest


def _damaged(where: str) -> NoReturn:
    raise VerificationError(
        "this file is not a backup, or it is damaged",
        code="backup_damaged",
        hint="take another backup of the same part; test each with: trustcenter restore --test FILE",
        where=where,
    ) from None
