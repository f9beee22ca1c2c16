"""Member cards: which keys are a member's, said by the member itself. docs/spec/secret-relay.md, section 1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from . import _text, hybrid, personal
from .errors import InvalidPublicKeyError
from .hybrid import RecipientKey

WORD: Final = "tc-card-1"
CONTEXT: Final = "trustcenter/member-card/1"
NAME: Final = re.compile(r"(?=.{1,63}\Z)[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Card:
    """A card whose signature holds. Whether it is really the member's, people compare by its fingerprint.

    Attributes:
        name: of the member.
        text: "tc-card-1:…", as it travels.
        sealing: the public key that is sealed to, "tc-recipient-1:…".
        signing: the Ed25519 public key, "tc-person-1:…".
        fingerprint: five groups of four characters, over name and both keys.
    """

    name: str
    text: str
    sealing: str
    signing: str
    fingerprint: str


def make_card(name: str, key: RecipientKey) -> Card:
    """The card of a member that holds a key.

    Raises:
        InvalidPublicKeyError: no possible name.
    """
    if not NAME.fullmatch(name):
        raise InvalidPublicKeyError("this cannot be the name of a member", where="name")
    signer = key.signer()
    signed = (
        bytes([len(name)])
        + name.encode("ascii")
        + _text.parse_public(personal.WORD, signer.public, personal.KEY_BYTES)
        + _text.parse_public(hybrid.WORD, key.public, hybrid.PUBLIC_BYTES)
    )
    signature = _text.from_base64url(signer.sign(CONTEXT, signed))
    return parse_card(_text.format_public(WORD, signed + signature))


def parse_card(text: str) -> Card:
    """Read a card.

    Raises:
        InvalidPublicKeyError: not a card, damaged, or a key that cannot be one.
        SignatureError: it does not sign itself.
    """
    raw = _text.parse_text(WORD, text)
    size = raw[0] if raw else 0
    ends = (1 + size, 1 + size + personal.KEY_BYTES, 1 + size + personal.KEY_BYTES + hybrid.PUBLIC_BYTES)
    if len(raw) != ends[2] + personal.SIGNATURE_BYTES:
        raise InvalidPublicKeyError("the card has a wrong length", where="card")
    name = raw[1 : ends[0]].decode("ascii", "replace")
    if not NAME.fullmatch(name):
        raise InvalidPublicKeyError("this cannot be the name of a member", where="card")
    signing = _text.format_public(personal.WORD, raw[ends[0] : ends[1]])
    sealing = _text.format_public(hybrid.WORD, raw[ends[1] : ends[2]])
    signed = raw[: ends[2]]
    personal.verify(signing, CONTEXT, signed, _text.to_base64url(raw[ends[2] :]))
    return Card(name, text, sealing, signing, _text.fingerprint(WORD, signed))
