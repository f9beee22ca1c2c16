"""What can go wrong between a client and the service, and with the files on the client's side.

TrustCenterError
 ├─ RemoteError               the service answered with a problem; code and kind are the service's
 ├─ UnreachableError          no answer
 ├─ BadAnswerError            an answer that the interface does not allow
 └─ UsageError
     ├─ ItemRefusedError      the service refused one value of a batch
     ├─ ConnectionFileError   the connection file
     └─ LocalFileError        an input or output file
"""

from __future__ import annotations

from typing import Final

from trustcenter.errors import InternalError, TrustCenterError, UnavailableError, UsageError
from trustcenter.messages.api import ItemError, Problem

_KIND_OF_STATUS: Final = {
    401: "policy",
    403: "policy",
    404: "not_found",
    409: "conflict",
    413: "limit",
    422: "verification",
    429: "limit",
    503: "unavailable",
}


class RemoteError(TrustCenterError):
    """The service answered with a problem (RFC 9457).

    Attributes:
        status: HTTP status.
        request_id: names the request in the service's log, or "".
        retry_after: seconds that the service asks to wait, or 0.
    """

    retry_after: float = 0.0

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title, code=problem.code, hint=problem.hint, where=problem.where)
        self.status = problem.status
        self.request_id = problem.request_id

    @staticmethod
    def of(problem: Problem) -> RemoteError:
        """The error for a problem; its kind follows from the HTTP status."""
        fallback = "usage" if 400 <= problem.status < 500 else "internal"
        return _CLASSES[_KIND_OF_STATUS.get(problem.status, fallback)](problem)


_CLASSES: Final[dict[str, type[RemoteError]]] = {
    kind: type("RemoteError", (RemoteError,), {"kind": kind, "__doc__": f"A problem of the kind {kind}."})
    for kind in {*_KIND_OF_STATUS.values(), "usage", "internal"}
}


class UnreachableError(UnavailableError):
    """The service does not answer at the address of the connection file."""

    code = "unreachable"


class BadAnswerError(InternalError):
    """The service answered something that version 1 of the interface does not allow."""

    code = "unexpected_answer"


class ItemRefusedError(UsageError):
    """One value of a batch cannot be served; `code` and `hint` are the service's for it."""

    code = "item_refused"

    @classmethod
    def of(cls, item: ItemError | None) -> ItemRefusedError:
        """The error for an item of an answer; for an item that is missing without one, a general one."""
        if item is None:
            return cls("the service gave no answer for this value")
        return cls("the service refused this value", code=item.code, hint=item.hint)


class ConnectionFileError(UsageError):
    """The connection file is missing, readable by others, or wrong."""

    code = "connection_file"


class LocalFileError(UsageError):
    """An input cannot be read, or an output must not be written."""

    code = "local_file"
