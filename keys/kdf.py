"""Argon2id profiles and the keys derived from a passphrase: docs/spec/key-store.md, sections 1 and 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ._guard import Guarded, Secret
from .errors import PassphraseError

SALT_BYTES: Final = 16
MIN_PASSPHRASE_BYTES: Final = 12
MAX_PASSPHRASE_BYTES: Final = 1024

MAX_MEMORY_KIB: Final = 256 * 1024
MAX_LANES: Final = 16
MAX_ITERATIONS: Final = 64
MAX_WORK_KIB: Final = 4 * 1024 * 1024  # memory times iterations: some seconds of one core


@dataclass(frozen=True, slots=True)
class KdfProfile:
    """Cost of guessing a passphrase.

    Attributes:
        memory_kib: memory in KiB.
        iterations: passes over it.
        lanes: degree of parallelism.
    """

    memory_kib: int
    iterations: int
    lanes: int

    def within_bounds(self) -> bool:
        """Whether a reader may spend that much on a file it does not know yet."""
        return (
            1 <= self.lanes <= MAX_LANES
            and 8 * self.lanes <= self.memory_kib <= MAX_MEMORY_KIB
            and 1 <= self.iterations <= MAX_ITERATIONS
            and self.memory_kib * self.iterations <= MAX_WORK_KIB
        )


RFC_9106_SECOND: Final = KdfProfile(64 * 1024, 3, 4)  # RFC 9106, section 4, second recommended option
STRONG: Final = KdfProfile(256 * 1024, 4, 4)
CHEAP_FOR_TESTS: Final = KdfProfile(64, 1, 1)  # no protection at all
DEFAULT_KDF: Final = RFC_9106_SECOND


class PassphraseKeys(Guarded):
    """The two keys of a sealed file.

    Attributes:
        seal: 32 bytes for AES-256-GCM.
        check: 16 bytes that stand in the file and tell a wrong passphrase from damage.
    """

    __slots__ = ("check", "seal")

    def __init__(self, seal: Secret, check: bytes) -> None:
        self.seal = seal
        self.check = check


def derive(passphrase: bytes, salt: bytes, profile: KdfProfile, label: str) -> PassphraseKeys:
    """Derive a file's keys.

    Args:
        passphrase: bytes as they are.
        salt: 16 bytes.
        profile: cost; the caller has checked its bounds.
        label: separates kinds of files, "trustcenter/key-store/1".
    """
    root = Secret(
        Argon2id(
            salt=salt,
            length=32,
            iterations=profile.iterations,
            lanes=profile.lanes,
            memory_cost=profile.memory_kib,
        ).derive(passphrase)
    )
    return PassphraseKeys(seal=Secret(expand(root, f"{label}/seal", 32)), check=expand(root, f"{label}/check", 16))


def expand(secret: Secret, label: str, length: int) -> bytes:
    """HKDF-Expand-SHA-256 (RFC 5869) of a secret that is already uniform."""
    return HKDFExpand(algorithm=SHA256(), length=length, info=label.encode("ascii")).derive(secret.reveal())


def require_good_passphrase(passphrase: bytes) -> None:
    """Refuse to seal under a passphrase that is too short or too long.

    Raises:
        PassphraseError: fewer than 12 or more than 1024 bytes.
    """
    if len(passphrase) < MIN_PASSPHRASE_BYTES:
        raise PassphraseError(
            f"a passphrase has at least {MIN_PASSPHRASE_BYTES} bytes",
            hint="six words drawn by dice, or 32 random characters in a file, are good",
            where="passphrase",
        )
    if len(passphrase) > MAX_PASSPHRASE_BYTES:
        raise PassphraseError(f"a passphrase has at most {MAX_PASSPHRASE_BYTES} bytes", where="passphrase")
