"""Objects that hold secrets: no repr, no copy, no pickle."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

from .errors import NotCopyableError


class Guarded:
    """Base of everything that holds a secret. `copy`, `deepcopy` and `pickle` all come here and are refused."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (redacted)>"

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise NotCopyableError("an object that holds a secret is neither copied nor pickled")

    def __reduce__(self) -> NoReturn:
        raise NotCopyableError("an object that holds a secret is neither copied nor pickled")


class Secret(Guarded):
    """Secret bytes that no traceback, log or debugger listing prints.

    `reveal()` is called inside the expression that uses the bytes, so that no local variable holds them:
    tracebacks that show local variables then show "<Secret (redacted)>".
    """

    __slots__ = ("__value",)

    def __init__(self, value: bytes) -> None:
        self.__value = bytes(value)

    def reveal(self) -> bytes:
        """The bytes."""
        return self.__value

    def __len__(self) -> int:
        return len(self.__value)
