"""Metrics in Prometheus' text exposition format, version 0.0.4.

Labels are `route` (the template, never a path), `site` and `outcome` (a status, a state, a key's state), nothing else:
no domain, no study, no address. Everything that is counted of the trust center's work is read from the database at
the moment of scraping, so it is what was committed; only requests are counted in memory.
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
from trustcenter.instance.opening import Instance
from trustcenter.registrar import keycare
from trustcenter.store import Connection

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)  # seconds
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PATH: Final = "/metrics"
_ISSUE = f'"event":"{Event.PSEUDONYM_ISSUE.value}"'.encode()
_ALARM = f'"event":"{Event.PSEUDONYM_ALARM.value}"'.encode()
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
        self._seen: int | None = None  # entries of the registrar's log that were looked at
        self._scraping = asyncio.Lock()

    def observe(self, route: str, site: str, outcome: str, seconds: float) -> None:
        """Count one request."""
        self._requests[("route", route), ("site", site), ("outcome", outcome)] += 1
        self._latency[route].add(seconds)

    async def start(self) -> None:
        """From here on pseudonyms are counted."""
        db = self._instance.registrar.db
        self._seen = await db.read(lambda conn: int(conn.execute("SELECT size FROM audit_head").fetchone()[0]))

    async def render(self) -> str:
        """The whole page."""
        async with self._scraping:
            registrar, comparator = self._instance.registrar.db, self._instance.comparator.db
            state = await registrar.read(self._read)
            comparator_log = await comparator.read(_log_size)
            lines: list[str] = []
            lines += _family("requests_total", "counter", "Requests answered.", self._requests.items())
            lines += self._histograms()
            issued = (((("site", site),), count) for site, count in self._issued.items())
            lines += _family("pseudonyms_issued_total", "counter", "Pseudonyms newly issued since the start.", issued)
            lines += _one("alarms_total", "counter", "Pseudonyms that were never issued: both stores may have leaked.",
                          self._alarms)  # fmt: skip
            for room, activity in (("registrar", registrar.activity()), ("comparator", comparator.activity())):
                lines += _one(f"{room}_commits_total", "counter", "Transactions committed.", activity.commits)
                lines += _one(f"{room}_operations_total", "counter", "Operations in them: the group size is the ratio.",
                              activity.operations)  # fmt: skip
                lines += _one(f"{room}_queue_length", "gauge", "Operations that wait for the writer.", activity.waiting)
            lines += _one("registrar_log_entries", "gauge", "Entries of the registrar's log.", state.log)
            lines += _one("comparator_log_entries", "gauge", "Entries of the comparator's log.", comparator_log)
            lines += _family("key_age_seconds", "gauge", "Age of the oldest active pseudonym key.", state.key_ages)
            lines += _one("keys_overdue", "gauge", "Keys whose schedule says that they should have been rotated.",
                          state.keys_overdue)  # fmt: skip
            lines += _family("key_versions", "gauge", "Key versions by state.", state.key_states)
            lines += self._copies()
            lines += _family("runs", "gauge", "Linkage runs by state.", state.runs)
            return "\n".join(lines) + "\n"

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
            elif _ALARM in leaf:
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
            log=size,
            keys_overdue=sum(key.overdue for key in keycare.due(conn, now)),
            key_ages=[((("site", site),), round(age)) for site, age in sorted(oldest.items())],
            key_states=_by_outcome(conn, "SELECT state, count(*) FROM key_version GROUP BY state"),
            runs=_by_outcome(conn, "SELECT state, count(*) FROM run GROUP BY state"),
        )


@dataclass(frozen=True)
class _State:
    log: int
    keys_overdue: int
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
    name = f"trustcenter_{name}"
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for labels, value in sorted(values):
        inside = ",".join(f'{key}="{_escape(word)}"' for key, word in labels)
        lines.append(f"{name}{{{inside}}} {value}" if inside else f"{name} {value}")
    return lines


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
