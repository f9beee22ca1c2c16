"""Why the certificate of a service is not accepted: its end, its name or its authority, which different people mend."""

from __future__ import annotations

from typing import Final

from trustcenter.errors import VerificationError

# Numbers of OpenSSL (x509_vfy.h): X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH,
# _IP_ADDRESS_MISMATCH.
_NOT_YET: Final = 9
_EXPIRED: Final = 10
_OTHER_NAME: Final = frozenset({62, 64})


def untrusted(error: Exception) -> VerificationError:
    """The error for a certificate that did not verify.

    Args:
        error: as the TLS library raised it; its own words may hold names, and are not repeated.
    """
    number = getattr(error, "verify_code", None)
    if number == _EXPIRED:
        return VerificationError(
            "the certificate of the service has expired, or this machine's clock is ahead",
            code="service_certificate_expired",
            hint="look at the clock of this machine (timedatectl); else tell the operator, who renews the certificate",
        )
    if number == _NOT_YET:
        return VerificationError(
            "the certificate of the service is not valid yet: a clock is wrong, here or there",
            code="service_certificate_early",
            hint="look at the clock of this machine (timedatectl); else tell the operator",
        )
    if number in _OTHER_NAME:
        return VerificationError(
            "the certificate of the service is for another name than that of the connection file",
            code="other_service_name",
            hint="write the url as the operator names the service, or ask for a certificate that has this name, too",
        )
    return VerificationError(
        "the certificate of the service is not signed by the authority of the connection file",
        code="untrusted_service",
        hint="compare url and ca of the connection file with the operator",
    )
