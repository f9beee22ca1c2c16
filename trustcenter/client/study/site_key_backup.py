"""A site key, sealed to a recovery key that is kept offline: docs/spec/secret-relay.md, section 6."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from keys import hybrid
from keys.hybrid import RecipientKey
from keys.secretfiles import SiteKey
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing
from trustcenter.errors import VerificationError

from .secret_relay import plain

_LABEL: Final = "trustcenter/site-key-recovery/1"
_MAX_BYTES: Final = 16 * 2**10


def seal_site_key(key: SiteKey, site: str, recovery: str, target: Path, *, force: bool = False) -> str:
    """Seal a site key; the fingerprint of the recovery key.

    Args:
        key: of the site.
        site: its name, which is needed to open.
        recovery: public key of the recovery key, "tc-recipient-1:…".
        target: the new file. Its content is no secret.
        force: replace a file.

    Raises:
        InvalidPublicKeyError: no such key.
        LocalFileError: the file exists or cannot be written.
    """
    sealed = hybrid.seal(recovery, key.dumps(), _info(site))
    with replacing(target, force=force) as stream:
        stream.write(sealed)
    return hybrid.fingerprint(recovery)


def open_site_key(sealed: Path, site: str, recovery: RecipientKey) -> SiteKey:
    """The site key of a sealed file. Whoever knows the public recovery key can have sealed it: compare its fingerprint.

    Raises:
        LocalFileError: it cannot be read.
        WrongRecipientError, SealError: another recovery key; changed, or another site's.
    """
    try:
        with sealed.open("rb") as stream:
            blob = stream.read(_MAX_BYTES + 1)
    except OSError:
        raise LocalFileError("the sealed site key cannot be read", code="unreadable_file") from None
    return SiteKey.loads(recovery.open(blob, _info(site)))


def require_fingerprint(key: SiteKey, site: str, said: str) -> None:
    """Refuse a recovered key that is not the one whose fingerprint was noted when it was sealed.

    Raises:
        VerificationError: it is another.
    """
    if plain(key.fingerprint(site)) != plain(said):
        raise VerificationError(
            "the sealed copy holds another site key than the one that was noted",
            code="site_key_exchanged",
            hint="use no key from this file: look for an older copy, and for who can write where the copies lie",
        )


def _info(site: str) -> bytes:
    return f"{_LABEL}\0{site}".encode()
