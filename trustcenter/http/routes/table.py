"""All operations of the interface, the one that describes them included."""

from __future__ import annotations

from trustcenter.http.calls import PUBLIC, Answer, Binary, Call, Route
from trustcenter.http.openapi.document import document

from . import (
    access,
    audit,
    clearing,
    closing,
    consent,
    enrolment,
    keys,
    metrics,
    operations,
    operator,
    parameters,
    reidentify,
    relay,
    retention,
    service,
    site,
    study,
)


async def _openapi(_: Call) -> Answer:
    return Binary(document(ROUTES), "application/json")


ROUTES: tuple[Route, ...] = (
    *service.ROUTES,
    Route("GET", "/openapi.json", "openapi", PUBLIC, "This description", _openapi, None, "bytes"),
    *audit.ROUTES,
    *retention.ROUTES,
    *metrics.ROUTES,
    *operator.ROUTES,
    *access.ROUTES,
    *site.ROUTES,
    *parameters.ROUTES,
    *study.ROUTES,
    *operations.ROUTES,
    *clearing.ROUTES,
    *closing.ROUTES,
    *reidentify.ROUTES,
    *consent.ROUTES,
    *enrolment.ROUTES,
    *relay.ROUTES,
    *keys.ROUTES,
)
