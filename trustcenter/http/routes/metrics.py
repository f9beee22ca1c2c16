"""Figures for a monitoring system."""

from __future__ import annotations

from trustcenter.http.calls import OPERATOR, Answer, Binary, Call, Route


async def metrics(call: Call) -> Answer:
    return Binary((await call.metrics.render()).encode(), "text/plain")


ROUTES = (Route("GET", "/metrics", "metrics", OPERATOR, "Figures in Prometheus' text format", metrics, None, "text"),)
