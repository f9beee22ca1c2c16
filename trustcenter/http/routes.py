"""All operations of the interface."""

from __future__ import annotations

from . import routes_operator, routes_service, routes_site
from .calls import Route

ROUTES: tuple[Route, ...] = (*routes_service.ROUTES, *routes_operator.ROUTES, *routes_site.ROUTES)
