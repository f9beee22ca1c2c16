"""Metrics in Prometheus' text exposition format, version 0.0.4.

Labels are `route` (the template, never a path), `site`, `outcome` (a status, a state, a reason) and `version`,
nothing else: no domain, no study, no address. Everything that is counted of the trust center's work is read from the
database at the moment of scraping, so it is what was committed; only requests and failed handshakes are counted in
memory.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from aiohttp import web

from trustcenter.audit import Event
from trustcenter.instance.opened import Instance
from trustcenter.instance.rotating import room_key_show
from trustcenter.store import Connection
from trustcenter.store.database import Activity

from .handshakes import Handshakes
from .metrics_process import figures

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)  # seconds
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PATH: Final = "/metrics"
_ISSUE = f'"event":"{Event.PSEUDONYM_ISSUE.value}"'.encode()
_ALARMS = tuple(f'"event":"{event.value}"'.encode() for event in (Event.PSEUDONYM_ALARM, Event.ROOMS_ALARM))
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Authorization")

Labels = tuple[tuple[str, str], ...]


@dataclass
class _Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[next((i for i, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))] += 1
        self.total += seconds


class Metrics:
    """Figures of one running service."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._requests: dict[Labels, int] = defaultdict(int)
        self._latency: dict[str, _Histogram] = defaultdict(_Histogram)
        self._issued: dict[str, int] = defaultdict(int)
        self._alarms = 0
        self.handshakes = Handshakes()
        self._seen: int | None = None  # entries of the registrar's log that were looked at
        self._scraping = asyncio.Lock()

    def observe(self, route: str, site: str, outcome: str, seconds: float) -> None:
        """Count one request."""
        self._requests[("route", route), ("site", site), ("outcome", outcome)] += 1
        self._latency[route].add(seconds)

    async def start(self) -> None:
        """From here on pseudonyms are counted."""
        if self._instance.registrar_room is not None:
            self._seen = await self._instance.registrar.db.read(_log_size)

    async def render(self) -> str:
        """The whole page."""
        async with self._scraping:
            lines: list[str] = []
            lines += _family("requests_total", "counter", "Requests answered.", self._requests.items())
            lines += self._histograms()
            failed = (((("outcome", reason),), count) for reason, count in self.handshakes.failed.items())
            lines += _family("handshakes_failed_total", "counter", "TLS handshakes that failed, by reason.", failed)
            rooms = {"registrar": self._instance.registrar_room, "comparator": self._instance.comparator_room}
            for room, context in rooms.items():
                if context is not None:
                    lines += self._room(room, context.db.activity(), await context.db.read(_log_size))
            if self._instance.registrar_room is not None:
                lines += self._pseudonyms(await self._instance.registrar.db.read(self._read))
            overdue = sum(key.overdue for key in await room_key_show.all_due(self._instance))
            told = "Keys whose schedule says that they should have been rotated."
            lines += _one("keys_overdue", "gauge", told, overdue)
            stages = (
                ((("outcome", stage),), count)
                for stage, count in (await room_key_show.under_way(self._instance)).items()
            )
            lines += _family("rotations", "gauge", "Rotations of keys under way, by stage.", stages)
            lines += self._copies()
            for name, kind, text, labels, value in await asyncio.to_thread(
                lambda: list(figures(self._instance.config))
            ):
                lines += _lines(name, kind, text, [(tuple(labels.items()), value)])
            return "\n".join(lines) + "\n"

    def _room(self, room: str, activity: Activity, log: int) -> Iterator[str]:
        yield from _one(f"{room}_commits_total", "counter", "Transactions committed.", activity.commits)
        group = "Operations in them: the group size is the ratio."
        yield from _one(f"{room}_operations_total", "counter", group, activity.operations)
        yield from _one(f"{room}_queue_length", "gauge", "Operations that wait for the writer.", activity.waiting)
        yield from _one(f"{room}_log_entries", "gauge", f"Entries of the {room}'s log.", log)

    def _pseudonyms(self, state: _State) -> Iterator[str]:
        issued = (((("site", site),), count) for site, count in self._issued.items())
        yield from _family("pseudonyms_issued_total", "counter", "Pseudonyms newly issued since the start.", issued)
        alarm = "Pseudonyms that were never issued, and deliveries of the comparator that were not ordered."
        yield from _one("alarms_total", "counter", alarm, self._alarms)
        yield from _family("key_age_seconds", "gauge", "Age of the oldest active pseudonym key.", state.key_ages)
        yield from _family("key_versions", "gauge", "Key versions by state.", state.key_states)
        yield from _family("runs", "gauge", "Linkage runs by state.", state.runs)

    def _copies(self) -> Iterator[str]:
        copies = self._instance.copies
        if copies.shippers:
            text = "Everything committed longer ago than this can be restored."
            yield from _one("backup_lag_seconds", "gauge", text, round(copies.lag, 3))
        if copies.configured:
            text = "Attempts of the continuous backup that failed."
            yield from _one("backup_failures_total", "counter", text, copies.failures)

    def _histograms(self) -> Iterator[str]:
        name = "trustcenter_request_seconds"
        yield f"# HELP {name} Time from the request's header to the end of the answer."
        yield f"# TYPE {name} histogram"
        for route, histogram in sorted(self._latency.items()):
            label, running = f'route="{_escape(route)}"', 0
            for bound, count in zip((*BUCKETS, "+Inf"), histogram.counts, strict=True):
                running += count
                yield f'{name}_bucket{{{label},le="{bound}"}} {running}'
            yield f"{name}_sum{{{label}}} {histogram.total:.6f}"
            yield f"{name}_count{{{label}}} {running}"

    def _read(self, conn: Connection) -> _State:
        size = _log_size(conn)
        start = size if self._seen is None else self._seen
        for (leaf,) in conn.execute("SELECT leaf FROM audit_entry WHERE seq >= ? AND seq < ?", (start, size)):
            if _ISSUE in leaf:
                entry = json.loads(leaf)
                if entry["event"] == Event.PSEUDONYM_ISSUE.value:
                    self._issued[entry["who"]] += int(entry["data"].get("count", 0))
            elif any(alarm in leaf for alarm in _ALARMS):
                self._alarms += 1
        self._seen = size
        now = self._instance.registrar.clock()
        oldest: dict[str, float] = {}
        for site, since in conn.execute(
            "SELECT coalesce(d.site, ''), k.since FROM key_version k JOIN domain d ON k.scope = 'domain:' || d.uuid"
            " WHERE k.purpose = 'pseudonym' AND k.state = 'active'"
        ):
            age = (now - datetime.fromisoformat(since)).total_seconds()
            oldest[site] = max(age, oldest.get(site, 0.0))
        return _State(
            key_ages=[((("site", site),), round(age)) for site, age in sorted(oldest.items())],
            key_states=_by_outcome(conn, "SELECT state, count(*) FROM key_version GROUP BY state"),
            runs=_by_outcome(conn, "SELECT state, count(*) FROM run GROUP BY state"),
        )


@dataclass(frozen=True)
class _State:
    key_ages: list[tuple[Labels, float]]
    key_states: list[tuple[Labels, float]]
    runs: list[tuple[Labels, float]]


METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)


async def scrape(request: web.Request) -> web.Response | None:
    """The answer to /metrics from this machine, if the configuration says so; None for every other request."""
    if request.path != PATH or request.method != "GET" or not _may_scrape(request):
        return None
    return web.Response(text=await request.app[METRICS].render(), headers={"Cache-Control": "no-store"})


def _may_scrape(request: web.Request) -> bool:
    """Without a token: only from this machine, only if configured, and never through a proxy."""
    config = request.app[METRICS]._instance.config
    if not config.metrics.loopback or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def _log_size(conn: Connection) -> int:
    return int(conn.execute("SELECT size FROM audit_head").fetchone()[0])


def _by_outcome(conn: Connection, query: str) -> list[tuple[Labels, float]]:
    return [((("outcome", state),), count) for state, count in conn.execute(query)]


def _one(name: str, kind: str, text: str, value: float) -> list[str]:
    return _family(name, kind, text, [((), value)])


def _family(name: str, kind: str, text: str, values: Iterable[tuple[Labels, float]]) -> list[str]:
    return _lines(f"trustcenter_{name}", kind, text, values)


def _lines(name: str, kind: str, text: str, values: Iterable[tuple[Labels, float]]) -> list[str]:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for labels, value in sorted(values):
        inside = ",".join(f'{key}="{_escape(word)}"' for key, word in labels)
        lines.append(f"{name}{{{inside}}} {value}" if inside else f"{name} {value}")
    return lines


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
