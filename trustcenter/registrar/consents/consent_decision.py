"""The decision about consent, and the form in which it is stored: pure functions of docs/spec/consent.md.

No clock, no database: provisions, required policies and the day are passed in.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Container, Iterable, Mapping
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from trustcenter.errors import StoreDamagedError
from trustcenter.messages.consent import CodeSystem

EVERYTHING: Final = 0  # policy number of a statement that denies all
_RECORD: Final = struct.Struct(">HBBIqqII")


class Status(StrEnum):
    """Whether consent is there."""

    WITHDRAWN = "withdrawn"
    MISSING = "missing"
    EXPIRED = "expired"
    PERMITTED = "permitted"


class Provision(msgspec.Struct, frozen=True):
    """What the newest document says of one policy.

    Attributes:
        policy: number in the code system, or EVERYTHING.
        permit: or deny.
        dated: of the document, seconds since 1970.
        first, last: days of a permit; `last` None has no end.
        recorded: when the service was told, seconds since 1970.
        document: number of the document's version; 0: not told.
    """

    policy: int
    permit: bool
    dated: int
    first: date | None = None
    last: date | None = None
    recorded: int = 0
    document: int = 0


Provisions = Mapping[int, Provision]


def merge(held: Provision, new: Provision) -> Provision:
    """One provision of two of the same policy. Order does not matter, but for equals, of which the first stays."""
    if new.dated != held.dated:
        return new if new.dated > held.dated else held
    if new.permit != held.permit:
        return held if not held.permit else new
    if not held.permit:
        return held
    assert held.first is not None
    assert new.first is not None
    first = max(held.first, new.first)
    last = min((day for day in (held.last, new.last) if day is not None), default=None)
    return held if (first, last) == (held.first, held.last) else msgspec.structs.replace(new, first=first, last=last)


def add(held: Provisions, new: Iterable[Provision]) -> dict[int, Provision]:
    """The provisions after further ones."""
    result = dict(held)
    for provision in new:
        before = result.get(provision.policy)
        result[provision.policy] = provision if before is None else merge(before, provision)
    return result


def deny_that_counts(system: CodeSystem, held: Provisions, policy: int) -> Provision | None:
    """The latest deny of a policy, of the groups above it, or of everything."""
    found = (held.get(number) for number in (*system.within(policy), EVERYTHING))
    denies = [provision for provision in found if provision is not None and not provision.permit]
    return max(denies, key=lambda provision: provision.dated, default=None)


def decide_one(system: CodeSystem, held: Provisions, policy: int, today: date) -> Status:
    """The status of one policy."""
    own = held.get(policy)
    permit = own if own is not None and own.permit else None
    deny = deny_that_counts(system, held, policy)
    if deny is not None and (permit is None or permit.dated <= deny.dated):
        return Status.WITHDRAWN
    if permit is None or permit.first is None or permit.first > today:
        return Status.MISSING
    if permit.last is not None and permit.last < today:
        return Status.EXPIRED
    return Status.PERMITTED


def decide(system: CodeSystem, held: Provisions, required: Collection[int], today: date) -> Status:
    """The status of a set of policies: the worst of theirs.

    Nothing required is permitted, unless everything was withdrawn and nothing permitted later.
    """
    if not required:
        deny = held.get(EVERYTHING)
        back = deny is None or any(said.permit and said.dated > deny.dated for said in held.values())
        return Status.PERMITTED if back else Status.WITHDRAWN
    order = list(Status)
    return min((decide_one(system, held, policy, today) for policy in required), key=order.index)


def pack(held: Provisions) -> bytes:
    """The stored form."""
    return b"".join(
        _RECORD.pack(
            provision.policy,
            provision.permit,
            0,
            provision.document,
            provision.dated,
            provision.recorded,
            provision.first.toordinal() if provision.first else 0,
            provision.last.toordinal() if provision.last else 0,
        )
        for _, provision in sorted(held.items())
    )


def unpack(stored: bytes, only: Container[int] | None = None) -> dict[int, Provision]:
    """Provisions from their stored form, all or those of some policies.

    Raises:
        StoreDamagedError: it is none.
    """
    held: dict[int, Provision] = {}
    previous = -1
    if len(stored) % _RECORD.size:
        raise _damaged()
    if only is not None:
        stored = _chosen(stored, only)
    for policy, flag, zero, document, dated, recorded, first, last in _RECORD.iter_unpack(stored):
        if policy <= previous or flag > 1 or zero or (flag == 1) != (first > 0):
            raise _damaged()
        previous = policy
        held[policy] = Provision(policy, flag == 1, dated, _day(first), _day(last), recorded, document)
    return held


def _chosen(stored: bytes, only: Container[int]) -> bytes:
    """The records of some policies. Their numbers stand in the first two bytes of each."""
    size = _RECORD.size
    return b"".join(
        stored[at : at + size]
        for at, high, low in zip(range(0, len(stored), size), stored[::size], stored[1::size], strict=True)
        if (high << 8 | low) in only
    )


def relevant(system: CodeSystem, required: Iterable[int]) -> frozenset[int]:
    """The policies whose provisions decide about `required`."""
    return frozenset({EVERYTHING, *(number for policy in required for number in system.within(policy))})


@lru_cache(maxsize=8192)
def _day(number: int) -> date | None:
    try:
        return date.fromordinal(number) if number else None
    except (ValueError, OverflowError):
        raise _damaged() from None


def _damaged() -> StoreDamagedError:
    return StoreDamagedError("a stored consent cannot be read", hint="trustcenter fsck")
