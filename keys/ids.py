"""Names of keys: scope, purpose, version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .errors import InvalidKeyIdError

INSTANCE: Final = "instance"
_SCOPE: Final = re.compile(r"instance|domain:[0-9a-f]{32}")
_DOMAIN: Final = re.compile(r"[0-9a-f]{32}")
MAX_VERSION: Final = 2**31 - 1
MAX_PSEUDONYM_VERSION: Final = 255


class Purpose(StrEnum):
    """What a key is for; it does nothing else."""

    PSEUDONYM = "pseudonym"
    LOOKUP = "lookup"
    DATA = "data"
    AUDIT = "audit"
    STATE = "state"
    RECEIPT = "receipt"
    TRANSPORT = "transport"
    ISSUE = "issue"


# These have operations of their own and belong to one domain; the others sign and authenticate messages.
DOMAIN_PURPOSES: Final = frozenset({Purpose.PSEUDONYM, Purpose.LOOKUP, Purpose.DATA})


@dataclass(frozen=True, slots=True, order=True)
class KeyId:
    """Which key.

    Attributes:
        scope: "instance", or "domain:" and the domain's UUID as 32 lower-case hex digits.
        purpose: what it is for.
        version: 1.., at most 255 for pseudonym keys.

    Raises:
        InvalidKeyIdError: on construction.
    """

    scope: str
    purpose: Purpose
    version: int

    def __post_init__(self) -> None:
        if not isinstance(self.scope, str) or not _SCOPE.fullmatch(self.scope):
            raise InvalidKeyIdError('a scope is "instance" or "domain:" and 32 hex digits', where="scope")
        if not isinstance(self.purpose, Purpose):
            raise InvalidKeyIdError("a purpose is a member of Purpose", where="purpose")
        if self.purpose in DOMAIN_PURPOSES and self.scope == INSTANCE:
            raise InvalidKeyIdError("a key with this purpose belongs to a domain", where="scope")
        limit = MAX_PSEUDONYM_VERSION if self.purpose is Purpose.PSEUDONYM else MAX_VERSION
        if type(self.version) is not int or not 1 <= self.version <= limit:
            raise InvalidKeyIdError("a key version is 1 or more, for pseudonym keys at most 255", where="version")


def domain_scope(domain: str) -> str:
    """The scope of a domain given as 32 lower-case hex digits.

    Raises:
        InvalidKeyIdError: anything else.
    """
    if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain):
        raise InvalidKeyIdError("a domain is 32 lower-case hex digits", where="domain")
    return f"domain:{domain}"
