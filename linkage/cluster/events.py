"""Who is who after a new partition: the seniority rule, and what happened as events (docs/spec/persons.md, section 4).

A pure function of the old persons, the new clusters and the seniority of records: no clock, no chance, no store.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

R = TypeVar("R", bound=Hashable)  # a record
P = TypeVar("P", bound=Hashable)  # a person


class EventKind(StrEnum):
    """What can happen to a person."""

    CREATED = "created"  # a cluster that no person survives in
    GROWN = "grown"  # records came that belonged to nobody
    SHRUNK = "shrunk"  # records left the study
    SPLIT = "split"  # its records are in several persons now
    MERGED = "merged"  # all its records are in one other person now: it has ended
    ENDED = "ended"  # all its records left the study


@dataclass(frozen=True, slots=True)
class Event(Generic[P]):
    """One thing that happened to one person.

    Attributes:
        kind: what.
        person: to whom.
        into: where its records are now, the most senior first: of a split all of them, of a merge the survivor.
        records: how many it concerns: those that came, left, moved to others, or of a new person all.
    """

    kind: EventKind
    person: P
    into: tuple[P, ...]
    records: int


@dataclass(frozen=True, slots=True)
class Succession(Generic[P]):
    """The outcome.

    Attributes:
        persons: of each cluster, in the order in which they were given.
        events: in the order of the persons' most senior records; nothing where nothing changed.
    """

    persons: tuple[P, ...]
    events: tuple[Event[P], ...]


def succession(
    before: Mapping[R, P], clusters: Sequence[Iterable[R]], rank: Callable[[R], object], fresh: Callable[[R], P]
) -> Succession[P]:
    """Give every cluster a person and say what happened.

    Clusters choose in the order of their most senior records. Each takes the person of its most senior record that
    has one which no cluster before took; if there is none, a new one.

    Args:
        before: record → its person, for the records that had one; records that left may be among them.
        clusters: a partition of the records that there are now; none of them empty.
        rank: of a record, unique and comparable: the smaller, the more senior.
        fresh: makes a person for a cluster, called with its most senior record; in order of seniority.
    """
    listed = [list(c) for c in clusters]
    everyone = {record for c in listed for record in c} | before.keys()
    place = {record: at for at, record in enumerate(sorted(everyone, key=rank))}  # type: ignore[arg-type]
    sorted_clusters = [sorted(c, key=place.__getitem__) for c in listed]
    order = sorted(range(len(listed)), key=lambda k: place[sorted_clusters[k][0]])
    taken: set[P] = set()
    persons: dict[int, P] = {}
    new: set[P] = set()
    for k in order:
        held = [before[r] for r in sorted_clusters[k] if r in before and before[r] not in taken]
        persons[k] = held[0] if held else fresh(sorted_clusters[k][0])
        if not held:
            new.add(persons[k])
        taken.add(persons[k])
    now = {r: persons[k] for k in order for r in sorted_clusters[k]}
    events = [*_of_old(before, now, place), *_of_new([(persons[k], sorted_clusters[k]) for k in order], before, new)]
    return Succession(tuple(persons[k] for k in range(len(clusters))), tuple(events))


def _of_old(before: Mapping[R, P], now: Mapping[R, P], place: Mapping[R, int]) -> list[Event[P]]:
    """What happened to the persons that there were, in the order of their most senior records."""
    members: dict[P, list[R]] = {}
    for record in sorted(before, key=place.__getitem__):
        members.setdefault(before[record], []).append(record)
    events: list[Event[P]] = []
    for person, records in members.items():
        here = [r for r in records if r in now]
        into = tuple(dict.fromkeys(now[r] for r in here))
        elsewhere = sum(now[r] != person for r in here)
        if not here:
            events.append(Event(EventKind.ENDED, person, (), len(records)))
            continue
        if len(here) < len(records):
            events.append(Event(EventKind.SHRUNK, person, into, len(records) - len(here)))
        if len(into) > 1:
            events.append(Event(EventKind.SPLIT, person, into, elsewhere))
        elif into[0] != person:
            events.append(Event(EventKind.MERGED, person, into, len(here)))
    return events


def _of_new(clusters: list[tuple[P, list[R]]], before: Mapping[R, P], new: set[P]) -> list[Event[P]]:
    """Who is new, and who got records that belonged to nobody."""
    events: list[Event[P]] = []
    for person, records in clusters:
        if person in new:
            events.append(Event(EventKind.CREATED, person, (person,), len(records)))
        elif came := sum(r not in before for r in records):
            events.append(Event(EventKind.GROWN, person, (person,), came))
    return events
