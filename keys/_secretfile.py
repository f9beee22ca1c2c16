"""Text files for secrets that people keep: docs/spec/secret-files.md."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import _files, kdf
from ._guard import Secret
from ._text import check_characters, from_base64url, to_base64url
from .errors import (
    PassphraseError,
    SecretFileDamagedError,
    SecretFileError,
    SecretFileExistsError,
    SecretFilePermissionError,
    WrongPassphraseError,
)
from .passphrase import ExposedError, read_private

FIRST_LINE: Final = "trustcenter-secret-file 1"
LABEL: Final = "trustcenter/secret-file/1"
MAX_BYTES: Final = 16 * 1024
_NONCE_BYTES: Final = 12
_ARGON2ID: Final = re.compile(
    "argon2id m=([1-9][0-9]{0,9}) t=([1-9][0-9]{0,9}) p=([1-9][0-9]{0,9})"
    " salt=([A-Za-z0-9_-]{22}) test=([A-Za-z0-9_-]{22})"
)


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was read.

    Attributes:
        fields: the values of the fields that the kind has, in order.
        secret: the bytes; a Secret prints none.
    """

    fields: tuple[str, ...]
    secret: Secret


def dump(
    kind: str,
    fields: Sequence[tuple[str, str]],
    secret: Secret,
    passphrase: bytes | None = None,
    profile: kdf.KdfProfile = kdf.DEFAULT_KDF,
) -> Secret:
    """The content of a file. It is secret unless there is a passphrase."""
    lines = [FIRST_LINE, f"kind: {kind}", *(f"{name}: {value}" for name, value in fields)]
    if passphrase is None:
        head = _join([*lines, "protection: none"])
        # In one expression, so that no local variable holds the secret.
        return Secret(_with_check(head + b"material: " + to_base64url(secret.reveal()).encode("ascii") + b"\n"))
    kdf.require_good_passphrase(passphrase)
    salt = os.urandom(kdf.SALT_BYTES)
    keys = kdf.derive(passphrase, salt, profile, LABEL)
    protection = (
        f"argon2id m={profile.memory_kib} t={profile.iterations} p={profile.lanes}"
        f" salt={to_base64url(salt)} test={to_base64url(keys.check)}"
    )
    head = _join([*lines, f"protection: {protection}"])
    nonce = os.urandom(_NONCE_BYTES)
    sealed = nonce + AESGCM(keys.seal.reveal()).encrypt(nonce, secret.reveal(), head)
    return Secret(_with_check(head + _join([f"material: {to_base64url(sealed)}"])))


def parse(content: Secret, kind: str, names: Sequence[str], size: int, passphrase: bytes | None = None) -> Read:
    """Read the content of a file of one kind.

    Args:
        content: the file.
        kind: the kind that is expected.
        names: of the fields of that kind, in order.
        size: of the secret in bytes.
        passphrase: for a protected file; not used otherwise.

    Raises:
        SecretFileError: not a secret file of that kind.
        SecretFileDamagedError: changed.
        PassphraseError: protected, and no passphrase was given.
        WrongPassphraseError: another passphrase.
    """
    values = _values(content, kind, [*names, "protection", "material"])
    protection = values[-2]
    if protection == "none":
        secret = Secret(_base64url(values, -1))
    else:
        # The lines before the material are what the seal is bound to; none of them is secret.
        head = content.reveal()[: content.reveal().index(b"\nmaterial: ") + 1]
        secret = _open(head, protection, _base64url(values, -1), passphrase)
    if len(secret) != size:
        raise SecretFileError("the secret has a wrong length", where="material")
    return Read(tuple(values[:-2]), secret)


def save(path: Path, content: Secret) -> None:
    """Create the file with mode 0600, durable on return.

    Raises:
        SecretFileExistsError: there is one; it is not touched.
        SecretFileError: it cannot be written.
    """
    try:
        _files.create(path, content)
    except FileExistsError:
        raise SecretFileExistsError(
            "a file with this name exists already", hint="move it away, or choose another name", where="path"
        ) from None
    except OSError:
        raise SecretFileError("the secret file cannot be written", where="path") from None


def load(path: Path) -> Secret:
    """The content of a file that only its owner can read.

    Raises:
        SecretFilePermissionError: others can read it.
        SecretFileError: it cannot be read.
    """
    try:
        return Secret(read_private(path, MAX_BYTES))
    except ExposedError:
        raise SecretFilePermissionError(
            "others can read or change the secret file", hint="chmod 600 and let it be your own", where="path"
        ) from None
    except FileNotFoundError:
        raise SecretFileError(
            "the secret file does not exist", hint="check the name and the directory", where="path"
        ) from None
    except (OSError, ValueError):
        raise SecretFileError("the secret file cannot be read", where="path") from None


class _Lines(list[str]):
    """Lines of a secret file; tracebacks that show local variables show none of them."""

    def __repr__(self) -> str:
        return f"<{len(self)} lines (redacted)>"


def _values(content: Secret, kind: str, names: Sequence[str]) -> _Lines:
    """The values of the lines between kind and check, in the order of `names`."""
    try:
        lines = _Lines(content.reveal().decode("ascii").split("\n"))
    except UnicodeDecodeError:
        raise SecretFileError("this is not a secret file", where="line 1") from None
    if lines[0] != FIRST_LINE:
        raise SecretFileError("this is not a secret file of a known version", where="line 1")
    if len(lines) < 4 or lines[-1] != "" or not lines[-2].startswith("check: "):
        raise SecretFileDamagedError("the secret file was cut short", where="check")
    checked = content.reveal().rindex(b"\ncheck: ") + 1
    if not hmac.compare_digest(_with_check(content.reveal()[:checked]), content.reveal()):
        raise SecretFileDamagedError(
            "the check characters of the secret file do not fit",
            hint="it was edited or damaged: take it from its backup",
            where="check",
        )
    if lines[1] != f"kind: {kind}":
        raise SecretFileError(
            f"this secret file is of another kind than {kind}", hint="name the other file", where="kind"
        )
    if len(lines) != len(names) + 4:
        raise SecretFileError("the secret file has not the lines of its kind", where="lines")
    values = _Lines()
    for number, (name, line) in enumerate(zip(names, lines[2:-2], strict=True), start=3):
        if not line.startswith(f"{name}: "):
            raise SecretFileError("the secret file has an unexpected line", where=f"line {number}")
        values.append(line.removeprefix(f"{name}: "))
    return values


def _open(head: bytes, protection: str, sealed: bytes, passphrase: bytes | None) -> Secret:
    match = _ARGON2ID.fullmatch(protection)
    if match is None:
        raise SecretFileError("the secret file names an unknown protection", where="protection")
    profile = kdf.KdfProfile(int(match[1]), int(match[2]), int(match[3]))
    if not profile.within_bounds():
        raise SecretFileError(
            "the secret file asks for a key derivation outside the allowed bounds", where="protection"
        )
    if passphrase is None:
        raise PassphraseError("the secret file is protected by a passphrase", where="passphrase")
    keys = kdf.derive(passphrase, _base64url(match.groups(), 3), profile, LABEL)
    if not hmac.compare_digest(keys.check, _base64url(match.groups(), 4)):
        raise WrongPassphraseError("the passphrase does not open the secret file", where="passphrase")
    try:
        return Secret(AESGCM(keys.seal.reveal()).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], head))
    except (InvalidTag, ValueError):
        raise SecretFileDamagedError("the secret file was changed", where="material") from None


def _base64url(values: Sequence[str], index: int) -> bytes:
    try:
        return from_base64url(values[index])
    except ValueError:
        raise SecretFileError("the secret file has text that is not base64url") from None


def _with_check(text: bytes) -> bytes:
    return text + b"check: " + check_characters(LABEL, text).encode("ascii") + b"\n"


def _join(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("ascii")
