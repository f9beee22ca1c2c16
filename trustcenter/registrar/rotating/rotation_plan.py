"""What a rotation of a domain's key would do, and whether it may: counts, parties, the next version, refusals."""

from __future__ import annotations

from dataclasses import dataclass

from keys.ids import Purpose
from keys.rotating import Shape, shape_of
from keys.states import KeyState
from trustcenter.errors import ConflictError, LimitError, PolicyError
from trustcenter.messages import api
from trustcenter.registrar import domains, policy
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.head import COUNTER_BITS
from trustcenter.store import Connection

from . import rotation_record
from .keyring import MAX_VERSION, Version

MAP_RATE = 200_000  # pairs a second that a map is streamed and verified with, at least
REWRITE_RATE = 10_000  # rows a second that a cursor job rewrites, at least


@dataclass(frozen=True)
class Plan:
    """What a rotation would do; `companion` is the data key that goes with a new lookup key.

    `old` is what it leads away from: the active version, or, where none is, the one whose use ended last.
    """

    domain: DomainRow
    purpose: Purpose
    old: Version | None
    target: int
    companion: int | None
    rows: int
    high_water: int
    parties: list[str]

    @property
    def source(self) -> int:
        """The version that is rotated away from; 0 if none was ever in use."""
        return self.old.version if self.old is not None else 0

    def message(self, state: str, rotation: str | None = None) -> api.RotationPlan:
        """The plan as it is shown."""
        site = self.domain.site
        rate = MAP_RATE if shape_of(self.purpose) is Shape.FLIP else REWRITE_RATE
        return api.RotationPlan(
            domain=self.domain.name,
            purpose=self.purpose.value,
            from_version=self.source,
            to_version=self.target,
            pseudonyms=self.rows,
            sites=sorted({*(p[5:] for p in self.parties if p.startswith("site:")), *([site] if site else [])}),
            recipients=[p[10:] for p in self.parties if p.startswith("recipient:")],
            state=state,
            high_water_mark=self.high_water,
            estimated_seconds=1 + self.rows // rate,
            rotation=rotation,
        )


def high_water(conn: Connection, domain: int) -> int:
    """The greatest serial that a domain may have handed out; 0 if none."""
    row = conn.execute(
        "SELECT epoch, next FROM counter WHERE domain = ? ORDER BY epoch DESC LIMIT 1", (domain,)
    ).fetchone()
    return ((row[0] << COUNTER_BITS) | (row[1] - 1)) if row else 0


def count(conn: Connection, name: str) -> int:
    """The rows of a domain that live. Reads them all: never in a transaction that writes, which others wait for.

    Raises:
        NotFoundError: no such domain.
    """
    query = "SELECT count(*) FROM entry WHERE domain = ? AND status = 0"
    return int(conn.execute(query, (domains.find(conn, name).id,)).fetchone()[0])


def make(context: Context, conn: Connection, name: str, purpose: Purpose, expected: int | None, rows: int) -> Plan:
    """Plan a rotation of a domain's key; `rows` is from `count`. Errors as `rotation.rotate`."""
    domain = domains.find(conn, name)
    policy.require_open(conn, domain.id)
    _require_rotatable(conn, domain, purpose)
    versions = context.ring.versions(conn, domain.scope, purpose)
    active = next((v for v in versions if v.state is KeyState.ACTIVE), None)
    old = active or _last_used(versions)
    if expected is not None and (old is None or expected != old.version):
        raise ConflictError(
            "the key version in use is not the one that the plan was made for",
            code="rotation_plan_stale",
            hint="somebody rotated in between; look at keys list and plan again with --dry-run",
        )
    if active is None and shape_of(purpose) is Shape.CURSOR:
        raise ConflictError("no version of this key is active", code="no_active_key", hint="trustcenter keys list")
    companion = _next(context, conn, domain, Purpose.DATA) if purpose is Purpose.LOOKUP else None
    return Plan(
        domain,
        purpose,
        old,
        _next(context, conn, domain, purpose),
        companion,
        rows,
        high_water(conn, domain.id),
        rotation_record.parties(conn, domain) if purpose is Purpose.PSEUDONYM else [],
    )


def _last_used(versions: list[Version]) -> Version | None:
    """The version under which pseudonyms were made last, where none is active: suspended, deactivated or compromised.

    One that was never in use has no mark of the last serial that it issued.
    """
    used = [v for v in versions if v.high_water is not None and v.state is not KeyState.DESTROYED]
    return max(used, key=lambda version: (version.since, version.version), default=None)


def _next(context: Context, conn: Connection, domain: DomainRow, purpose: Purpose) -> int:
    """The version after every one that database or key store ever knew: a key id is used once."""
    known = [v.version for v in context.ring.versions(conn, domain.scope, purpose)]
    stored = [e.id.version for e in context.keys.entries() if (e.id.scope, e.id.purpose) == (domain.scope, purpose)]
    target = max(known + stored, default=0) + 1
    if target > MAX_VERSION:
        raise LimitError(
            "this key has no version left", code="key_versions_exhausted", hint="translate into a new domain"
        )
    return target


def _require_rotatable(conn: Connection, domain: DomainRow, purpose: Purpose) -> None:
    if purpose is Purpose.PSEUDONYM and domain.policy.suite == policy.DRAWN:
        raise PolicyError(
            "drawn pseudonyms have no key that could be rotated",
            code="not_keyed",
            hint="make a new domain and translate into it",
        )
    if purpose is Purpose.LOOKUP and domain.kind != "site":
        raise PolicyError(
            "the originals of a study's domain are random numbers, so its lookup key lets nobody guess one",
            code="lookup_not_rotated",
            hint="nothing is to be done; its tags also break ties of linkage, and stay as long as the study",
        )
    if purpose is Purpose.LOOKUP and domain.policy.parent is not None:
        raise PolicyError(
            "the tags of a domain with a parent are made of the parent's rows, not of an original",
            code="lookup_not_rotated",
            hint="make a new domain with the same parent, which has keys of its own, and translate into it",
        )


def require_free(conn: Connection, domain: DomainRow, purpose: Purpose) -> None:
    """No rotation of that key is under way, nor another one that seals the same values.

    Raises:
        ConflictError: one is; the message names it.
    """
    rotation_record.require_none(conn, domain.scope, purpose)
    # A lookup key's rotation seals anew as well: the two never run beside each other.
    for other in (Purpose.LOOKUP, Purpose.DATA) if shape_of(purpose) is Shape.CURSOR else ():
        rotation_record.require_none(conn, domain.scope, other)
