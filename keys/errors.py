"""Every error of `keys`, one tree.

    KeysError
     ├─ KeysUsageError            the call or the file named is wrong
     │   ├─ InvalidKeyIdError, KeyPurposeError, InvalidBatchError
     │   ├─ InvalidPseudonymError
     │   │   ├─ MalformedPseudonymError
     │   │   └─ WrongCheckCharactersError
     │   ├─ InvalidPublicKeyError
     │   ├─ PassphraseError       too short, unreadable, file open to others
     │   ├─ NotCopyableError      an attempt to pickle or copy a secret
     │   └─ SecretFileError       not a secret file of that kind
     │       └─ SecretFilePermissionError
     ├─ UnknownKeyError           no such key
     ├─ KeyDestroyedError         there was one
     ├─ KeyExistsError, KeyStoreExistsError, SecretFileExistsError
     ├─ KeyStoreConflictError, IllegalTransitionError
     ├─ KeyStoreNotFoundError
     ├─ KeyStoreLimitError
     ├─ KeyStoreUnavailableError  the disk refused, or the lock is held
     └─ KeysVerificationError     a proof does not hold
         ├─ WrongPassphraseError, KeyStoreDamagedError, SecretFileDamagedError
         ├─ SealError
         │   └─ WrongRecipientError
         ├─ ShareError
         │   ├─ EnvelopeError
         │   └─ CommitmentError
         └─ SignatureError

Messages, hints and `where` never contain the offending value, a secret or an identifier.
"""

from __future__ import annotations

from typing import ClassVar


class KeysError(Exception):
    """Base of all errors of `keys`.

    Attributes:
        code: stable snake_case word, unique in the product.
        kind: usage, not_found, conflict, limit, policy, verification, unavailable or internal.
        message: one sentence for a person.
        hint: what to do about it, or "".
        where: a position or the name of a field of ours, or "".
    """

    code: ClassVar[str] = "keys_error"
    kind: ClassVar[str] = "usage"
    usual: ClassVar[str] = ""  # hint where none is given

    def __init__(self, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual
        self.where = where


class KeysUsageError(KeysError):
    """The call or the file that was named is wrong."""

    code = "keys_usage"


class InvalidKeyIdError(KeysUsageError):
    """A scope, purpose or version that no key can have."""

    code = "invalid_key_id"


class KeyPurposeError(KeysUsageError):
    """A key may only do what its purpose says."""

    code = "wrong_key_purpose"


class InvalidBatchError(KeysUsageError):
    """The arrays or lists of a batch do not fit together."""

    code = "invalid_batch"


class InvalidPseudonymError(KeysUsageError):
    """A text that is no pseudonym of the suite, or not of the format."""

    code = "invalid_pseudonym"


class MalformedPseudonymError(InvalidPseudonymError):
    """Wrong length, prefix or character: no pseudonym of that form."""

    code = "malformed_pseudonym"


class WrongCheckCharactersError(InvalidPseudonymError):
    """Well formed, but the check characters do not fit: it was mistyped."""

    code = "wrong_check_characters"


class InvalidPublicKeyError(KeysUsageError):
    """A text that is no public key of the expected sort."""

    code = "invalid_public_key"


class PassphraseError(KeysUsageError):
    """A passphrase that is too short, or whose file cannot be used."""

    code = "unusable_passphrase"


class NotCopyableError(KeysUsageError, TypeError):
    """Something that holds a secret was to be pickled or copied."""

    code = "secret_not_copyable"


class SecretFileError(KeysUsageError):
    """A file that is not a secret file of the expected kind, or cannot be read or written."""

    code = "secret_file"


class SecretFilePermissionError(SecretFileError):
    """A secret file that others can read."""

    code = "secret_file_permissions"


class SecretFileExistsError(KeysError):
    """There is a file where a secret was to be saved; nothing is ever overwritten."""

    code = "secret_file_exists"
    kind = "conflict"


class UnknownKeyError(KeysError):
    """The key store has no such key."""

    code = "unknown_key"
    kind = "not_found"


class KeyDestroyedError(KeysError):
    """The key existed; its material is gone for good."""

    code = "key_destroyed"
    kind = "conflict"


class KeyExistsError(KeysError):
    """The key exists already, or existed: a key id is used once."""

    code = "key_exists"
    kind = "conflict"


class KeyStoreExistsError(KeysError):
    """There is a file where a key store was to be created."""

    code = "key_store_exists"
    kind = "conflict"


class KeyStoreConflictError(KeysError):
    """The file is not the one this process loaded: somebody else saved it, or it was restored."""

    code = "key_store_conflict"
    kind = "conflict"


class KeyStoreNotFoundError(KeysError):
    """There is no key store at that place."""

    code = "key_store_not_found"
    kind = "not_found"
    usual = "check the paths in config.toml, or put a backup in place: trustcenter keys restore"


class KeyStoreLimitError(KeysError):
    """More keys than one key store holds."""

    code = "key_store_limit"
    kind = "limit"


class KeyStoreUnavailableError(KeysError):
    """The disk or a lock kept the key store from being read or saved."""

    code = "key_store_unavailable"
    kind = "unavailable"
    usual = "check the disk, the directory and its permissions, then repeat it; nothing was half written"


class IllegalTransitionError(KeysError):
    """The state of a key does not allow that action."""

    code = "illegal_key_transition"
    kind = "conflict"


class KeysVerificationError(KeysError):
    """A proof does not hold."""

    code = "keys_verification"
    kind = "verification"


class WrongPassphraseError(KeysVerificationError):
    """The passphrase does not open the file."""

    code = "wrong_passphrase"


class KeyStoreDamagedError(KeysVerificationError):
    """The key store was changed, cut or is not one."""

    code = "key_store_damaged"
    usual = "put a backup of this key store in place: trustcenter keys restore; nothing was written to it"


class SecretFileDamagedError(KeysVerificationError):
    """The check characters of a secret file do not fit, or its sealed part was changed."""

    code = "secret_file_damaged"


class SealError(KeysVerificationError):
    """A sealed value was changed, cut, or bound to something else."""

    code = "seal_broken"


class WrongRecipientError(SealError):
    """A sealed message that is for another recipient key."""

    code = "sealed_to_another_key"


class ShareError(KeysVerificationError):
    """A share of a study secret that is not well formed, or not what its statement says."""

    code = "secret_share_invalid"

    def __init__(self, message: str, *, hint: str = "", where: str = "") -> None:
        hint = hint or "it was changed, or made by a newer version of the program: ask its sender; nothing was kept"
        super().__init__(message, hint=hint, where=where)


class EnvelopeError(ShareError):
    """A sealed message that is not the one of the share."""

    code = "envelope_exchanged"


class CommitmentError(ShareError):
    """A study secret that is not the one its sender committed to."""

    code = "secret_not_as_committed"


class SignatureError(KeysVerificationError):
    """A signature does not hold."""

    code = "bad_signature"
