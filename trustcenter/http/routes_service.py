"""Probes and version."""

from __future__ import annotations

import trustcenter
from trustcenter.messages import api

from .calls import PUBLIC, Answer, Call, Route


async def healthz(call: Call) -> Answer:
    return api.Health(status="ok")


async def readyz(call: Call) -> Answer:
    await call.instance.registrar.db.read(lambda conn: conn.execute("SELECT 1").fetchone())
    await call.instance.comparator.db.read(lambda conn: conn.execute("SELECT 1").fetchone())
    return api.Health(status="ready")


async def version(call: Call) -> Answer:
    return api.Version(
        product="trustcenter",
        version=trustcenter.__version__,
        api=["v1"],
        suites=["computed/1"],
        encodings=["keyed-passes/1"],
        separation=call.instance.config.separation,
        instance=call.instance.id,
    )


ROUTES = (
    Route("GET", "/healthz", "healthz", PUBLIC, "The process answers", healthz, None, api.Health),
    Route("GET", "/readyz", "readyz", PUBLIC, "Both stores answer", readyz, None, api.Health),
    Route("GET", "/version", "version", PUBLIC, "What is running", version, None, api.Version),
)
