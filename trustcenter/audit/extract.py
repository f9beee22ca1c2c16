"""Extracts: chosen entries of a log, and what stands for the others, so that the signed root still follows.

Entries that were left out are told by the roots of the complete subtrees that they make up. A reader hashes its way
through entries and subtrees in order and arrives at the root of the whole log: every entry of an extract is proven
together with its place, in one pass (docs/spec/audit-bundle.md, section 3).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from . import tree
from .events import EVENTS

Line = tuple[int, bytes, bytes | None]  # level, hash of the subtree of 2^level leaves, leaf if the level is 0


class Selection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which entries are wanted: those for which everything that is given holds.

    Attributes:
        since: first moment, RFC 3339 in UTC as in entries; registrar only.
        until: first moment that is no longer wanted.
        site: entries by this site, or about it or its domains.
        study: entries about this study or its domains.
        events: these events only.
    """

    since: str = ""
    until: str = ""
    site: str = ""
    study: str = ""
    events: tuple[str, ...] = ()


class _Data(msgspec.Struct):
    site: object = None
    study: object = None
    domain: object = None


class _Brief(msgspec.Struct):
    event: str
    who: str
    data: _Data


_decoder = msgspec.json.Decoder(_Brief)


def unknown_events(selection: Selection) -> list[str]:
    """Words of the selection that are no events."""
    return [event for event in selection.events if event not in EVENTS]


def matcher(
    selection: Selection, site_domains: Iterable[str] = (), study_domains: Iterable[str] = ()
) -> Callable[[bytes], bool]:
    """Whether a leaf is wanted, its time apart.

    Args:
        selection: see there.
        site_domains: names of the domains of the site.
        study_domains: names of the domains of the study.
    """
    events, site, study = frozenset(selection.events), selection.site, selection.study
    of_site, of_study = frozenset(site_domains), frozenset(study_domains)
    if not (events or site or study):
        return lambda leaf: True

    def wanted(leaf: bytes) -> bool:
        entry = _decoder.decode(leaf)
        data = entry.data
        if events and entry.event not in events:
            return False
        if site and not (entry.who == site or data.site == site or data.domain in of_site):
            return False
        return not study or data.study == study or data.domain in of_study

    return wanted


def pruned(
    start: int,
    end: int,
    size: int,
    rows: Iterable[tuple[bytes, bytes]],
    wanted: Callable[[bytes], bool],
    subtree: tree.Subtree,
    through: Sequence[int] = (),
) -> Iterator[Line]:
    """The lines of an extract: wanted entries of [start, end), subtrees for all others of [0, size).

    Args:
        start: first entry that is looked at.
        end: the first that is not.
        size: of the log.
        rows: (hash, leaf) of the entries from start to end.
        wanted: decides by the leaf.
        subtree: roots over ranges.
        through: sizes at which no subtree may reach across, so that earlier heads can be compared there.
    """
    stops = frozenset(through)
    cuts = sorted({0, start, end, size, *(at for at in stops if 0 < at < size)})
    for left, right in itertools.pairwise(cuts):
        if right <= start:
            yield from complete(left, right, subtree)
    gap: list[tuple[int, bytes]] = []
    for seq, (hash_, leaf) in enumerate(rows, start):
        if seq in stops:
            yield from _told(gap)
            gap = []
        if wanted(leaf):
            yield from _told(gap)
            gap = []
            yield 0, hash_, leaf
        else:
            _omit(gap, seq, hash_)
    yield from _told(gap)
    for left, right in itertools.pairwise(cuts):
        if left >= end:
            yield from complete(left, right, subtree)


def complete(start: int, end: int, subtree: tree.Subtree) -> Iterator[Line]:
    """The complete subtrees, each aligned to its size, that make up the leaves [start, end)."""
    while start < end:
        level = (end - start).bit_length() - 1
        while start & ((1 << level) - 1):
            level -= 1
        yield level, subtree(start, start + (1 << level)), None
        start += 1 << level


def _omit(gap: list[tuple[int, bytes]], seq: int, hash_: bytes) -> None:
    """Add a left-out leaf to the subtrees of a gap, in place; two of one size become one of the next."""
    level = 0
    while gap and gap[-1][0] == level and seq >> level & 1:
        hash_ = tree.node_hash(gap.pop()[1], hash_)
        level += 1
    gap.append((level, hash_))


def _told(gap: list[tuple[int, bytes]]) -> Iterator[Line]:
    for level, hash_ in gap:
        yield level, hash_, None
