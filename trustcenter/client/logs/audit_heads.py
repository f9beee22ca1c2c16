"""What a site remembers of the registrar's log: heads that came with answers, checked and kept.

The file beside the connection file is the site's own witness (docs/spec/log-heads.md). A centre that rewrites its log,
or shows this site another one than before, cannot give a head that extends the one kept here.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from trustcenter.client.errors import BadAnswerError, LocalFileError, RemoteError, UnreachableError
from trustcenter.client.files import replacing
from trustcenter.config import SEPARATIONS
from trustcenter.errors import VerificationError

if TYPE_CHECKING:
    from trustcenter.audit import Checkpoint

    from .audit_proofs import Asked

HEAD: Final = "Trust-Log-Head"
ENTRY: Final = "Trust-Log-Entry"
ROOM: Final = "registrar"
SUFFIX: Final = ".heads"
_TOO_MANY: Final = 429
_SERVER_FAULT: Final = 500


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the file holds.

    Attributes:
        format: of the file.
        fingerprint: of the log's first key, from the first head that was ever seen, or from paper.
        checkpoint: the newest head that was verified.
    """

    format: str = "trustcenter/log-heads/1"
    fingerprint: str
    checkpoint: str


class HeadWatch:
    """Collects the heads of one session, and holds them against the one that was kept before it."""

    def __init__(self, path: Path, fingerprint: str | None = None) -> None:
        """Watch.

        Args:
            path: where the newest head is kept between sessions.
            fingerprint: of the log's first key, from paper; without it the first key seen is believed.
        """
        self._path = path
        self._fingerprint = fingerprint
        self._newest: tuple[int, str] | None = None
        self._place = -1

    def note(self, head: str | None, entry: str | None) -> None:
        """Take what came with an answer.

        Raises:
            BadAnswerError: it is not a head.
        """
        if entry is not None and entry.isascii() and entry.isdigit() and len(entry) < 17:
            self._place = max(self._place, int(entry))
        if head is None:
            return
        from .audit_proofs import claimed

        try:
            text = base64.b64decode(head, validate=True).decode("utf-8")
            size = claimed(text).size
        except (binascii.Error, ValueError, VerificationError):
            raise BadAnswerError("the service sent a head of its log that is none", code="bad_log_head") from None
        if self._newest is None or size > self._newest[0]:
            self._newest = size, text

    async def settle(self, center: Asked) -> None:
        """Hold the session's newest head, and the one kept before, against the log as it is now; keep that.

        A service that cannot be asked any more leaves everything as it was: the next session asks again.

        Raises:
            LogForkedError: a head does not extend one that was signed before.
            VerificationError: a signature or key is wrong, the log lacks an entry that an answer named, or the rooms
                are less separated than they were.
            LocalFileError: the file cannot be read or written.
        """
        if self._newest is None and self._place < 0:
            return
        from .audit_proofs import claimed, extends, keys_of

        before = load(self._path)
        mark = self._fingerprint or (before.fingerprint if before is not None else None)
        try:
            now = await center.audit_checkpoint(ROOM)
            size = claimed(now).size
            if self._place >= size:
                raise VerificationError(
                    "the service named an entry that its log does not have",
                    code="entry_missing",
                    hint="keep the log of this job and tell the auditor",
                )
            if before is not None and claimed(before.checkpoint).origin != claimed(now).origin:
                raise VerificationError(
                    "the log of the service goes on under another origin: it was reopened or moved",
                    code="log_origin_changed",
                    hint="confirm the new fingerprint with the centre, then put the file with the heads aside",
                    where=self._path.name,
                )
            if before is not None:
                _not_weaker(claimed(before.checkpoint), claimed(now), self._path.name)
            for old in (before.checkpoint if before is not None else None, self._newest and self._newest[1]):
                if old is not None and claimed(old).size:
                    await extends(center, ROOM, old, now, mark)
            proof = await center.consistency(ROOM, size, size)
        except UnreachableError:
            return
        except RemoteError as error:
            if error.status == _TOO_MANY or error.status >= _SERVER_FAULT:
                return
            raise VerificationError(
                "the service does not prove that its log extends the head kept here",
                code="head_not_extended",
                hint="keep the file with the heads and tell the auditor",
                where=self._path.name,
            ) from None
        from trustcenter.audit import fingerprint

        keys_of(proof, mark).open(now)
        self._save(Kept(fingerprint=mark or fingerprint(proof.vkey), checkpoint=now))

    def _save(self, kept: Kept) -> None:
        try:
            with replacing(self._path, force=True) as stream:
                stream.write(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
        except OSError:
            raise LocalFileError(
                "the head of the log cannot be kept beside the connection file",
                code="heads_unwritable",
                hint="give the directory of the connection file to the user of this job",
            ) from None


def _not_weaker(before: Checkpoint, now: Checkpoint, where: str) -> None:
    """Refuse a head that declares less separation of the rooms than one before it did, or does not say any more."""
    order = ("", *SEPARATIONS)
    if order.index(now.separation) < order.index(before.separation):
        raise VerificationError(
            "the heads of the log declare less separation of the two rooms than before",
            code="separation_weakened",
            hint="ask the centre what changed, and decide who may go on; then put the file with the heads aside",
            where=where,
        )


def load(path: Path) -> Kept | None:
    """The head that was kept; None if there is none yet.

    Raises:
        LocalFileError: the file cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        raise LocalFileError(
            "the file with the heads of the log cannot be read",
            code="heads_unreadable",
            hint="restore it; without it a log that was rewritten is not noticed here",
            where=path.name,
        ) from None


def beside(connection: Path) -> Path:
    """Where the heads of a connection are kept."""
    return connection.with_name(connection.name + SUFFIX)
