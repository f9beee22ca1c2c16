"""What a practice keeps in one folder: its connection, its two keys, and the enrolment. Nothing of a patient."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from trustcenter.client.connection import Connection
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing, require_writable
from trustcenter.messages.common import Message

_MAX_BYTES: Final = 64 * 2**10
T = TypeVar("T", bound=Message)


class Invitation(Message, frozen=True, kw_only=True):
    """What a sponsor hands to a practice: where the service is, a one-time code, and how to know the sponsor's card."""

    url: str
    ca: str
    study: str
    site: str
    sponsor: str
    code: str
    sponsor_card: str
    rows_url: str = ""  # of the comparator, where the rooms are apart, and its own code
    rows_ca: str = ""
    rows_code: str = ""

    def __repr__(self) -> str:
        return f"Invitation(study={self.study!r}, site={self.site!r}, code=…)"


class Membership(Message, frozen=True, kw_only=True):
    """What of the invitation a practice keeps once the code is used."""

    study: str
    site: str
    sponsor: str
    redeemed: str = ""  # SHA-256 of the code that was used, to end what was given up between the codes of two rooms


@dataclass(frozen=True)
class Home:
    """The folder of a practice."""

    folder: Path

    @property
    def connection(self) -> Path:
        """Connection file with the practice's token."""
        return self.folder / "practice.toml"

    @property
    def key(self) -> Path:
        """Private key to which the study secret is sealed."""
        return self.folder / "practice.key"

    @property
    def site_key(self) -> Path:
        """The key that record numbers come from. To be kept, or the practice's patients get new ones."""
        return self.folder / "site.key"

    @property
    def _membership(self) -> Path:
        return self.folder / "enrolment.toml"

    def membership(self) -> Membership:
        """Which study, through whom.

        Raises:
            LocalFileError: the folder is no practice's, or the file is damaged.
        """
        return _read(self._membership, Membership, "this folder holds no enrolment", "trustcenter practice enrol")

    def redeemed(self) -> str:
        """SHA-256 of the code that was used last; "" for none."""
        return self.membership().redeemed if self._membership.exists() else ""

    def save(self, connection: Connection, membership: Membership) -> None:
        """Keep the connection and the enrolment, replacing older ones."""
        connection.save(self.connection, force=True)
        _write(self._membership, membership, force=True)


def load_invitation(path: Path) -> Invitation:
    """Read an invitation.

    Raises:
        LocalFileError: missing or none.
    """
    return _read(path, Invitation, "this is no invitation", "ask your sponsoring site for the file")


def save_invitation(path: Path, invitation: Invitation) -> None:
    """Write an invitation, for its owner's eyes only.

    Raises:
        LocalFileError: the path exists or cannot be written.
    """
    require_writable(path)
    _write(path, invitation, force=False)


def _read(path: Path, kind: type[T], message: str, hint: str) -> T:
    try:
        with path.open("rb") as stream:
            return msgspec.convert(tomllib.loads(stream.read(_MAX_BYTES).decode("utf-8")), kind)
    except (OSError, ValueError):
        raise LocalFileError(message, code="bad_invitation", hint=hint) from None


def _write(path: Path, content: Message, *, force: bool) -> None:
    lines = [
        f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in msgspec.to_builtins(content).items()
    ]
    with replacing(path, force=force) as stream:
        stream.write(("\n".join(lines) + "\n").encode())
