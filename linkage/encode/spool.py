"""Pieces of a source on the disk, sealed under a key that this process made and never writes.

The spool of an encoding may hold no value of a person. Normalised values are needed twice, and normalising is slow, so
they go to the disk encrypted (AES-256-GCM): who finds the file after a crash has noise, because the key was in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from linkage.errors import EncodeInputError
from linkage.normalise.further import Further


class Piece(msgspec.Struct, frozen=True):
    """Some records, normalised: what `linkage.encode.encoder.Columns` asks for, and their ids.

    Attributes:
        ids: n hospital ids.
        values: field name → n normalised values.
        components: component name → n parts of block values.
        further: further values.
    """

    ids: Sequence[str]
    values: dict[str, Sequence[str]]
    components: dict[str, Sequence[str]]
    further: Sequence[Further]

    def __repr__(self) -> str:
        return f"Piece(n={self.n})"

    @property
    def n(self) -> int:
        """Number of records."""
        return len(self.ids)


class Spool:
    """Pieces written one after the other, and read in the same order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sealing = AESGCM(os.urandom(32))
        self._sizes: list[int] = []

    def write(self, pieces: Iterable[Piece], see: Callable[[int, bytes], None]) -> Iterator[Piece]:
        """The pieces as they come, each written before it is handed on; `see` gets its size, and its bytes in clear."""
        encoder = msgspec.msgpack.Encoder()
        with self._path.open("xb") as file:
            for piece in pieces:
                plain = encoder.encode(piece)
                see(piece.n, plain)
                sealed = self._sealing.encrypt(self._nonce(len(self._sizes)), plain, None)
                file.write(sealed)
                self._sizes.append(len(sealed))
                yield piece

    def read(self) -> Iterator[Piece]:
        """All of them again.

        Raises:
            EncodeInputError: the file is not as it was written.
        """
        decoder = msgspec.msgpack.Decoder(Piece)
        with self._path.open("rb") as file:
            for number, size in enumerate(self._sizes):
                try:
                    plain = self._sealing.decrypt(self._nonce(number), file.read(size), None)
                except InvalidTag:
                    raise EncodeInputError("the spool was cut or changed while it was used") from None
                yield decoder.decode(plain)

    def remove(self) -> None:
        """Take it from the disk."""
        self._path.unlink()

    @staticmethod
    def _nonce(number: int) -> bytes:
        return number.to_bytes(12, "big")  # the key seals one spool, so a number is used once
