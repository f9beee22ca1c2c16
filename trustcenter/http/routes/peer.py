"""What the registrar asks of a comparator that is apart, over mutual TLS; nobody else may (docs/spec/rooms.md)."""

from __future__ import annotations

from trustcenter.http.calls import PEER, Answer, Binary, Call, Route
from trustcenter.messages import reconcile, rooms

_PATIENCE_MAX = 30  # seconds that an answer about a window may wait


async def state(call: Call) -> Answer:
    return await call.comparator.state()


async def tell(call: Call) -> Answer:
    return await call.comparator.tell(call.body)


async def settle(call: Call) -> Answer:
    return await call.comparator.settle(call.body)


async def reconcile_study(call: Call) -> Answer:
    return await call.comparator.reconcile_study(call.body)


async def reconcile_refs(call: Call) -> Answer:
    return await call.comparator.reconcile_refs(call.body)


async def rejoin(call: Call) -> Answer:
    await call.comparator.rejoin(call.body)
    return None


async def window_start(call: Call) -> Answer:
    return await call.comparator.start_window(call.body)


async def window_estimate(call: Call) -> Answer:
    return await call.comparator.estimate(call.body)


def _window(call: Call) -> int:
    return call.integer("window", call.path["window"], 1, 999_999_999)


async def window_show(call: Call) -> Answer:
    patience = call.integer("patience", call.query.get("patience", "0"), 0, _PATIENCE_MAX)
    return await call.comparator.window(call.segment("study"), _window(call), float(patience))


async def window_cancel(call: Call) -> Answer:
    await call.comparator.cancel(call.segment("study"), _window(call))
    return None


async def window_edges(call: Call) -> Answer:
    part = call.integer("part", call.path["part"], 0, 999_999_999)
    return Binary(await call.comparator.part(call.segment("study"), _window(call), part))


async def window_acknowledge(call: Call) -> Answer:
    await call.comparator.acknowledge(call.body)
    return None


_WINDOW = "/v1/peer/windows/{study}/{window}"
ROUTES = (
    Route("GET", "/v1/peer/state", "peerState", PEER, "How far the exchange of messages is", state, None, rooms.PeerState),
    Route("POST", "/v1/peer/messages", "peerTell", PEER, "One message of the registrar, in its place", tell, rooms.Envelope, rooms.Told),
    Route("POST", "/v1/peer/settle", "peerSettle", PEER, "Drop what a source staged without a map", settle, rooms.Settle, rooms.Settled),
    Route(
        "POST", "/v1/peer/reconcile/study", "peerReconcileStudy", PEER, "Reconcile a study (M7)",
        reconcile_study, reconcile.ReconcileStudy, reconcile.ReconciledStudy,
    ),
    Route(
        "POST", "/v1/peer/reconcile/refs", "peerReconcileRefs", PEER, "Reconcile a range of refs (M7)",
        reconcile_refs, reconcile.ReconcileRefs, reconcile.ReconciledRefs,
    ),
    Route("POST", "/v1/peer/reconcile/end", "peerRejoin", PEER, "Go on after reconciling (M7)", rejoin, reconcile.Rejoin, status=204),
    Route("POST", "/v1/peer/windows", "peerStart", PEER, "Compare a window", window_start, rooms.WindowOrder, rooms.WindowState),
    Route(
        "POST", "/v1/peer/windows/estimate", "peerEstimate", PEER, "What a window would compare",
        window_estimate, rooms.WindowOrder, rooms.WindowEstimate,
    ),
    Route("GET", _WINDOW, "peerWindow", PEER, "How far a window is", window_show, None, rooms.WindowState, query=("patience",)),
    Route("DELETE", _WINDOW, "peerCancel", PEER, "Stop comparing a window", window_cancel, status=204),
    Route(
        "GET", _WINDOW + "/edges/{part}", "peerEdges", PEER, "A part of the edges of a window (M5); an empty one ends them",
        window_edges, None, "bytes",
    ),
    Route("POST", "/v1/peer/applied", "peerApplied", PEER, "The edges are applied", window_acknowledge, rooms.EdgesHeader, status=204),
)  # fmt: skip
