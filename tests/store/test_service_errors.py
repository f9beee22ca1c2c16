"""The error tree: stable words, one mapping for three packages."""

from __future__ import annotations

import re

import pytest

from trustcenter import errors
from trustcenter.errors import TrustCenterError, exit_code, http_status


def _all(cls: type[TrustCenterError] = TrustCenterError) -> list[type[TrustCenterError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in _all(child))]


def test_codes_are_unique_words_and_kinds_are_known() -> None:
    classes = [cls for cls in _all() if cls.__module__ == errors.__name__]
    codes = [cls.code for cls in classes]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z][a-z_]*", code) for code in codes)
    assert {cls.kind for cls in classes} <= {
        "usage",
        "not_found",
        "conflict",
        "limit",
        "policy",
        "verification",
        "unavailable",
        "internal",
    }


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.UsageError("x"), 400, 1),
        (errors.UnauthorizedError("x"), 401, 4),
        (errors.ForbiddenError("x"), 403, 4),
        (errors.PolicyError("x"), 403, 4),
        (errors.NotFoundError("x"), 404, 1),
        (errors.ConflictError("x"), 409, 1),
        (errors.AlreadyRunningError("x"), 409, 1),
        (errors.LimitError("x"), 413, 1),
        (errors.RateLimitedError("x"), 429, 1),
        (errors.VerificationError("x"), 422, 3),
        (errors.LogForkedError("x"), 500, 3),
        (errors.StoreUnavailableError("x"), 503, 2),
        (errors.InternalError("x"), 500, 2),
        (ValueError("x"), 500, 2),
    ],
)
def test_mapping(error: Exception, status: int, code: int) -> None:
    assert (http_status(error), exit_code(error)) == (status, code)


def test_errors_of_the_other_packages_map_by_shape() -> None:
    class Foreign(Exception):
        code = "wrong_passphrase"
        kind = "verification"

    assert (http_status(Foreign()), exit_code(Foreign())) == (500, 3)


def test_fields() -> None:
    error = errors.NotFoundError("no such thing", hint="look again", where="row 17", code="narrower")
    assert (str(error), error.message, error.hint, error.where) == (
        "no such thing",
        "no such thing",
        "look again",
        "row 17",
    )
    assert error.code == "narrower"
    assert errors.NotFoundError.code == "not_found"
