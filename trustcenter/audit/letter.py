"""Letters: the registrar's signature, with the key of its log, for what it sends to somebody who asks no service.

A sealed file says nothing about who sealed it. The letter beside it does, to whoever compared the fingerprint of the
log's first key (docs/spec/letter.md).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from keys.errors import SignatureError
from keys.personal import verify_ed25519
from trustcenter.errors import VerificationError

from .chain import HANDOVERS_MAX, KeyChain, open_chain
from .note import check_fingerprint, parse_vkey

FORMAT: Final = "trustcenter/letter/1"
Kind = Literal["join-map", "changes"]


class Letter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lies beside a sealed file: who signed, how that key came to sign, for whom, and the signature."""

    format: Literal["trustcenter/letter/1"]
    vkey: Annotated[str, msgspec.Meta(max_length=300)]  # of the first key of the log
    handovers: Annotated[list[str], msgspec.Meta(max_length=HANDOVERS_MAX)]  # up to the key that signed
    recipient: str
    signature: str  # base64


@dataclass(frozen=True)
class Sealed:
    """A sealed file that a letter is about.

    Attributes:
        kind: what is in it.
        study: its name.
        name: which one: the release, or the number of the batch.
        sha256: of the file, 64 hex digits.
    """

    kind: Kind
    study: str
    name: str
    sha256: str

    def statement(self, origin: str, recipient: str) -> bytes:
        """The bytes under the signature of the log of this origin, one field per line."""
        lines = [FORMAT, origin, self.kind, self.study, recipient, self.name, self.sha256]
        return "".join(f"{line}\n" for line in lines).encode()


def write(chain: KeyChain, sign: Callable[[bytes], bytes], about: Sealed, recipient: str) -> str:
    """A letter, as one line of JSON.

    Args:
        chain: the keys of the log.
        sign: signs with the last of them.
        about: the file.
        recipient: to whom it is sealed.
    """
    letter = Letter(
        format=FORMAT,
        vkey=chain.first.vkey,
        handovers=[handover.note for handover in chain.handovers],
        recipient=recipient,
        signature=base64.b64encode(sign(about.statement(chain.first.name, recipient))).decode(),
    )
    return msgspec.json.encode(letter).decode()


def read(text: str | bytes) -> Letter | None:
    """A letter; None if it is none."""
    try:
        return msgspec.json.decode(text, type=Letter)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def verify(letter: Letter, fingerprints: Sequence[str], about: Sealed) -> None:
    """Refuse what was not signed by the registrar whose log has one of these fingerprints.

    Args:
        letter: beside the sealed file.
        fingerprints: of the first key of the log, compared with the operator or on paper.
        about: the file as the reader has it.

    Raises:
        VerificationError: another registrar (`wrong_log_key`), or not signed by it for this file
            (`not_from_registrar`).
    """
    try:
        first = parse_vkey(letter.vkey)
        _require_one(letter.vkey, fingerprints)
        if not first.name.endswith("/registrar"):
            raise _not_from_registrar()
        chain = open_chain(first, letter.handovers)
        signature = base64.b64decode(letter.signature, validate=True)
        verify_ed25519(chain.last.public, about.statement(first.name, letter.recipient), signature)
    except (SignatureError, ValueError):
        raise _not_from_registrar() from None
    except VerificationError as error:
        raise error if error.code == "wrong_log_key" else _not_from_registrar() from None


def _require_one(vkey: str, fingerprints: Sequence[str]) -> None:
    for expected in fingerprints:
        try:
            check_fingerprint(vkey, expected)
        except VerificationError:
            continue
        return
    raise VerificationError(
        "this was signed under another log than the one whose fingerprint was given",
        code="wrong_log_key",
        hint="compare all 32 digits with the operator, by telephone; trustcenter init printed them",
    )


def _not_from_registrar() -> VerificationError:
    return VerificationError(
        "the registrar did not sign this file for this study",
        code="not_from_registrar",
        hint="use nothing of it; check study and release, then ask the operator for the file again",
    )
