"""M2: receipts of uploads, and which key the comparator signs them with (docs/spec/rooms.md).

The key is rotated as that of a log is: the old one signs the new one. A receipt carries these handovers, so whoever
knows one key of the comparator, a site or the registrar, knows every later one without asking.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from trustcenter.errors import VerificationError

from .common import Hex16, Hex32, Message, Name, Positive

HANDOVERS_MAX: Final = 16  # the newest that go with a receipt
_Signature = Annotated[str, msgspec.Meta(max_length=100)]


class KeyHandover(Message, frozen=True, kw_only=True):
    """The word of one receipt key that another follows it; both sign."""

    before: Hex32
    after: Hex32
    by_before: _Signature
    by_after: _Signature

    def signed_bytes(self) -> bytes:
        """The bytes under both signatures, one field per line."""
        return f"trustcenter/receipt-key/1\n{self.before}\n{self.after}\n".encode()

    @classmethod
    def sign(
        cls, before: bytes, sign_before: Callable[[bytes], bytes], after: bytes, sign_after: Callable[[bytes], bytes]
    ) -> KeyHandover:
        """Hand over from one key to the next."""
        blank = cls(before=before.hex(), after=after.hex(), by_before="", by_after="")
        said = blank.signed_bytes()
        return msgspec.structs.replace(
            blank,
            by_before=base64.b64encode(sign_before(said)).decode(),
            by_after=base64.b64encode(sign_after(said)).decode(),
        )

    def verify(self) -> None:
        """Both keys signed it.

        Raises:
            VerificationError: one did not.
        """
        for key, signature in ((self.before, self.by_before), (self.after, self.by_after)):
            _verify(bytes.fromhex(key), self.signed_bytes(), signature)


class Receipt(Message, frozen=True, kw_only=True, omit_defaults=True):
    """M2: the comparator's word for an upload it holds. `root`: over the sorted refs, 256 to a leaf (`refs_root`)."""

    study: Name
    version: int
    source: Name
    upload: Hex16
    rows: Positive
    root: Hex32
    sequence: Positive
    signature: str
    handovers: list[KeyHandover] = msgspec.field(default_factory=list)  # of the receipt key, oldest first

    def signed_bytes(self) -> bytes:
        """The bytes under the signature: every field but the signature, one per line."""
        lines = (
            "trustcenter/receipt/2",
            self.study,
            str(self.version),
            self.source,
            self.upload,
            str(self.rows),
            self.root,
            str(self.sequence),
        )
        return ("\n".join(lines) + "\n").encode()

    def key_chain(self) -> list[bytes]:
        """The receipt keys that this receipt tells of, oldest first; the last of them signed it. [] if never rotated.

        Raises:
            VerificationError: a handover does not hold, does not follow the one before, or leads back.
        """
        found: list[str] = [one.before for one in self.handovers[:1]]
        if len(self.handovers) > HANDOVERS_MAX:
            raise _bad()
        for one in self.handovers:
            if one.before != found[-1] or one.after in found:
                raise _bad()
            one.verify()
            found.append(one.after)
        return [bytes.fromhex(key) for key in found]

    def verify(self, known: bytes) -> None:
        """The comparator signed it, with a key that is known or that leads from the known one.

        Raises:
            VerificationError: it did not.
        """
        keys = self.key_chain() or [known]
        if known not in keys:
            raise _bad()
        _verify(keys[-1], self.signed_bytes(), self.signature)


def _verify(key: bytes, said: bytes, signature: str) -> None:
    from keys.errors import KeysError  # loaded by those who have a receipt only
    from keys.personal import verify_ed25519

    try:
        verify_ed25519(key, said, base64.b64decode(signature, validate=True))
    except (KeysError, ValueError):
        raise _bad() from None


def _bad() -> VerificationError:
    return VerificationError(
        "this receipt was not signed by the comparator",
        code="bad_receipt",
        hint="nothing counts yet; tell the operator",
        where="receipt",
    )
