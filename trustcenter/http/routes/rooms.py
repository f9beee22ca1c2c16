"""Which operations a process offers: those of the rooms that it holds."""

from __future__ import annotations

from functools import cache
from typing import Final

from trustcenter.http.calls import PUBLIC, Answer, Binary, Call, Route
from trustcenter.http.openapi.document import document

from . import carried, peer, rows_enrolment
from .table import ROUTES

# A comparator of its own has clients, rows and a log; nothing else of the interface is its business.
_COMPARATOR: Final = frozenset(
    {
        *("healthz", "readyz", "version", "metrics"),
        *("createSite", "listSites", "addStaff", "listStaff"),
        *("issueToken", "listTokens", "revokeToken", "bindCertificate", "listCertificates", "revokeCertificate"),
        *("issueStaffToken", "listStaffTokens", "revokeStaffToken"),
        *("bindStaffCertificate", "listStaffCertificates", "revokeStaffCertificate"),
        *("openUpload", "putChunk", "completeUpload", "signedParameters"),
        *("listKeys", "keysDue", "rotateRoomKeys", "compromiseRoomKeys", "scheduleRoomKeys"),
        *("listRotations", "showRotation", "resumeRotation", "verifyRotation", "finalizeRotation"),
        *("abortRotation", "rollBackRotation"),
        *("proposeForKey", "listKeyProposals", "showKeyProposal", "approveForKey"),
        *("auditCheckpoint", "auditInclusion", "auditConsistency", "auditExport", "auditCosign", "auditCosigned"),
    }
)
_ROWS: Final = frozenset({"openUpload", "putChunk", "completeUpload"})


@cache
def routes_of(room: str) -> tuple[Route, ...]:
    """The operations of a process that holds "both" rooms, or one of them."""
    if room == "both":
        return ROUTES
    if room == "registrar":
        chosen = (*(route for route in ROUTES if route.name not in _ROWS), *carried.REGISTRAR)
    else:
        chosen = (
            *(route for route in ROUTES if route.name in _COMPARATOR),
            *peer.ROUTES,
            *carried.COMPARATOR,
            *rows_enrolment.ROUTES,
        )

    async def openapi(_: Call) -> Answer:
        return Binary(document(described), "application/json")

    own = Route("GET", "/openapi.json", "openapi", PUBLIC, "This description", openapi, None, "bytes")
    described = (own, *(route for route in chosen if route.name != "openapi"))
    return described
