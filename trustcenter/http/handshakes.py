"""TLS handshakes that fail: no request comes of them, so no line of the log and no other figure would tell."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Final

import structlog

REASONS: Final = ("no_certificate", "wrong_certificate", "refused_by_client", "other")
_QUIET_SECONDS: Final = 60.0  # between two lines of one reason
_log = structlog.get_logger()


class Handshakes:
    """Counts failed handshakes by reason, and logs the first of a reason and at most one a minute after it.

    A connection that ends, or is left open, before the client has said anything wrong is no failed handshake.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.failed = dict.fromkeys(REASONS, 0)
        self._clock = clock
        self._told: dict[str, float] = {}

    def watch(self, context: ssl.SSLContext) -> None:
        """From here on note what happens to the connections of a context."""
        note = self.note

        class Watched(ssl.SSLObject):
            def do_handshake(self) -> None:
                try:
                    super().do_handshake()
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):  # the rest is still to come
                    raise
                except ssl.SSLError as error:
                    note(error)
                    raise

        context.sslobject_class = Watched

    def note(self, error: ssl.SSLError) -> None:
        """Count a failure."""
        reason = _reason(error)
        self.failed[reason] += 1
        now = self._clock()
        if reason not in self._told or now - self._told[reason] >= _QUIET_SECONDS:
            self._told[reason] = now
            _log.warning("handshake failed", code=reason)


def _reason(error: ssl.SSLError) -> str:
    name = getattr(error, "reason", None) or ""  # set by OpenSSL's own errors only
    if name == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "no_certificate"
    if isinstance(error, ssl.SSLCertVerificationError) or name == "CERTIFICATE_VERIFY_FAILED":
        return "wrong_certificate"
    return "refused_by_client" if "_ALERT_" in name else "other"
