"""Probes and version."""

from __future__ import annotations

import trustcenter
from trustcenter.http.calls import PUBLIC, Answer, Call, Route
from trustcenter.messages import api


async def healthz(call: Call) -> Answer:
    return api.Health(status="ok")


async def readyz(call: Call) -> Answer:
    for room in (call.instance.registrar_room, call.instance.comparator_room):
        if room is not None:
            await room.db.read(lambda conn: conn.execute("SELECT 1").fetchone())
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
        room=call.instance.config.room,
    )


ROUTES = (
    Route("GET", "/healthz", "healthz", PUBLIC, "The process answers", healthz, None, api.Health),
    Route("GET", "/readyz", "readyz", PUBLIC, "The stores of this process answer", readyz, None, api.Health),
    Route("GET", "/version", "version", PUBLIC, "What is running", version, None, api.Version),
)
