"""The checks of `fsck` over serials: counters, the ranges in the log, and the rows that stand in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from linkage.wording import counted
from trustcenter.audit.entries import Entry
from trustcenter.registrar.head import COUNTER_BITS, OutsideHead
from trustcenter.store import Connection

from .finding import Finding

_BATCH: Final = 100_000


def counters(conn: Connection, head: OutsideHead) -> Iterator[Finding]:
    """Every row below its counter, every counter within what the head reserved."""
    below = 2**COUNTER_BITS - 1
    bad = conn.execute(
        "SELECT count(*) FROM entry e LEFT JOIN counter c ON c.domain = e.domain AND c.epoch = e.serial >> ?"
        " WHERE c.next IS NULL OR (e.serial & ?) >= c.next OR (e.serial & ?) = 0",
        (COUNTER_BITS, below, below),
    ).fetchone()[0]
    if bad:
        yield Finding("", "fail", f"{bad:,} rows have a serial that their counter has not reached")
    beyond = 0
    for uuid, epoch, following in conn.execute(
        "SELECT d.uuid, c.epoch, c.next FROM counter c JOIN domain d ON d.id = c.domain"
    ):
        beyond += epoch > head.epoch or (epoch == head.epoch and following > head.reserved.get(uuid, 0))
    if beyond:
        yield Finding("", "fail", f"{beyond} counters are beyond what the head outside reserved")
    if not bad and not beyond:
        yield Finding("", "ok", "every serial is below its counter, every counter within its reservation")


def ranges(issued: Sequence[Entry]) -> Iterator[Finding]:
    """No serial was ever issued twice (rule 14 of the suite): ranges of one domain and epoch never overlap."""
    by_domain: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for entry in issued:
        first, count = entry.data["first"], entry.data["count"]
        by_domain.setdefault((entry.data["domain"], entry.data["epoch"]), []).append((first, first + count))
    for found in by_domain.values():
        found.sort()
        for (_, end), (start, _) in itertools.pairwise(found):
            if start < end:
                yield Finding(
                    "", "fail", "the log tells of one serial that was issued twice", "stop the service; keep everything"
                )
                return
    yield Finding("", "ok", f"{len(issued):,} ranges in the log, none overlaps another")


def domain_rows(conn: Connection, issued: Sequence[Entry]) -> Iterator[Finding]:
    """Every row stands in exactly the range that the log tells of, and the ranges hold as many rows as they say.

    Rows never disappear: a deleted one keeps its serial as a tombstone.
    """
    names = dict(conn.execute("SELECT name, id FROM domain"))
    told: dict[int, list[tuple[int, int]]] = {}
    for entry in issued:
        domain = names.get(entry.data["domain"])
        if domain is None:
            yield Finding("", "fail", "the log tells of pseudonyms in a domain that is not there")
            return
        first = (entry.data["epoch"] << COUNTER_BITS) | entry.data["first"]
        told.setdefault(domain, []).append((first, first + entry.data["count"]))
    total = 0
    for domain in sorted(names.values()):
        bounds = np.array(sorted(told.get(domain, [])), dtype=np.int64).reshape(-1, 2)
        expected = int((bounds[:, 1] - bounds[:, 0]).sum())
        rows = strangers = 0
        for serials in _serials(conn, domain):
            at = np.searchsorted(bounds[:, 0], serials, side="right") - 1
            inside = (at >= 0) & (serials < bounds[np.maximum(at, 0), 1]) if len(bounds) else np.zeros(len(at), bool)
            strangers += int((~inside).sum())
            rows += len(serials)
        if strangers:
            yield Finding("", "fail", f"{strangers:,} rows of one domain have no entry in the log")
        elif rows != expected:
            yield Finding("", "fail", f"a domain has {rows:,} rows, its log tells of {expected:,}")
        total += rows
    yield Finding("", "ok", f"{counted(total, 'row')}, each told of by the log")


def _serials(conn: Connection, domain: int) -> Iterator[NDArray[np.int64]]:
    """The serials of a domain in order, in parts."""
    cursor = iter(conn.execute("SELECT serial FROM entry WHERE domain = ? ORDER BY serial", (domain,)))
    while part := list(itertools.islice(cursor, _BATCH)):
        yield np.fromiter((row[0] for row in part), dtype=np.int64, count=len(part))
