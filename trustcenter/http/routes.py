"""All operations of the interface, the one that describes them included."""

from __future__ import annotations

from . import (
    routes_access,
    routes_audit,
    routes_clearing,
    routes_closing,
    routes_consent,
    routes_enrolment,
    routes_keys,
    routes_metrics,
    routes_operations,
    routes_operator,
    routes_parameters,
    routes_reidentify,
    routes_relay,
    routes_retention,
    routes_service,
    routes_site,
    routes_study,
)
from .calls import PUBLIC, Answer, Binary, Call, Route
from .openapi import document


async def _openapi(_: Call) -> Answer:
    return Binary(document(ROUTES), "application/json")


ROUTES: tuple[Route, ...] = (
    *routes_service.ROUTES,
    Route("GET", "/openapi.json", "openapi", PUBLIC, "This description", _openapi, None, "bytes"),
    *routes_audit.ROUTES,
    *routes_retention.ROUTES,
    *routes_metrics.ROUTES,
    *routes_operator.ROUTES,
    *routes_access.ROUTES,
    *routes_site.ROUTES,
    *routes_parameters.ROUTES,
    *routes_study.ROUTES,
    *routes_operations.ROUTES,
    *routes_clearing.ROUTES,
    *routes_closing.ROUTES,
    *routes_reidentify.ROUTES,
    *routes_consent.ROUTES,
    *routes_enrolment.ROUTES,
    *routes_relay.ROUTES,
    *routes_keys.ROUTES,
)
