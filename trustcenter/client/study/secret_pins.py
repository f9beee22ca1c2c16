"""What a member of a study remembers beside its key: compared cards, and the secrets it opened.

docs/spec/secret-relay.md, section 5. No secret, but whoever can change it can name other keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keys.passphrase import ExposedError, read_private
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing
from trustcenter.errors import VerificationError

FIRST_LINE: Final = "trustcenter-pins 1"
_MAX_BYTES: Final = 2**20
_NAME: Final = "[a-z0-9]+(?:-[a-z0-9]+)*"
_NUMBER: Final = "[1-9][0-9]{0,9}"
_PRINT: Final = "[0-9A-Z]{4}(?:-[0-9A-Z]{4}){4}"
_CARD: Final = re.compile(f"card ({_NAME}) ({_PRINT})")
_SECRET: Final = re.compile(f"secret ({_NAME}) ({_NUMBER}) ({_PRINT}) ({_NAME}) ({_NUMBER})")


def beside(key: Path) -> Path:
    """The file that belongs to a key file."""
    return key.with_name(key.name + ".pins")


@dataclass
class Pins:
    """Content of the file.

    Attributes:
        path: of the file.
        cards: fingerprint of each compared card, by name of the member.
        issues: newest issue seen, by (study, version, sender).
        secrets: fingerprint of the secret held, by (study, version).
    """

    path: Path
    cards: dict[str, str] = field(default_factory=dict)
    issues: dict[tuple[str, int, str], int] = field(default_factory=dict)
    secrets: dict[tuple[str, int], str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Pins:
        """Read the file; nothing is known where there is none.

        Raises:
            LocalFileError: it cannot be read, others can change it, or it has another form.
        """
        pins = cls(path)
        try:
            text = read_private(path, _MAX_BYTES).decode("ascii")
        except FileNotFoundError:
            return pins
        except ExposedError:
            raise LocalFileError(
                "others can read or change the file of compared cards",
                code="bad_pins",
                hint="chmod 600 and let it be your own",
            ) from None
        except (OSError, ValueError):
            raise _bad() from None
        first, *lines = text.split("\n")
        if first != FIRST_LINE or not lines or lines.pop() != "":
            raise _bad()
        for line in lines:
            if (card := _CARD.fullmatch(line)) is not None:
                pins.cards[card[1]] = card[2]
            elif (held := _SECRET.fullmatch(line)) is not None:
                pins._note(held[1], int(held[2]), held[3], held[4], int(held[5]))
            else:
                raise _bad()
        return pins

    def save(self) -> None:
        """Write the file, durable on return.

        Raises:
            LocalFileError, OSError: it cannot be written.
        """
        lines = [f"card {name} {fingerprint}" for name, fingerprint in self.cards.items()]
        lines += [
            f"secret {study} {version} {self.secrets[study, version]} {sender} {issue}"
            for (study, version, sender), issue in self.issues.items()
        ]
        with replacing(self.path, force=True) as stream:
            stream.write("".join(f"{line}\n" for line in [FIRST_LINE, *sorted(lines)]).encode("ascii"))

    def newest(self, study: str) -> int:
        """The newest version of a study's secret that was held; 0 if none was."""
        return max((version for name, version in self.secrets if name == study), default=0)

    def require_same(self, study: str, version: int, fingerprint: str) -> None:
        """Refuse another secret for a version than the one held before.

        Raises:
            VerificationError: it is another.
        """
        if self.secrets.get((study, version), fingerprint) != fingerprint:
            raise VerificationError(
                "this is another study secret than the one this site had for this version before",
                code="secret_exchanged",
                hint="use neither until the lead site has told you its fingerprint; a new secret needs a new version",
            )

    def hold(self, study: str, version: int, fingerprint: str, sender: str, issue: int) -> None:
        """Remember a secret that was opened or shared, and write the file.

        Raises:
            VerificationError: another one was held for this version.
        """
        self.require_same(study, version, fingerprint)
        self._note(study, version, fingerprint, sender, issue)
        self.save()

    def _note(self, study: str, version: int, fingerprint: str, sender: str, issue: int) -> None:
        self.secrets[study, version] = fingerprint
        self.issues[study, version, sender] = max(issue, self.issues.get((study, version, sender), 0))


def _bad() -> LocalFileError:
    return LocalFileError(
        "the file of compared cards is not valid",
        code="bad_pins",
        hint="take it from its backup, or remove it and compare the cards again: trustcenter study secret pin",
    )
