"""Inner blocks and the permutation: docs/spec/pseudonym-computed.md, sections 2 and 3."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from keys.errors import InvalidBatchError, InvalidKeyIdError

BLOCK_BYTES: Final = 16
NONCE_BYTES: Final = 5
KEY_BYTES: Final = 32
EPOCH_BITS: Final = 12
COUNTER_BITS: Final = 36
MAX_EPOCH: Final = (1 << EPOCH_BITS) - 1
MAX_COUNTER: Final = (1 << COUNTER_BITS) - 1
MAX_VERSION: Final = 255

_CHECK_LABEL: Final = b"trustcenter/pseudonym/1/check\0"
_DOMAIN: Final = re.compile(r"[0-9a-f]{32}")

_VERSION_AT: Final = 0
_CHECK_AT: Final = slice(1, 5)
_SERIAL_AT: Final = slice(5, 11)
_NONCE_AT: Final = slice(11, 16)


def join_serial(epoch: int, counter: int) -> int:
    """The 48-bit serial of a row.

    Raises:
        InvalidBatchError: epoch not 0..4095 or counter not 1..2^36-1.
    """
    if not 0 <= epoch <= MAX_EPOCH:
        raise InvalidBatchError("the epoch is not 0 to 4095", where="epoch")
    if not 1 <= counter <= MAX_COUNTER:
        raise InvalidBatchError("the counter is not 1 to 2^36 - 1", where="counter")
    return (epoch << COUNTER_BITS) | counter


def split_serial(serial: int) -> tuple[int, int]:
    """Epoch and counter of a serial; the inverse of `join_serial`."""
    if not 0 <= serial < 1 << (EPOCH_BITS + COUNTER_BITS):
        raise InvalidBatchError("the serial is not a 48-bit number", where="serial")
    return serial >> COUNTER_BITS, serial & MAX_COUNTER


def prp_blocks(key: bytes, blocks: NDArray[np.uint8], *, inverse: bool = False) -> NDArray[np.uint8]:
    """AES-256 as a permutation of single unique blocks; the only place that does this.

    Args:
        key: 32 bytes.
        blocks: uint8 (n, 16).
        inverse: decipher instead of encipher.

    Returns:
        uint8 (n, 16), a new array.

    Raises:
        InvalidBatchError: wrong shape, dtype or key length.
    """
    _require_blocks(blocks, "blocks")
    if len(key) != KEY_BYTES:
        raise InvalidBatchError("a permutation key has 32 bytes", where="key")
    # The named deviation of the suite: equal blocks never occur, because each holds its own serial,
    # so the one weakness of this mode has nothing to show. Never call it on anything else.
    cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305
    context = cipher.decryptor() if inverse else cipher.encryptor()
    # update_into asks for a spare block of room even in a mode that never uses it.
    out = np.empty(blocks.size + BLOCK_BYTES - 1, np.uint8)
    written = context.update_into(np.ascontiguousarray(blocks).data.cast("B"), out.data) if blocks.size else 0
    assert written == blocks.size
    return out[: blocks.size].reshape(-1, BLOCK_BYTES)


def inner_blocks(
    h: bytes,
    domain: str,
    version: int,
    serials: NDArray[np.uint64],
    nonces: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """X of each row: its plain block under the domain's own key H.

    Args:
        h: the domain's 32 bytes from the database.
        domain: UUID as 32 lower-case hex digits.
        version: key version, 1..255.
        serials: uint64 (n,), epoch and counter; counter >= 1.
        nonces: uint8 (n, 5).

    Returns:
        uint8 (n, 16).

    Raises:
        InvalidBatchError, InvalidKeyIdError: see the argument.
    """
    check = _domain_check(domain)
    _require_version(version)
    if serials.dtype != np.uint64 or serials.ndim != 1:
        raise InvalidBatchError("serials are a vector of uint64", where="serials")
    if nonces.dtype != np.uint8 or nonces.shape != (len(serials), NONCE_BYTES):
        raise InvalidBatchError("there is one nonce of 5 bytes for each serial", where="nonces")
    if bool((serials >> np.uint64(EPOCH_BITS + COUNTER_BITS)).any()):
        raise InvalidBatchError("a serial has more than 48 bits", where="serials")
    if not bool((serials & np.uint64(MAX_COUNTER)).all()):
        raise InvalidBatchError("a counter is zero", where="serials")
    plain = np.empty((len(serials), BLOCK_BYTES), np.uint8)
    plain[:, _VERSION_AT] = version
    plain[:, _CHECK_AT] = check
    plain[:, _SERIAL_AT] = serials.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:]
    plain[:, _NONCE_AT] = nonces
    return prp_blocks(h, plain)


@dataclass(frozen=True, slots=True)
class Opened:
    """What `open_inner` found.

    Attributes:
        serial: uint64 (n,), 0 where not ok.
        nonce: uint8 (n, 5), zeros where not ok.
        ok: bool (n,): version, check and counter are right.
    """

    serial: NDArray[np.uint64]
    nonce: NDArray[np.uint8]
    ok: NDArray[np.bool_]


def open_inner(h: bytes, domain: str, version: int, x: NDArray[np.uint8]) -> Opened:
    """Decipher X under H and test it; blocks of other domains, versions or forgeries are not ok.

    Args:
        h: the domain's 32 bytes from the database.
        domain: UUID as 32 lower-case hex digits.
        version: the key version that deciphered C to X.
        x: uint8 (n, 16).

    Raises:
        InvalidBatchError, InvalidKeyIdError: see the argument.
    """
    check = _domain_check(domain)
    _require_version(version)
    plain = prp_blocks(h, x, inverse=True)
    wide = np.zeros((len(plain), 8), np.uint8)
    wide[:, 2:] = plain[:, _SERIAL_AT]
    serial = wide.view(">u8").reshape(-1).astype(np.uint64)
    ok = (
        (plain[:, _VERSION_AT] == version)
        & (plain[:, _CHECK_AT] == check).all(axis=1)
        & ((serial & np.uint64(MAX_COUNTER)) != 0)
    )
    nonce = plain[:, _NONCE_AT].copy()
    # What did not open is noise or another domain's: nobody downstream should be able to use it.
    serial[~ok] = 0
    nonce[~ok] = 0
    return Opened(serial=serial, nonce=nonce, ok=ok)


def _domain_check(domain: str) -> NDArray[np.uint8]:
    if not _DOMAIN.fullmatch(domain):
        raise InvalidKeyIdError("a domain is 32 lower-case hex digits", where="domain")
    digest = hashlib.sha256(_CHECK_LABEL + bytes.fromhex(domain)).digest()
    return np.frombuffer(digest[:4], np.uint8)


def _require_version(version: int) -> None:
    if not 1 <= version <= MAX_VERSION:
        raise InvalidKeyIdError("a key version is 1 to 255", where="version")


def _require_blocks(blocks: NDArray[np.uint8], where: str) -> None:
    if blocks.dtype != np.uint8 or blocks.ndim != 2 or blocks.shape[1] != BLOCK_BYTES:
        raise InvalidBatchError("blocks are an array of uint8 with 16 columns", where=where)
