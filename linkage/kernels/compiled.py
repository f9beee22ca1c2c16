"""How kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(signature: str, **options: Any) -> Callable[[Any], Any]:
    """`njit` with an explicit signature, without the GIL, cached beside the module or in the user's cache.

    Where neither can be written (a read-only installation, a service user without a home) numba refuses to cache;
    then the kernel is compiled anew in every process, which takes a second or two.
    """

    def decorate(function: Any) -> Any:
        try:
            return njit(signature, nogil=True, cache=True, **options)(function)
        except RuntimeError as e:
            if "cache" not in str(e):
                raise
            return njit(signature, nogil=True, **options)(function)

    return decorate
