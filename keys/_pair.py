"""A private key in a file of its own, whose public half is text that people exchange."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Self

from . import _secretfile, _text, kdf
from ._guard import Guarded, Secret
from .errors import SecretFileError


class KeyPair(Guarded):
    """Base of the keys that are made, kept and compared alike; a subclass says what its secret is."""

    __slots__ = ("_raw", "_secret")
    KIND: ClassVar[str]  # of the file
    WORD: ClassVar[str]  # before the public half
    SECRET: ClassVar[int]  # bytes

    def __init__(self, secret: Secret) -> None:
        """Use `generate` or `load`. A subclass computes the public half, `_raw`."""
        self._secret = secret
        self._raw = b""

    @classmethod
    def generate(cls) -> Self:
        """A fresh one."""
        return cls(Secret(os.urandom(cls.SECRET)))

    @classmethod
    def load(cls, path: Path, passphrase: bytes | None = None) -> Self:
        """From a file.

        Raises:
            SecretFileError, SecretFileDamagedError, WrongPassphraseError, PassphraseError: see the spec.
        """
        read = _secretfile.parse(_secretfile.load(path), cls.KIND, ["public"], cls.SECRET, passphrase)
        key = cls(read.secret)
        if read.fields != (key.public,):
            raise SecretFileError("the public key does not belong to the private one", where="public")
        return key

    def save(self, path: Path, passphrase: bytes | None = None, *, profile: kdf.KdfProfile = kdf.DEFAULT_KDF) -> None:
        """To a new file, mode 0600.

        Raises:
            SecretFileExistsError: there is one.
            SecretFileError, PassphraseError: it cannot be written, or the passphrase is too short.
        """
        fields = [("public", self.public)]
        _secretfile.save(path, _secretfile.dump(self.KIND, fields, self._secret, passphrase, profile))

    @property
    def public(self) -> str:
        """What others are given: WORD, a colon, and the public half with a checksum."""
        return _text.format_public(self.WORD, self._raw)

    @property
    def fingerprint(self) -> str:
        """Of the public key, for comparison over another channel."""
        return _text.fingerprint(self.WORD, self._raw)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.fingerprint} (redacted)>"
