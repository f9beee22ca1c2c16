"""Header and sealing of the key store file: docs/spec/key-store.md, sections 1 and 2."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import kdf
from ._guard import Secret
from .errors import KeyStoreDamagedError, WrongPassphraseError

MAGIC: Final = b"TCKEYST\n"
FORMAT: Final = 1
ARGON2ID: Final = 1
AES_256_GCM: Final = 1
HEADER_BYTES: Final = 112
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
LABEL: Final = "trustcenter/key-store/1"
_FIELDS: Final = struct.Struct(">8sHBBIII16s16sQ16s12sI")
_DIGEST_BYTES: Final = 16
_TAG_BYTES: Final = 16
assert _FIELDS.size + _DIGEST_BYTES == HEADER_BYTES


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a header that vary. None of them is secret.

    Attributes:
        profile: Argon2id cost.
        salt: 16 bytes.
        store_id: 16 bytes.
        generation: 1..
        check: 16 bytes, the passphrase check value.
        nonce: 12 bytes.
        sealed_bytes: length of the sealed content.
    """

    profile: kdf.KdfProfile
    salt: bytes
    store_id: bytes
    generation: int
    check: bytes
    nonce: bytes
    sealed_bytes: int

    def pack(self) -> bytes:
        """The 112 bytes."""
        fields = _FIELDS.pack(
            MAGIC,
            FORMAT,
            ARGON2ID,
            AES_256_GCM,
            self.profile.memory_kib,
            self.profile.iterations,
            self.profile.lanes,
            self.salt,
            self.store_id,
            self.generation,
            self.check,
            self.nonce,
            self.sealed_bytes,
        )
        return fields + _header_digest(fields)


def _header_digest(fields: bytes) -> bytes:
    return hashlib.sha256(f"{LABEL}/header\0".encode("ascii") + fields).digest()[:_DIGEST_BYTES]


def parse_header(file: bytes) -> Header:
    """Read and bound a header before anything is spent on it.

    Raises:
        KeyStoreDamagedError: not a key store, damaged, or asking for too much.
    """
    if not file.startswith(MAGIC):
        raise KeyStoreDamagedError("this file is not a key store", where="magic")
    if len(file) < HEADER_BYTES + _TAG_BYTES:
        raise KeyStoreDamagedError("the key store was cut short", where="header")
    fields, digest = file[: _FIELDS.size], file[_FIELDS.size : HEADER_BYTES]
    _, version, derivation, sealing, memory, iterations, lanes, *rest = _FIELDS.unpack(fields)
    if version != FORMAT:
        raise KeyStoreDamagedError(
            "the key store has a format this program does not know",
            hint="it was written by a newer version, or changed",
            where="version",
        )
    if not hmac.compare_digest(digest, _header_digest(fields)):
        raise KeyStoreDamagedError("the header of the key store was changed", where="header")
    if (derivation, sealing) != (ARGON2ID, AES_256_GCM):
        raise KeyStoreDamagedError("the key store names an unknown algorithm", where="algorithms")
    profile = kdf.KdfProfile(memory, iterations, lanes)
    if not profile.within_bounds():
        raise KeyStoreDamagedError(
            "the key store asks for a key derivation outside the allowed bounds", where="key derivation"
        )
    header = Header(profile, *rest)
    if header.generation < 1:
        raise KeyStoreDamagedError("the key store has no generation", where="generation")
    if len(file) != HEADER_BYTES + header.sealed_bytes:
        raise KeyStoreDamagedError("the key store was cut short or extended", where="length")
    return header


def seal(
    content: Secret, keys: kdf.PassphraseKeys, profile: kdf.KdfProfile, salt: bytes, store_id: bytes, generation: int
) -> bytes:
    """The whole file for a content. Each call draws a new nonce, which is why the key may be kept."""
    header = Header(profile, salt, store_id, generation, keys.check, os.urandom(12), len(content) + _TAG_BYTES)
    packed = header.pack()
    return packed + AESGCM(keys.seal.reveal()).encrypt(header.nonce, content.reveal(), packed)


def unlock(header: Header, passphrase: bytes) -> kdf.PassphraseKeys:
    """Derive the keys and compare the check value.

    Raises:
        WrongPassphraseError: they differ.
    """
    keys = kdf.derive(passphrase, header.salt, header.profile, LABEL)
    if not hmac.compare_digest(keys.check, header.check):
        hint = "is it this key store's? a final line break in a file is ignored, a blank is not"
        raise WrongPassphraseError("the passphrase does not open the key store", hint=hint, where="passphrase")
    return keys


def unseal(file: bytes, header: Header, keys: kdf.PassphraseKeys) -> Secret:
    """The content.

    Raises:
        KeyStoreDamagedError: any bit of header or content was changed.
    """
    try:
        return Secret(AESGCM(keys.seal.reveal()).decrypt(header.nonce, file[HEADER_BYTES:], file[:HEADER_BYTES]))
    except InvalidTag:
        raise KeyStoreDamagedError(
            "the key store was changed after it was saved", hint="restore it from a backup", where="content"
        ) from None
