"""Token buckets in memory: how often, per key. Lost at a restart, which errs on the generous side."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Final

_KEYS_MAX: Final = 50_000


class RateLimiter:
    """One bucket per key: holds `burst` at most, gains `rate` a second. Used from one thread.

    Only buckets that are not full are remembered, the longest unused are forgotten first; so memory is bounded
    whatever the number of clients.
    """

    def __init__(
        self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic, keys: int = _KEYS_MAX
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._keys = keys
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # level, and when

    def take(self, key: Hashable, *, rate: float | None = None) -> float:
        """Take one from the bucket of `key`.

        Args:
            key: whose bucket.
            rate: a rate for this key instead of the general one; its burst keeps the same proportion.

        Returns:
            0.0 if there was one; else the seconds until there will be one. A refusal takes nothing.
        """
        now = self._clock()
        rate, burst = self._terms(rate)
        level = self._level(key, now, rate, burst)
        if level < 1.0:
            return (1.0 - level) / rate
        self._buckets[key] = (level - 1.0, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._keys:
            self._buckets.popitem(last=False)
        return 0.0

    def put_back(self, key: Hashable) -> None:
        """Put back the one that `take` gave, if its bucket is still remembered; otherwise it is full."""
        if key in self._buckets:
            level, since = self._buckets[key]
            self._buckets[key] = level + 1.0, since

    def wait(self, key: Hashable) -> float:
        """Seconds until `take` would succeed; takes nothing."""
        level = self._level(key, self._clock(), self._rate, self._burst)
        return 0.0 if level >= 1.0 else (1.0 - level) / self._rate

    def _terms(self, rate: float | None) -> tuple[float, float]:
        if rate is None:
            return self._rate, self._burst
        return rate, max(1.0, self._burst * rate / self._rate)

    def _level(self, key: Hashable, now: float, rate: float, burst: float) -> float:
        level, since = self._buckets.get(key, (burst, now))
        return min(burst, level + (now - since) * rate)


def seconds(wait: float) -> str:
    """A `Retry-After` value after which the request would be taken: whole seconds, rounded up, at least 1."""
    return str(max(1, math.ceil(wait)))


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """The source that a limit counts: an IPv4 address, or the /64 of an IPv6 address, which one host owns whole."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
