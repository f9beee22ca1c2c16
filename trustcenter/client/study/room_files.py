"""Whole jobs of a room's operator with files that are carried by hand: fetch one, bring one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trustcenter.client.answers import decoded
from trustcenter.client.api import TrustCenter
from trustcenter.client.files import replacing, require_writable
from trustcenter.errors import ConflictError, VerificationError
from trustcenter.messages.carried import RoomFile, RoomFileTaken

_PART_BYTES: Final = 2**23
_PATH: Final = "/v1/rooms/incoming"


async def export(center: TrustCenter, target: Path, *, force: bool = False) -> RoomFile:
    """Have the registrar make a file of all that waits for the comparator, and fetch it.

    Raises:
        RemoteError: the comparator of this registrar is reached over its connection.
        LocalFileError: the target exists.
    """
    require_writable(target, force=force)
    made = decoded(await center.transport.call("POST", "/v1/rooms/outgoing", body=b"", repeatable=True), RoomFile)
    await _fetch(center, made.file, target, force=force)
    return made


async def carry_out(
    center: TrustCenter,
    source: Path,
    target: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    force: bool = False,
) -> RoomFileTaken:
    """Have the comparator carry out a file of the registrar's, wait for its windows, and fetch the answer.

    Given up, the command is simply repeated with the same file.

    Raises:
        RemoteError: the file is damaged, foreign or older than one that was carried out.
        LocalFileError: the target exists.
    """
    require_writable(target, sources=(source,), force=force)
    file = await _bring(center, source)
    wait = center.settings.poll_first
    while (done := await _take(center, file)).answer is None:
        if progress is not None:
            progress(done.done, done.total)
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, center.settings.poll_max)
    await _fetch(center, done.answer.file, target, force=force)
    return done


async def bring(center: TrustCenter, source: Path) -> RoomFileTaken:
    """Have the registrar take an answer of the comparator's.

    Raises:
        RemoteError: the file is damaged, foreign, or answers another than the newest.
    """
    return await _take(center, await _bring(center, source))


def require_carried_out(done: RoomFileTaken) -> None:
    """Say what is to be done where the comparator carried nothing out.

    Raises:
        ConflictError: it did not.
    """
    if done.code:
        raise ConflictError(
            "nothing of the file was carried out: the rooms are of different moments, or the file is an old one",
            code=done.code,
            hint="take the answer to the registrar: if the file was its newest, the next one reconciles the rooms",
        )


async def _bring(center: TrustCenter, source: Path) -> str:
    with source.open("rb") as stream:
        file = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        part = 0
        while content := stream.read(_PART_BYTES):
            await center.transport.call(
                "PUT",
                f"{_PATH}/{file}/{part}",
                body=content,
                content_type="application/octet-stream",
                repeatable=True,
            )
            part += 1
    return file


async def _take(center: TrustCenter, file: str) -> RoomFileTaken:
    return decoded(await center.transport.call("POST", f"{_PATH}/{file}", body=b"", repeatable=True), RoomFileTaken)


async def _fetch(center: TrustCenter, file: str, target: Path, *, force: bool) -> None:
    digest = hashlib.sha256()
    with replacing(target, force=force) as stream:
        part = 0
        while content := await center.transport.call("GET", f"/v1/rooms/outgoing/{file}/{part}", repeatable=True):
            digest.update(content)
            stream.write(content)
            part += 1
        if digest.hexdigest() != file:
            raise VerificationError(
                "another file was made while this one was fetched", code="room_file_changed", hint="try again"
            )
