"""Shares of a study secret: sealed to members, signed by the one that sends it. docs/spec/secret-relay.md, section 2.

What a share is compared with (the study, the pins of a member, what it saw before) is its caller's business.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from . import hybrid, personal
from .cards import NAME, Card, make_card
from .errors import CommitmentError, EnvelopeError, KeysUsageError, ShareError
from .hybrid import RecipientKey
from .ids import MAX_VERSION
from .secretfiles import StudySecret

FIRST_LINE: Final = "trustcenter-secret-share 1"
CONTEXT: Final = "trustcenter/secret-share/1"
MAX_BYTES: Final = 2**20
_INFO: Final = "trustcenter/study-secret/1"
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_PRINT: Final = re.compile(r"[0-9A-Z]{4}(-[0-9A-Z]{4}){4}")


@dataclass(frozen=True, slots=True)
class Party:
    """A member and the fingerprint of its card."""

    name: str
    card: str


@dataclass(frozen=True, slots=True)
class Share:
    """What a statement says.

    Attributes:
        study: name of the study.
        version: of the study.
        schema: fingerprint of the study's schema, 64 hex digits.
        issue: 1, 2, ...: grows with every share of the sender.
        secret: fingerprint of the study secret.
        sender: who signs.
        members: to whom it is sealed, by name.
        sealed: SHA-256 of each member's sealed message, hex, in the order of the members.
    """

    study: str
    version: int
    schema: str
    issue: int
    secret: str
    sender: Party
    members: tuple[Party, ...]
    sealed: tuple[str, ...]

    def member(self, name: str) -> Party | None:
        """A member by name."""
        return next((party for party in self.members if party.name == name), None)

    def head(self) -> bytes:
        """The lines before those about sealed messages."""
        return _lines(
            FIRST_LINE,
            f"study: {self.study}",
            f"version: {self.version}",
            f"schema: {self.schema}",
            f"issue: {self.issue}",
            f"secret: {self.secret}",
            f"sender: {self.sender.name} {self.sender.card}",
            *(f"member: {party.name} {party.card}" for party in self.members),
        )

    def statement(self) -> bytes:
        """What is signed."""
        pairs = zip(self.members, self.sealed, strict=True)
        return self.head() + _lines(*(f"sealed: {party.name} {digest}" for party, digest in pairs))


@dataclass(frozen=True, slots=True)
class SignedShare:
    """A share as it travels.

    Attributes:
        statement: `Share.statement()`.
        signature: of the sender, base64url.
        envelopes: sealed message of each member, by name.
    """

    statement: bytes
    signature: str
    envelopes: Mapping[str, bytes]


def make_share(
    secret: StudySecret, *, schema: str, issue: int, sender: str, key: RecipientKey, cards: Sequence[Card]
) -> SignedShare:
    """Seal a study secret to members, the sender among them, and sign.

    Args:
        secret: of the study version.
        schema: fingerprint of the study's schema.
        issue: greater than that of the sender's share before.
        sender: name of the sender.
        key: the sender's.
        cards: of the members, compared by people; the sender's own need not be there.

    Raises:
        KeysUsageError: a member twice.
    """
    own = make_card(sender, key)
    others = [card for card in cards if card.name != sender]
    found = {card.name: card for card in others} | {sender: own}
    if len(found) != len(others) + 1:
        raise KeysUsageError("a member is named twice", where="cards")
    share = Share(
        study=secret.study,
        version=secret.version,
        schema=schema,
        issue=issue,
        secret=secret.fingerprint,
        sender=Party(sender, own.fingerprint),
        members=tuple(Party(name, found[name].fingerprint) for name in sorted(found)),
        sealed=(),
    )
    head = share.head()
    envelopes = {name: hybrid.seal(found[name].sealing, secret.dumps(), _info(name, head)) for name in sorted(found)}
    digests = tuple(hashlib.sha256(envelopes[party.name]).hexdigest() for party in share.members)
    statement = replace(share, sealed=digests).statement()
    return SignedShare(statement, key.signer().sign(CONTEXT, statement), envelopes)


def parse_share(statement: bytes) -> Share:
    """Read a statement.

    Raises:
        ShareError: not one, in exactly its form.
    """
    if len(statement) > MAX_BYTES:
        raise ShareError("the share is too large", where="statement")
    try:
        lines = statement.decode("ascii").split("\n")
    except UnicodeDecodeError:
        lines = [""]
    if lines[0] != FIRST_LINE or len(lines) < 9:
        raise ShareError("this is no share of a study secret of a known version", where="line 1")
    half = (len(lines) - 8) // 2  # seven lines before the members, and what follows the last line feed
    values = [
        _value(line, name, number)
        for number, (line, name) in enumerate(
            zip(
                lines[1:-1],
                ["study", "version", "schema", "issue", "secret", "sender", *["member"] * half, *["sealed"] * half],
                strict=False,
            ),
            start=2,
        )
    ]
    if len(values) != 6 + 2 * half or lines[-1] != "":
        raise ShareError("the share has not the lines of its kind", where="lines")
    members = tuple(_party(value) for value in values[6 : 6 + half])
    sealed = [value.partition(" ") for value in values[6 + half :]]
    names = [party.name for party in members]
    if names != sorted(set(names)) or [name for name, _, _ in sealed] != names:
        raise ShareError("the members of the share are not in order", where="member")
    study, version, schema, issue, secret = values[:5]
    share = Share(
        study, _number(version), schema, _number(issue), secret, _party(values[5]), members,
        tuple(digest for _, _, digest in sealed),
    )  # fmt: skip
    if not NAME.fullmatch(study) or not _PRINT.fullmatch(secret) or share.member(share.sender.name) != share.sender:
        raise ShareError("the share has a value that cannot be one", where="head")
    if not all(map(_HEX.fullmatch, (schema, *share.sealed))):
        raise ShareError("the share has a hash that cannot be one", where="sealed")
    return share


def verify_share(statement: bytes, signature: str, card: Card) -> None:
    """Test the sender's signature under a card.

    Raises:
        SignatureError: it does not hold.
    """
    personal.verify(card.signing, CONTEXT, statement, signature)


def open_share(share: Share, name: str, key: RecipientKey, envelope: bytes) -> StudySecret:
    """The study secret that a share holds for a member. The signature was tested before.

    Raises:
        ShareError: another sealed message than the signed one, or another secret than the committed one.
        WrongRecipientError, SealError: sealed to another key, or bound to something else.
    """
    digests = {party.name: digest for party, digest in zip(share.members, share.sealed, strict=True)}
    if not hmac.compare_digest(hashlib.sha256(envelope).hexdigest(), digests.get(name, "")):
        raise EnvelopeError(
            "the sealed message is not the one that the sender signed",
            hint="fetch it again; if it stays so, the centre hands out another one: tell the sender",
            where="envelope",
        )
    secret = StudySecret.loads(key.open(envelope, _info(name, share.head())))
    if (secret.study, secret.version, secret.fingerprint) != (share.study, share.version, share.secret):
        raise CommitmentError(
            "the sealed study secret is not the one that the share names",
            hint="the sender made a mistake, or wants to give another secret to you than to others: ask it",
            where="secret",
        )
    return secret


def _info(member: str, head: bytes) -> bytes:
    return f"{_INFO}\0{member}\0".encode("ascii") + head


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _value(line: str, name: str, number: int) -> str:
    if not line.startswith(f"{name}: "):
        raise ShareError("the share has an unexpected line", where=f"line {number}")
    return line.removeprefix(f"{name}: ")


def _party(value: str) -> Party:
    name, _, card = value.partition(" ")
    if not NAME.fullmatch(name) or not _PRINT.fullmatch(card):
        raise ShareError("the share names a member that cannot be one", where="member")
    return Party(name, card)


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > MAX_VERSION:
        raise ShareError("the share has a number that cannot be one", where="number")
    return int(text)
