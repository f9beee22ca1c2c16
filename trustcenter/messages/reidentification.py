"""What is signed and what is logged when pseudonyms are re-identified: docs/spec/reidentification.md.

Pure functions of their arguments, shared by the service, the client and whoever checks either.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

CONTEXT: Final = "trustcenter/reidentify/1"  # of the signature over a statement
SALT_BYTES: Final = 16


@dataclass(frozen=True)
class Statement:
    """What an approver signs.

    Attributes:
        instance, reidentification, domain_uuid: 32 hexadecimal digits each.
        domain, site: names.
        reason: the site's, one line.
        pseudonyms: how many.
        digest: of the pseudonyms, see `digest`.
        signatures: how many people must sign.
        fetches: how often the ticket may be used.
        open_until: end of the time for signing.
        valid_hours: life of the ticket, from the last signature on.
    """

    instance: str
    reidentification: str
    domain: str
    domain_uuid: str
    site: str
    reason: str
    pseudonyms: int
    digest: str
    signatures: int
    fetches: int
    open_until: str
    valid_hours: int

    @property
    def text(self) -> str:
        """The bytes that are signed, as text: one line per fact, each ended by a line feed."""
        return "".join(
            f"{line}\n"
            for line in (
                CONTEXT,
                f"instance: {self.instance}",
                f"reidentification: {self.reidentification}",
                f"domain: {self.domain} {self.domain_uuid}",
                f"site: {self.site}",
                f"reason: {self.reason}",
                f"pseudonyms: {self.pseudonyms}",
                f"digest: {self.digest}",
                f"signatures: {self.signatures}",
                f"fetches: {self.fetches}",
                f"open until: {self.open_until}",
                f"valid: {self.valid_hours} hours from the last signature",
            )
        )


def digest(salt: bytes, pseudonyms: Iterable[str]) -> str:
    """Salted digest of a set of pseudonyms, 64 hexadecimal digits; order and repetition do not matter.

    Without the salt nobody can try out short lists, and the salt never leaves registrar and requesting site.
    """
    parts = sorted({pseudonym.encode() for pseudonym in pseudonyms})
    framed = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return hmac.new(salt, b"trustcenter/reidentify/1/digest\0" + framed, "sha256").hexdigest()


def commitment(salt: bytes, domain_uuid: str, reidentification: str, row_id: bytes, pseudonym: str) -> str:
    """What the log says of one released original, 64 hexadecimal digits.

    Args:
        salt: 16 random bytes of this entry alone.
        domain_uuid: 32 hexadecimal digits.
        reidentification: id of the ticket, 32 hexadecimal digits.
        row_id: serial and nonce of the row, 11 bytes (docs/spec/pseudonym-rows.md).
        pseudonym: as it was asked.
    """
    message = b"reidentify\0" + bytes.fromhex(domain_uuid) + bytes.fromhex(reidentification) + row_id
    return hmac.new(salt, message + pseudonym.encode(), "sha256").hexdigest()
