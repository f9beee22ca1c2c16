"""The two secrets of a site: the study secret it shares, the site key it keeps. docs/spec/secret-files.md."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from . import _secretfile, kdf
from ._guard import Guarded, Secret
from ._text import grouped
from .errors import SecretFileError
from .ids import MAX_VERSION

SECRET_BYTES: Final = 32
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")
_MAX_NAME: Final = 63


class StudySecret(Guarded):
    """What the sites of a study version share; a fresh random value for each (study, version).

    Attributes:
        study: name of the study.
        version: of the study, 1..
    """

    __slots__ = ("_secret", "study", "version")
    KIND: Final = "study-secret"

    def __init__(self, study: str, version: int, secret: Secret) -> None:
        """Use `generate` or `load`."""
        if len(study) > _MAX_NAME or not _NAME.fullmatch(study):
            raise SecretFileError(
                "a study name has lower-case letters, digits and single hyphens, at most 63", where="study"
            )
        if type(version) is not int or not 1 <= version <= MAX_VERSION:
            raise SecretFileError("a study version is 1 or more", where="version")
        self.study = study
        self.version = version
        self._secret = secret

    @classmethod
    def generate(cls, study: str, version: int) -> StudySecret:
        """A fresh one.

        Raises:
            SecretFileError: no possible name or version.
        """
        return cls(study, version, Secret(os.urandom(SECRET_BYTES)))

    @classmethod
    def load(cls, path: Path, passphrase: bytes | None = None) -> StudySecret:
        """From a file.

        Raises:
            SecretFileError, SecretFileDamagedError, WrongPassphraseError, PassphraseError: see the spec.
        """
        return cls._parse(_secretfile.load(path), passphrase)

    @classmethod
    def loads(cls, content: bytes) -> StudySecret:
        """From the bytes that `dumps` gave, as they come out of a sealed message."""
        return cls._parse(Secret(content), None)

    @classmethod
    def _parse(cls, content: Secret, passphrase: bytes | None) -> StudySecret:
        read = _secretfile.parse(content, cls.KIND, ["study", "version"], SECRET_BYTES, passphrase)
        study, version = read.fields
        if not _NUMBER.fullmatch(version):
            raise SecretFileError("a study version is 1 or more", where="version")
        return cls(study, int(version), read.secret)

    def save(self, path: Path, passphrase: bytes | None = None, *, profile: kdf.KdfProfile = kdf.DEFAULT_KDF) -> None:
        """To a new file, mode 0600.

        Raises:
            SecretFileExistsError: there is one.
            SecretFileError, PassphraseError: it cannot be written, or the passphrase is too short.
        """
        _secretfile.save(path, self._dump(passphrase, profile))

    def dumps(self) -> bytes:
        """The content of an unprotected file: to be sealed to other sites, never sent as it is."""
        return self._dump(None, kdf.DEFAULT_KDF).reveal()

    def _dump(self, passphrase: bytes | None, profile: kdf.KdfProfile) -> Secret:
        fields = [("study", self.study), ("version", str(self.version))]
        return _secretfile.dump(self.KIND, fields, self._secret, passphrase, profile)

    @property
    def material(self) -> bytes:
        """The 32 bytes."""
        return self._secret.reveal()

    @property
    def fingerprint(self) -> str:
        """What sites read to each other before the first upload; reveals nothing."""
        label = f"trustcenter/study-secret/1/fingerprint\0{self.study}\0{self.version}"
        return grouped(kdf.expand(self._secret, label, 13))

    def confirmation(self, member: str) -> str:
        """What a member shows to others that hold the secret, 64 hex digits: docs/spec/secret-relay.md, section 4."""
        label = f"trustcenter/study-secret/1/confirmation\0{self.study}\0{self.version}\0{member}"
        return kdf.expand(self._secret, label, 32).hex()

    def __repr__(self) -> str:
        return f"<StudySecret {self.study} version {self.version} (redacted)>"


class SiteKey(Guarded):
    """What one site keeps: record numbers and refs come from it. It never leaves the site."""

    __slots__ = ("_secret",)
    KIND: Final = "site-key"

    def __init__(self, secret: Secret) -> None:
        """Use `generate` or `load`."""
        self._secret = secret

    @classmethod
    def generate(cls) -> SiteKey:
        """A fresh one."""
        return cls(Secret(os.urandom(SECRET_BYTES)))

    @classmethod
    def load(cls, path: Path, passphrase: bytes | None = None) -> SiteKey:
        """From a file.

        Raises:
            SecretFileError, SecretFileDamagedError, WrongPassphraseError, PassphraseError: see the spec.
        """
        return cls(_secretfile.parse(_secretfile.load(path), cls.KIND, [], SECRET_BYTES, passphrase).secret)

    @classmethod
    def loads(cls, content: bytes) -> SiteKey:
        """From the bytes that `dumps` gave, as they come out of a sealed message."""
        return cls(_secretfile.parse(Secret(content), cls.KIND, [], SECRET_BYTES, None).secret)

    def dumps(self) -> bytes:
        """The content of an unprotected file: to be sealed to a recovery key, never kept or sent as it is."""
        return _secretfile.dump(self.KIND, [], self._secret).reveal()

    def save(self, path: Path, passphrase: bytes | None = None, *, profile: kdf.KdfProfile = kdf.DEFAULT_KDF) -> None:
        """To a new file, mode 0600; errors as `StudySecret.save`."""
        _secretfile.save(path, _secretfile.dump(self.KIND, [], self._secret, passphrase, profile))

    def fingerprint(self, site: str) -> str:
        """What tells this key of a site from another; reveals nothing (docs/spec/secret-relay.md, section 6)."""
        return grouped(kdf.expand(self._secret, f"trustcenter/site-key/1/fingerprint\0{site}", 13))

    @property
    def material(self) -> bytes:
        """The 32 bytes."""
        return self._secret.reveal()
