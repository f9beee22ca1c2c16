"""The two secrets of a site, and the subkeys that come from them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from linkage.errors import SecretsError
from linkage.prf import Prf, lp, subkey

_WRITTEN = re.compile(rb"[A-Za-z0-9 _.,:;!?+/=-]*")
_HINT = "32 random bytes; `trustcenter linkage secret` makes them"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What an encoding is made under. The repr shows neither secret.

    Attributes:
        study_secret: 32 bytes, shared by the sites of a study version.
        site_key: 32 bytes, of this site in this study.
        study: name of the study.
        version: version of the study secret.

    Raises:
        SecretsError: not 32 bytes, or text; the two alike; no possible version.
    """

    study_secret: bytes = field(repr=False)
    site_key: bytes = field(repr=False)
    study: str
    version: int

    def __post_init__(self) -> None:
        for name, secret in (("study secret", self.study_secret), ("site key", self.site_key)):
            if len(secret) != 32:
                raise SecretsError(f"the {name} has not 32 bytes", hint=_HINT)
            # 32 random bytes look like this once in 10^18; whoever knows a word list tries all of it in minutes.
            if _WRITTEN.fullmatch(secret):
                raise SecretsError(f"the {name} is text, which can be guessed", hint=_HINT)
        if self.study_secret == self.site_key:
            raise SecretsError("the study secret and the site key are the same", hint=_HINT)
        if not 0 <= self.version < 2**32:
            raise SecretsError("a version is 0 to 2**32-1")

    def shared(self, label: str) -> bytes:
        """Subkey of the study secret: "gram", "token", "row" or "stream"."""
        return subkey(self.study_secret, label, self.study, self.version)

    def own(self, label: str) -> bytes:
        """Subkey of the site key: "ref", or "dummy", which a new version renews."""
        return subkey(self.site_key, label, self.study, self.version if label == "dummy" else 0)


def record_numbers(secret: Secrets | bytes, study: str, ids: Sequence[str]) -> NDArray[np.uint8]:
    """The record numbers of hospital ids in one study (specification, section 3); they outlive versions.

    Args:
        secret: the site key (32 bytes) or the secrets that hold it.
        study: name of the study.
        ids: hospital ids.

    Returns:
        (n, 16) u1 in the order of `ids`.
    """
    site_key = secret.site_key if isinstance(secret, Secrets) else secret
    prf = Prf(subkey(site_key, "record", study))
    digests = prf.many(lp(i.encode()) for i in ids)
    return np.frombuffer(bytearray(b"".join([d[:16] for d in digests])), np.uint8).reshape(-1, 16)
