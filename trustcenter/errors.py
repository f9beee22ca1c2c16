"""The service's error tree, and the one place that turns any error of ours into a status or an exit code.

    TrustCenterError
     ├─ UsageError                the request or command is wrong
     │   ├─ CommandLineError      what was typed does not go together
     │   └─ ConfigError           the configuration is missing or wrong
     ├─ NotFoundError             also for what the caller may not see
     ├─ ConflictError             the state does not allow it now
     │   └─ AlreadyRunningError   another process holds the database
     ├─ LimitError                too large
     │   ├─ BatchTooLargeError    more items than one request may hold
     │   └─ RateLimitedError      too often
     │       └─ QuotaExceededError more than a day's quota
     ├─ PolicyError               refused by a rule of the study or the house
     │   ├─ UnauthorizedError     no valid credential
     │   └─ ForbiddenError        a valid credential without the grant
     ├─ VerificationError         a proof, signature or checksum does not hold
     │   ├─ BundleError           an exported log is not what was logged
     │   ├─ StaleDatabaseError    the database went back in time, or is another instance's
     │   └─ LogForkedError        the log is behind or beside a head that was already signed
     ├─ UnavailableError          try again later
     │   └─ StoreUnavailableError the database cannot take the operation (disk full, input/output error)
     └─ InternalError             our fault
         └─ StoreError            the database
             ├─ StoreDamagedError, StoreTransactionError
             └─ NewerStoreError, WrongStoreError, MigrationChangedError

Every class has a stable `code` and a `kind`. Messages, hints and `where` never hold a value that
somebody sent, a secret or an identifier. `keys` and `linkage` have trees of the same shape; the two
mappings read `kind` and `code` only, so they serve all three without importing them.
"""

from __future__ import annotations

from typing import ClassVar, Final


class TrustCenterError(Exception):
    """Base of all errors of the service.

    Attributes:
        code: stable snake_case word, unique in the product.
        kind: usage, not_found, conflict, limit, policy, verification, unavailable or internal.
        message: one sentence for a person, without any value.
        hint: what to do about it, or "".
        where: a position or the name of a field of ours ("row 17", "entry 3"), or "".
    """

    code: str = "trustcenter_error"
    kind: ClassVar[str] = "internal"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        if code is not None:  # a narrower code than the class's; the kind stays
            self.code = code
        self.message = message
        self.hint = hint
        self.where = where


class UsageError(TrustCenterError):
    """The request or command is wrong as it stands."""

    code = "usage_error"
    kind = "usage"


class CommandLineError(UsageError):
    """Options and arguments of a command do not go together, or one is missing or not of its form."""

    code = "usage"


class ConfigError(UsageError):
    """The configuration of the instance is missing or wrong."""

    code = "configuration_error"


class NotFoundError(TrustCenterError):
    """It does not exist, or the caller may not know that it does."""

    code = "not_found"
    kind = "not_found"


class ConflictError(TrustCenterError):
    """The present state does not allow it."""

    code = "conflict"
    kind = "conflict"


class AlreadyRunningError(ConflictError):
    """Another process has the database open for writing."""

    code = "already_running"


class LimitError(TrustCenterError):
    """Larger than a named limit allows."""

    code = "limit_exceeded"
    kind = "limit"


class BatchTooLargeError(LimitError):
    """More items than one request may hold; nothing of it was done."""

    code = "batch_too_large"


class RateLimitedError(LimitError):
    """More often than a named limit allows.

    Attributes:
        retry_after: seconds after which the same request would be taken.
    """

    code = "rate_limited"

    def __init__(
        self, message: str, *, retry_after: float = 1.0, code: str | None = None, hint: str = "", where: str = ""
    ) -> None:
        super().__init__(message, code=code, hint=hint, where=where)
        self.retry_after = retry_after


class QuotaExceededError(RateLimitedError):
    """More than the quota of a day allows; nothing of the request was done."""

    code = "quota_exceeded"


class PolicyError(TrustCenterError):
    """Refused by a rule: minimum batch, dual control, period of a study, separation."""

    code = "refused_by_policy"
    kind = "policy"


class UnauthorizedError(PolicyError):
    """No credential, or one that is unknown, expired or revoked."""

    code = "unauthorized"


class ForbiddenError(PolicyError):
    """A valid credential that does not carry the grant."""

    code = "forbidden"


class VerificationError(TrustCenterError):
    """A signature, proof, checksum or key check does not hold."""

    code = "verification_failed"
    kind = "verification"


class BundleError(VerificationError):
    """An exported audit log is damaged, incomplete or changed; `where` names the first broken part."""

    code = "audit_bundle_broken"


class LogForkedError(VerificationError):
    """The audit log does not extend a head that was signed before, as after restoring an old copy."""

    code = "audit_log_forked"


class StaleDatabaseError(VerificationError):
    """The database went back in time, or belongs to another instance than its key store."""

    code = "stale_database"


class UnavailableError(TrustCenterError):
    """Cannot be served at present; nothing was changed by this request."""

    code = "unavailable"
    kind = "unavailable"


class StoreUnavailableError(UnavailableError):
    """The database cannot take the operation: disk full, input/output error, closing."""

    code = "store_unavailable"


class InternalError(TrustCenterError):
    """A mistake of ours."""

    code = "internal_error"
    kind = "internal"


class StoreError(InternalError):
    """The database is not usable as it is."""

    code = "store_error"


class StoreDamagedError(StoreError):
    """SQLite reports a damaged file."""

    code = "store_damaged"
    kind = "verification"


class StoreTransactionError(StoreError):
    """A write function ended the transaction it was lent."""

    code = "store_transaction_ended"


class NewerStoreError(StoreError):
    """The database was written by a newer version of this program."""

    code = "store_newer"
    kind = "conflict"


class WrongStoreError(StoreError):
    """The file is a database, but not the one that was asked for."""

    code = "store_wrong_file"
    kind = "conflict"


class MigrationChangedError(StoreError):
    """A migration that was applied differs from the one this program has under its number."""

    code = "store_migration_changed"
    kind = "verification"


_STATUS_OF_KIND: Final = {
    "usage": 400,
    "not_found": 404,
    "conflict": 409,
    "limit": 413,
    "policy": 403,
    "verification": 422,
    "unavailable": 503,
    "internal": 500,
}
# What the kind alone does not tell. The verification errors here concern what the centre holds, not what the
# caller sent, so they are the server's failure.
_STATUS_OF_CODE: Final = {
    "method_not_allowed": 405,
    "wrong_content_type": 415,
    "compressed_body": 415,
    "unknown_expectation": 417,
    "unauthorized": 401,
    "unknown_certificate": 401,
    "credentials_differ": 401,
    "rate_limited": 429,
    "too_many_failures": 429,
    "quota_exceeded": 429,
    "wrong_passphrase": 500,
    "key_store_damaged": 500,
    "seal_broken": 500,
    "store_damaged": 500,
    "store_migration_changed": 500,
    "store_newer": 500,
    "store_wrong_file": 500,
    "audit_log_forked": 500,
}
_EXIT_OF_KIND: Final = {
    "usage": 1,
    "not_found": 1,
    "conflict": 1,
    "limit": 1,
    "unavailable": 2,
    "internal": 2,
    "verification": 3,
    "policy": 4,
}


def http_status(error: BaseException) -> int:
    """The HTTP status of an error of `trustcenter`, `keys` or `linkage`; 500 for anything else."""
    by_code = _STATUS_OF_CODE.get(_word(error, "code"))
    return by_code if by_code is not None else _STATUS_OF_KIND.get(_word(error, "kind"), 500)


def exit_code(error: BaseException) -> int:
    """The exit code of a command that ended with this error: 1, 2, 3 or 4; 2 for anything not ours."""
    return _EXIT_OF_KIND.get(_word(error, "kind"), 2)


def _word(error: BaseException, name: str) -> str:
    word = getattr(error, name, "")
    return word if isinstance(word, str) else ""
